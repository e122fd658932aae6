# Backups are encrypted to backup_recipients before they reach a disk; S3 and KMS
# encrypt what they get once more.
resource "aws_kms_key" "backup" {
  for_each                = var.voters
  region                  = each.value.aws_region
  description             = "Backups of Domicile's voter ${each.key}"
  multi_region            = false
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags
  depends_on              = [terraform_data.place]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Administration", Effect = "Allow", Principal = { AWS = var.key_admins }, Resource = "*",
        Action = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:ListKeyPolicies", "kms:GetKeyRotationStatus", "kms:ListKeyRotations", "kms:EnableKeyRotation",
          "kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:ListResourceTags", "kms:TagResource", "kms:UntagResource",
      "kms:UpdateKeyDescription", "kms:ListGrants", "kms:RevokeGrant"] },
      # Decrypt is what S3 needs for the parts of a multipart upload; the voter cannot get an object to use it on.
      { Sid = "Use", Effect = "Allow", Principal = { AWS = aws_iam_role.voter[each.key].arn }, Resource = "*", Action = ["kms:Decrypt", "kms:GenerateDataKey"],
        Condition = {
          StringEquals = { "kms:ViaService" = "s3.${each.value.aws_region}.amazonaws.com" }
          StringLike   = { "kms:EncryptionContext:aws:s3:arn" = [local.arns[each.key], "${local.arns[each.key]}/*"] }
      } },
      # Reading a backup back is a person's work; their own policy says which bucket.
      { Sid = "Restore", Effect = "Allow", Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${var.account_id}:root" }, Resource = "*", Action = "kms:Decrypt",
      Condition = { StringEquals = { "kms:ViaService" = "s3.${each.value.aws_region}.amazonaws.com" } } },
      { Sid = "NoGrantNoReplica", Effect = "Deny", Principal = "*", Resource = "*", Action = ["kms:CreateGrant", "kms:ReplicateKey"] },
    ]
  })
}

resource "aws_s3_bucket" "backup" {
  for_each            = var.voters
  region              = each.value.aws_region
  bucket              = local.buckets[each.key]
  force_destroy       = false
  object_lock_enabled = true # nothing personal is in it, so that nothing need be erased
  tags                = var.tags
  depends_on          = [terraform_data.place]
}

resource "aws_s3_bucket_public_access_block" "backup" {
  for_each                = var.voters
  region                  = each.value.aws_region
  bucket                  = aws_s3_bucket.backup[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "backup" {
  for_each = var.voters
  region   = each.value.aws_region
  bucket   = aws_s3_bucket.backup[each.key].id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "backup" {
  for_each = var.voters
  region   = each.value.aws_region
  bucket   = aws_s3_bucket.backup[each.key].id
  rule {
    bucket_key_enabled       = true
    blocked_encryption_types = ["SSE-C"]
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.backup[each.key].arn
    }
  }
}

resource "aws_s3_bucket_versioning" "backup" {
  for_each = var.voters
  region   = each.value.aws_region
  bucket   = aws_s3_bucket.backup[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "backup" {
  for_each   = var.voters
  region     = each.value.aws_region
  bucket     = aws_s3_bucket.backup[each.key].id
  depends_on = [aws_s3_bucket_versioning.backup]
  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.backup_days
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "backup" {
  for_each   = var.voters
  region     = each.value.aws_region
  bucket     = aws_s3_bucket.backup[each.key].id
  depends_on = [aws_s3_bucket_versioning.backup]
  rule {
    id     = "old-backups-end"
    status = "Enabled"
    filter {
      prefix = "" # all
    }
    expiration {
      days = var.backup_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "backup" {
  for_each   = var.voters
  region     = each.value.aws_region
  bucket     = aws_s3_bucket.backup[each.key].id
  depends_on = [aws_s3_bucket_public_access_block.backup]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "PlainHTTP", Effect = "Deny", Principal = "*", Action = "s3:*", Resource = [local.arns[each.key], "${local.arns[each.key]}/*"], Condition = { Bool = { "aws:SecureTransport" = "false" } } },
      { Sid = "OldTLS", Effect = "Deny", Principal = "*", Action = "s3:*", Resource = [local.arns[each.key], "${local.arns[each.key]}/*"], Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } } },
      # The bucket's default is its key; what names another one is denied.
      { Sid = "OtherKeys", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${local.arns[each.key]}/*",
      Condition = { StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = aws_kms_key.backup[each.key].arn }, Null = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" } } },
      { Sid = "OtherEncryption", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${local.arns[each.key]}/*",
      Condition = { StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }, Null = { "s3:x-amz-server-side-encryption" = "false" } } },
      { Sid = "ReadByVoters", Effect = "Deny", Principal = { AWS = aws_iam_role.voter[each.key].arn }, Action = ["s3:GetObject*", "s3:DeleteObject*", "s3:BypassGovernanceRetention"], Resource = "${local.arns[each.key]}/*" },
    ]
  })
}
