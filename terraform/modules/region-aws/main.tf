# One region of Domicile on AWS: a bucket for recordings, one for backups and one for the
# copy of the key table, their key, the nodes' role, the ways to S3 and KMS that do not leave the VPC, and the policy that keeps the
# account in the region. Machines and the network are the caller's.

data "aws_region" "provider" {}
data "aws_caller_identity" "provider" {}
data "aws_partition" "current" {}

locals {
  stem        = "${var.name}-${var.region}"
  buckets     = { for name in ["media", "backup", "keys"] : name => "${local.stem}-${name}-${var.account_id}" }
  versioned   = { for name, bucket in local.buckets : name => bucket if name != "keys" }
  bucket_arns = { for name, bucket in local.buckets : name => "arn:${data.aws_partition.current.partition}:s3:::${bucket}" }
  all_keys    = "arn:${data.aws_partition.current.partition}:kms:${var.aws_region}:${var.account_id}:key/*"
  tags        = merge(var.tags, { "domicile:region" = var.region })
}

# Nothing is made before it is known that it would be made in the right place.
resource "terraform_data" "place" {
  input = "${var.account_id}/${var.aws_region}"
  lifecycle {
    precondition {
      condition     = data.aws_region.provider.region == var.aws_region
      error_message = "The AWS provider is configured for ${data.aws_region.provider.region}, and the region is in ${var.aws_region}."
    }
    precondition {
      condition     = data.aws_caller_identity.provider.account_id == var.account_id
      error_message = "The AWS provider's credentials are of account ${data.aws_caller_identity.provider.account_id}, and the region is in ${var.account_id}."
    }
  }
}
