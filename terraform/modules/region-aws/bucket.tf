resource "aws_s3_bucket" "media" {
  region        = var.aws_region
  bucket        = local.bucket
  force_destroy = false # what tenants stored is not thrown away with the configuration
  tags          = local.tags
  depends_on    = [terraform_data.place]
}

resource "aws_s3_bucket_public_access_block" "media" {
  region                  = var.aws_region
  bucket                  = aws_s3_bucket.media.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "media" {
  region = var.aws_region
  bucket = aws_s3_bucket.media.id
  rule {
    object_ownership = "BucketOwnerEnforced" # no access lists
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "media" {
  region = var.aws_region
  bucket = aws_s3_bucket.media.id
  rule {
    bucket_key_enabled       = true
    blocked_encryption_types = ["SSE-C"]
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.media.arn
    }
  }
}

# Versions are for a node that deletes what it should not. An object is deleted after
# its key, so that its old version opens for nobody from that moment on; and it ends
# after deleted_days, before KMS's window for the key is over. No object lock: what
# cannot be deleted cannot be erased.
resource "aws_s3_bucket_versioning" "media" {
  region = var.aws_region
  bucket = aws_s3_bucket.media.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "media" {
  region     = var.aws_region
  bucket     = aws_s3_bucket.media.id
  depends_on = [aws_s3_bucket_versioning.media]
  rule {
    id     = "deleted-objects-end"
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

resource "aws_s3_bucket_policy" "media" {
  region     = var.aws_region
  bucket     = aws_s3_bucket.media.id
  policy     = jsonencode(local.bucket_policies.media)
  depends_on = [aws_s3_bucket_public_access_block.media]
}
