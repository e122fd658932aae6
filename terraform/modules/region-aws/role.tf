# What a node's machine is allowed. docs/operations/media.md, region-backup.md and keys.md say why each
# is needed.
resource "aws_iam_role" "node" {
  name                 = "${local.stem}-node"
  description          = "Nodes of Domicile's region ${var.region}"
  max_session_duration = 3600
  tags                 = local.tags
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "Machines", Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  depends_on = [terraform_data.place]
}

resource "aws_iam_instance_profile" "node" {
  name = aws_iam_role.node.name
  role = aws_iam_role.node.name
  tags = local.tags
}

resource "aws_iam_role_policy" "node" {
  name   = "node"
  role   = aws_iam_role.node.id
  policy = jsonencode(local.role_policy)
}

locals {
  role_policy = {
    Version = "2012-10-17"
    Statement = [
      { Sid = "Objects", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], Resource = [for arn in values(local.bucket_arns) : "${arn}/*"] },
      { Sid = "Buckets", Effect = "Allow", Action = ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetReplicationConfiguration", "s3:GetEncryptionConfiguration"], Resource = values(local.bucket_arns) },
      # Prune clears away the parts of uploads that a crash has left.
      { Sid = "Uploads", Effect = "Allow", Action = "s3:ListBucketMultipartUploads", Resource = local.bucket_arns.backup },
      # That the key table's copy keeps nothing that is destroyed, the node asks.
      { Sid = "Forgets", Effect = "Allow", Action = ["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"], Resource = local.bucket_arns.keys },
      # Generations of the key table: single-region, of this region, tagged as such.
      { Sid = "NewGeneration", Effect = "Allow", Action = "kms:CreateKey", Resource = "*",
        Condition = {
          StringEquals = { "aws:RequestTag/domicile:region" = var.region, "aws:RequestedRegion" = var.aws_region, "kms:KeySpec" = "SYMMETRIC_DEFAULT", "kms:KeyOrigin" = "AWS_KMS", "aws:SourceVpce" = aws_vpc_endpoint.kms.id }
          Bool         = { "kms:MultiRegion" = "false", "kms:BypassPolicyLockoutSafetyCheck" = "false" }
      } },
      { Sid = "TagGeneration", Effect = "Allow", Action = "kms:TagResource", Resource = local.all_keys,
      Condition = { StringEquals = { "aws:RequestTag/domicile:region" = var.region, "aws:SourceVpce" = aws_vpc_endpoint.kms.id } } },
      { Sid = "UseGeneration", Effect = "Allow", Action = ["kms:GenerateDataKey", "kms:Decrypt"], Resource = local.all_keys,
      Condition = { StringEquals = { "aws:ResourceTag/domicile:region" = var.region, "kms:EncryptionContext:domicile:region" = var.region, "aws:SourceVpce" = aws_vpc_endpoint.kms.id } } },
      { Sid = "EndGeneration", Effect = "Allow", Action = ["kms:DescribeKey", "kms:ScheduleKeyDeletion"], Resource = local.all_keys,
      Condition = { StringEquals = { "aws:ResourceTag/domicile:region" = var.region, "aws:SourceVpce" = aws_vpc_endpoint.kms.id } } },
    ]
  }
}
