# Every guarantee of the module, with mocked providers over the AWS provider's real
# schema. terraform/modules/policies_test.go holds the policies against requests.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000001", key_id = "0a1b2c3d-0000-4000-8000-000000000001" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/domicile-ie1-node" }
  }
  override_resource {
    target = aws_vpc_endpoint.s3
    values = { id = "vpce-0123456789abcdef0" }
  }
  override_resource {
    target = aws_vpc_endpoint.kms
    values = { id = "vpce-0123456789abcdef1" }
  }
}

mock_provider "aws" {
  alias = "organization"
}

variables {
  region                 = "ie1"
  boundary               = "eu"
  aws_region             = "eu-west-1"
  account_id             = "111122223333"
  vpc_id                 = "vpc-0123456789abcdef0"
  subnet_ids             = ["subnet-0123456789abcdef0"]
  route_table_ids        = ["rtb-0123456789abcdef0"]
  node_security_group_id = "sg-0123456789abcdef0"
  key_admins             = ["arn:aws:iam::111122223333:role/terraform"]
  guarded_targets        = ["111122223333"]
}

run "what_is_made" {
  assert {
    condition = alltrue([for r in concat(values(aws_s3_bucket.region), values(aws_s3_bucket_public_access_block.region), values(aws_s3_bucket_ownership_controls.region), values(aws_s3_bucket_server_side_encryption_configuration.region),
      values(aws_s3_bucket_versioning.region), values(aws_s3_bucket_lifecycle_configuration.region), values(aws_s3_bucket_policy.region), [aws_kms_key.media, aws_kms_alias.media,
    aws_vpc_endpoint.s3, aws_vpc_endpoint.kms, aws_security_group.kms, aws_vpc_security_group_ingress_rule.kms]) : r.region == "eu-west-1"])
    error_message = "something is not pinned to the region"
  }
  assert {
    condition     = aws_kms_key.media.multi_region == false && aws_kms_key.media.enable_key_rotation && coalesce(aws_kms_key.media.bypass_policy_lockout_safety_check, false) == false
    error_message = "the key may leave the region"
  }
  assert {
    condition = alltrue([for r in [aws_s3_bucket.region, aws_s3_bucket_public_access_block.region, aws_s3_bucket_ownership_controls.region, aws_s3_bucket_server_side_encryption_configuration.region,
    aws_s3_bucket_lifecycle_configuration.region, aws_s3_bucket_policy.region] : join(" ", sort(keys(r))) == "backup keys media"]) && join(" ", sort(keys(merge(aws_s3_bucket_versioning.region, { keys = null })))) == "backup keys media"
    error_message = "a bucket lacks what the other has"
  }
  assert {
    condition     = !contains(keys(aws_s3_bucket_versioning.region), "keys")
    error_message = "the key table's copy keeps what is destroyed"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_public_access_block.region : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets])
    error_message = "public access is not blocked"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_ownership_controls.region : one(b.rule).object_ownership == "BucketOwnerEnforced"])
    error_message = "access lists are possible"
  }
  assert {
    condition = alltrue([for b in aws_s3_bucket_server_side_encryption_configuration.region : one(one(b.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    && one(one(b.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.media.arn])
    error_message = "a bucket is not encrypted under the region's key"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_versioning.region : one(b.versioning_configuration).status == "Enabled"])
    error_message = "what a node deletes by mistake is gone"
  }
  assert {
    condition = alltrue([for b in aws_s3_bucket_lifecycle_configuration.region : length([for r in b.rule : r if r.status == "Enabled" && length(r.noncurrent_version_expiration) == 1 && one(r.filter).prefix == ""]) == 1
    && one(flatten([for r in b.rule : r.noncurrent_version_expiration])).noncurrent_days == 1])
    error_message = "old versions of erased or pruned objects do not end"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_lifecycle_configuration.region : one(flatten([for r in b.rule : r.abort_incomplete_multipart_upload])).days_after_initiation == 1])
    error_message = "abandoned uploads do not end"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket.region : coalesce(b.force_destroy, false) == false && coalesce(b.object_lock_enabled, false) == false])
    error_message = "recordings or backups go with the configuration, or cannot be erased"
  }
  assert {
    condition     = aws_vpc_endpoint.kms.private_dns_enabled && aws_vpc_endpoint.kms.vpc_endpoint_type == "Interface" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "the ways to S3 and KMS leave the VPC"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.kms.referenced_security_group_id == "sg-0123456789abcdef0" && aws_vpc_security_group_ingress_rule.kms.from_port == 443
    error_message = "others than nodes reach the endpoint of KMS"
  }
  assert {
    condition     = aws_organizations_policy.guard[0].type == "SERVICE_CONTROL_POLICY" && aws_organizations_policy_attachment.guard["111122223333"].policy_id == aws_organizations_policy.guard[0].id
    error_message = "the guard is not attached"
  }
  assert {
    condition     = output.domicile_region == { id = "ie1", boundary = "eu", country = "IE", cloud = "aws-eu-west-1", backup_region = "none" }
    error_message = "what domicile_region is told is not what was made"
  }
}

run "without_targets_the_guard_is_only_told" {
  command = plan
  variables {
    guarded_targets = []
  }
  assert {
    condition     = length(aws_organizations_policy.guard) == 0 && strcontains(output.service_control_policy, "OtherRegions")
    error_message = "the guard is not told"
  }
}

run "an_erasure_can_be_undone_by_rescuers_only" {
  command = plan
  variables {
    key_rescuers = ["arn:aws:iam::111122223333:role/rescue"]
  }
  assert {
    condition     = one([for s in jsondecode(output.service_control_policy).Statement : s if s.Sid == "ErasedStaysErased"]).Condition.ArnNotEquals["aws:PrincipalArn"] == ["arn:aws:iam::111122223333:role/rescue"]
    error_message = "rescuers are not the only exception"
  }
}

run "a_region_outside_of_the_boundary_is_refused" {
  command = plan
  variables {
    aws_region = "us-east-1"
  }
  expect_failures = [var.aws_region]
}

run "london_is_not_in_the_eu" {
  command = plan
  variables {
    aws_region = "eu-west-2"
  }
  expect_failures = [var.aws_region]
}

run "what_is_known_is_not_redefined" {
  command = plan
  variables {
    aws_region  = "eu-west-2"
    more_places = { eu-west-2 = { boundary = "eu", country = "GB" } }
  }
  expect_failures = [var.aws_region]
}

run "another_region_of_the_provider_is_refused" {
  command = plan
  variables {
    aws_region = "eu-central-1"
  }
  expect_failures = [terraform_data.place]
}

run "another_account_of_the_provider_is_refused" {
  command = plan
  variables {
    account_id = "999988887777"
  }
  expect_failures = [terraform_data.place]
}

run "no_iam_policy_decides_about_the_key" {
  command = plan
  variables {
    key_admins = ["arn:aws:iam::111122223333:root"]
  }
  expect_failures = [var.key_admins]
}

run "bytes_end_before_keys" {
  command = plan
  variables {
    deleted_days = 6
  }
  expect_failures = [var.deleted_days]
}

run "the_root_of_the_organization_is_not_guarded" {
  command = plan
  variables {
    guarded_targets = ["r-ab12"]
  }
  expect_failures = [var.guarded_targets]
}

run "services_with_data_are_not_exempt" {
  command = plan
  variables {
    more_global_actions = ["s3:*"]
  }
  expect_failures = [var.more_global_actions]
}
