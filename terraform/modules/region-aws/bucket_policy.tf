locals {
  object_actions = ["s3:GetObject*", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload", "s3:RestoreObject", "s3:ReplicateObject", "s3:ListBucket*", "s3:ListMultipartUploadParts"]
  bucket_all     = flatten([for arn in values(local.bucket_arns) : [arn, "${arn}/*"]])

  # They only deny; what the node may do, its role says. Administrators keep the
  # buckets' own settings, so that a mistake here can be mended.
  bucket_policies = { for name, arn in local.bucket_arns : name => {
    Version = "2012-10-17"
    Statement = [
      { Sid = "PlainHTTP", Effect = "Deny", Principal = "*", Action = "s3:*", Resource = [arn, "${arn}/*"], Condition = { Bool = { "aws:SecureTransport" = "false" } } },
      { Sid = "OldTLS", Effect = "Deny", Principal = "*", Action = "s3:*", Resource = [arn, "${arn}/*"], Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } } },
      { Sid = "OtherPrincipals", Effect = "Deny", Principal = "*", Action = local.object_actions, Resource = [arn, "${arn}/*"],
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } },
      { Sid = "OtherWays", Effect = "Deny", Principal = "*", Action = local.object_actions, Resource = [arn, "${arn}/*"],
      Condition = { StringNotEquals = { "aws:SourceVpce" = aws_vpc_endpoint.s3.id } } },
      { Sid = "AccessPoints", Effect = "Deny", Principal = "*", Action = local.object_actions, Resource = [arn, "${arn}/*"],
      Condition = { Null = { "s3:DataAccessPointArn" = "false" } } },
      # A request without the header is denied too: the node always sends it.
      { Sid = "NotSSEKMS", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${arn}/*",
      Condition = { StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" } } },
      { Sid = "OtherKeys", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${arn}/*",
      Condition = { StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = aws_kms_key.media.arn } } },
      # What was deleted is read by nobody; what copies the bucket, or keeps what an
      # erasure deletes, is set by nobody.
      { Sid = "OldVersions", Effect = "Deny", Principal = "*", Action = ["s3:GetObjectVersion", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTorrent"], Resource = "${arn}/*" },
      { Sid = "CopiesAndLocks", Effect = "Deny", Principal = "*", Action = concat(["s3:PutReplicationConfiguration", "s3:InitiateReplication", "s3:PutBucketObjectLockConfiguration", "s3:PutAccelerateConfiguration"], name == "keys" ? ["s3:PutBucketVersioning"] : []), Resource = arn },
    ]
  } }
}
