output "domicile_region" {
  description = "What `domicile_region` declares of this region: `id`, `boundary`, `country`, `cloud` and `backup_region`."
  value = {
    id            = var.region
    boundary      = var.boundary
    country       = local.place.country
    cloud         = "aws-${var.aws_region}"
    backup_region = "none"
  }
}

output "node_config" {
  description = "The part of a node's configuration (YAML) that follows from what was made: `region`, `default_country`, `media`, `backup` and `keys`."
  value = yamlencode({
    region          = var.region
    default_country = local.place.country
    media           = { s3 = { region = var.aws_region, bucket = aws_s3_bucket.region["media"].bucket, kms_key = aws_kms_key.media.arn, instance_role = true } }
    backup          = { s3 = { region = var.aws_region, bucket = aws_s3_bucket.region["backup"].bucket, kms_key = aws_kms_key.media.arn, instance_role = true } }
    keys            = { aws_kms = { region = var.aws_region, instance_role = true, deletion_days = var.key_deletion_days } }
  })
}

output "keys_copy_config" {
  description = "What goes under `keys` of a node whose records are in a database (`store.kind: sql`), as YAML: `copy_s3`. A region of one node has no use for it."
  value = yamlencode({
    copy_s3 = { region = var.aws_region, bucket = aws_s3_bucket.region["keys"].bucket, kms_key = aws_kms_key.media.arn, instance_role = true }
  })
}

output "bucket" {
  description = "Name of the bucket for recordings."
  value       = aws_s3_bucket.region["media"].bucket
}

output "backup_bucket" {
  description = "Name of the bucket for backups."
  value       = aws_s3_bucket.region["backup"].bucket
}

output "keys_bucket" {
  description = "Name of the bucket for the copy of the key table."
  value       = aws_s3_bucket.region["keys"].bucket
}

output "kms_key_arn" {
  description = "ARN of the buckets' key."
  value       = aws_kms_key.media.arn
}

output "node_role_arn" {
  description = "ARN of the nodes' role."
  value       = aws_iam_role.node.arn
}

output "instance_profile" {
  description = "Name of the instance profile for the nodes' machines. Let their metadata service demand tokens (IMDSv2)."
  value       = aws_iam_instance_profile.node.name
}

output "service_control_policy" {
  description = "The service control policy (JSON), for who attaches it by other means."
  value       = jsonencode(local.service_control_policy)
}

output "policies" {
  description = "All policies that were made (JSON), to review or to simulate: `bucket`, `backup`, `keys`, `key`, `role`, `s3_endpoint`, `kms_endpoint`, `service_control`."
  value = {
    bucket          = aws_s3_bucket_policy.region["media"].policy
    backup          = aws_s3_bucket_policy.region["backup"].policy
    keys            = aws_s3_bucket_policy.region["keys"].policy
    key             = aws_kms_key.media.policy
    role            = aws_iam_role_policy.node.policy
    s3_endpoint     = aws_vpc_endpoint.s3.policy
    kms_endpoint    = aws_vpc_endpoint.kms.policy
    service_control = jsonencode(local.service_control_policy)
  }
}
