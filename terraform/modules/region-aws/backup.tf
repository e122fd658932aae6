# The bucket of the region's backups (backup.s3), which holds nothing else.
resource "aws_s3_bucket" "backup" {
  region        = var.aws_region
  bucket        = local.backup_bucket
  force_destroy = false # backups are not thrown away with the configuration
  tags          = local.tags
  depends_on    = [terraform_data.place]
}

resource "aws_s3_bucket_public_access_block" "backup" {
  region                  = var.aws_region
  bucket                  = aws_s3_bucket.backup.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "backup" {
  region = var.aws_region
  bucket = aws_s3_bucket.backup.id
  rule {
    object_ownership = "BucketOwnerEnforced" # no access lists
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "backup" {
  region = var.aws_region
  bucket = aws_s3_bucket.backup.id
  rule {
    bucket_key_enabled       = true
    blocked_encryption_types = ["SSE-C"]
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.media.arn
    }
  }
}

# Versions are for a node that removes what it should not: `backup prune` and the
# ledger's copy leave old ones, sealed, for deleted_days. No backup holds a key, so
# that an old version opens what it was erased of as little as the newest. No object
# lock: what is pruned must go.
resource "aws_s3_bucket_versioning" "backup" {
  region = var.aws_region
  bucket = aws_s3_bucket.backup.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "backup" {
  region     = var.aws_region
  bucket     = aws_s3_bucket.backup.id
  depends_on = [aws_s3_bucket_versioning.backup]
  rule {
    id     = "pruned-objects-end"
    status = "Enabled"
    filter {
      prefix = "" # all
    }
    noncurrent_version_expiration {
      noncurrent_days = var.deleted_days
    }
    expiration {
      expired_object_delete_marker = true
    }
  }
  rule {
    id     = "abandoned-uploads-end"
    status = "Enabled"
    filter {
      prefix = "" # all
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "backup" {
  region     = var.aws_region
  bucket     = aws_s3_bucket.backup.id
  policy     = jsonencode(local.bucket_policies.backup)
  depends_on = [aws_s3_bucket_public_access_block.backup]
}
