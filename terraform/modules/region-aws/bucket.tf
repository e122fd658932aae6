# Three buckets under the same rules, which hold nothing else: of recordings (media.s3), of
# backups (backup.s3), and of the copy that a key table in a database has (keys.copy_s3).
resource "aws_s3_bucket" "region" {
  for_each      = local.buckets
  region        = var.aws_region
  bucket        = each.value
  force_destroy = false # neither what tenants stored nor backups are thrown away with the configuration
  tags          = local.tags
  depends_on    = [terraform_data.place]
}

resource "aws_s3_bucket_public_access_block" "region" {
  for_each                = local.buckets
  region                  = var.aws_region
  bucket                  = aws_s3_bucket.region[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "region" {
  for_each = local.buckets
  region   = var.aws_region
  bucket   = aws_s3_bucket.region[each.key].id
  rule {
    object_ownership = "BucketOwnerEnforced" # no access lists
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "region" {
  for_each = local.buckets
  region   = var.aws_region
  bucket   = aws_s3_bucket.region[each.key].id
  rule {
    bucket_key_enabled       = true
    blocked_encryption_types = ["SSE-C"]
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.media.arn
    }
  }
}

# Versions are for a node that deletes what it should not. A recording is deleted after
# its key, so that its old version opens for nobody from that moment on; and it ends
# after deleted_days, before KMS's window for the key is over. What is pruned of backups
# stays as long, sealed: no backup holds a key, so that an old version opens what it was
# erased of as little as the newest. The key table's copy has no versions: a node refuses a
# bucket in which destroyed keys could live on. No object lock: what cannot be deleted cannot be
# erased, or pruned.
resource "aws_s3_bucket_versioning" "region" {
  for_each = local.versioned
  region   = var.aws_region
  bucket   = aws_s3_bucket.region[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "region" {
  for_each   = local.buckets
  region     = var.aws_region
  bucket     = aws_s3_bucket.region[each.key].id
  depends_on = [aws_s3_bucket_versioning.region]
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

resource "aws_s3_bucket_policy" "region" {
  for_each   = local.buckets
  region     = var.aws_region
  bucket     = aws_s3_bucket.region[each.key].id
  policy     = jsonencode(local.bucket_policies[each.key])
  depends_on = [aws_s3_bucket_public_access_block.region]
}
