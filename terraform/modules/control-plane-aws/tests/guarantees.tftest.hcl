mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "444455556666" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::444455556666:role/domicile-cp1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:444455556666:key/0a1b2c3d-0000-4000-8000-000000000002" }
  }
}

variables {
  account_id = "444455556666"
  voters = {
    cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-1", vpc_id = "vpc-0a", host = "cp1.example.net" }
    cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = "vpc-0b", host = "cp2.example.net" }
    cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
  }
  raft_cidrs        = ["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"]
  node_cidrs        = ["10.0.0.0/8"]
  key_admins        = ["arn:aws:iam::444455556666:role/terraform"]
  root_public_key   = "0000000000000000000000000000000000000000000000000000000000000000"
  backup_recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
}

run "what_is_made" {
  assert {
    condition = alltrue([for name, v in var.voters : aws_s3_bucket.backup[name].region == v.aws_region && aws_kms_key.backup[name].region == v.aws_region && aws_security_group.voter[name].region == v.aws_region
    && aws_s3_bucket_policy.backup[name].region == v.aws_region && aws_kms_key.backup[name].multi_region == false])
    error_message = "a voter's backups are not where it stands"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_public_access_block.backup : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets])
    error_message = "public access is not blocked"
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.voter : r.from_port != 7002 || contains(var.raft_cidrs, r.cidr_ipv4)]) && length([for r in aws_vpc_security_group_ingress_rule.voter : r if r.from_port == 443]) == 0
    error_message = "a port is open to whom it is not for"
  }
}

run "what_backups_are_kept_in" {
  assert {
    condition     = alltrue([for b in aws_s3_bucket.backup : b.object_lock_enabled && !b.force_destroy])
    error_message = "backups go with the configuration, or unlocked"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_object_lock_configuration.backup : b.rule[0].default_retention[0].mode == "GOVERNANCE" && b.rule[0].default_retention[0].days == var.backup_days])
    error_message = "backups are not locked for as long as they are kept"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_versioning.backup : b.versioning_configuration[0].status == "Enabled"])
    error_message = "a backup can be written over"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_lifecycle_configuration.backup : b.rule[0].expiration[0].days == var.backup_days && b.rule[0].filter[0].prefix == ""])
    error_message = "old backups do not end"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_ownership_controls.backup : b.rule[0].object_ownership == "BucketOwnerEnforced"])
    error_message = "access lists are possible"
  }
  assert {
    condition     = alltrue([for name, b in aws_s3_bucket_server_side_encryption_configuration.backup : one([for r in b.rule : one(r.apply_server_side_encryption_by_default)]).sse_algorithm == "aws:kms"])
    error_message = "backups are not encrypted under the voter's key"
  }
  assert {
    condition     = alltrue([for k in aws_kms_key.backup : k.deletion_window_in_days == 30 && k.enable_key_rotation])
    error_message = "the key of backups goes sooner than somebody notices"
  }
}

run "who_reaches_backups" {
  assert {
    condition     = alltrue([for p in values(output.policies) : alltrue([for s in jsondecode(p.role).Statement : s.Action == "s3:PutObject"])])
    error_message = "a voter does more with backups than add them"
  }
  assert {
    condition     = alltrue([for p in values(output.policies) : contains(flatten([for s in jsondecode(p.bucket).Statement : s.Action if s.Sid == "ReadByVoters" && s.Effect == "Deny"]), "s3:GetObject*")])
    error_message = "voters may read backups"
  }
  assert {
    condition     = alltrue([for p in values(output.policies) : alltrue([for s in jsondecode(p.bucket).Statement : s.Effect == "Deny"])])
    error_message = "a bucket's policy allows something"
  }
}

run "what_voters_are_told" {
  assert {
    condition     = alltrue([for c in values(output.voter_config) : tolist(yamldecode(c).backup.recipients) == var.backup_recipients])
    error_message = "a voter's backups are encrypted to nobody"
  }
  assert {
    condition     = alltrue([for name, c in output.voter_config : yamldecode(c).name == name && yamldecode(c).region == var.voters[name].region && length(yamldecode(c).voters) == 3])
    error_message = "a voter is told another's place"
  }
}

run "a_majority_in_one_boundary_is_refused" {
  command = plan
  variables {
    voters = {
      cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-1", vpc_id = "vpc-0a", host = "cp1.example.net" }
      cp2 = { region = "de1", boundary = "eu", aws_region = "eu-central-1", vpc_id = "vpc-0b", host = "cp2.example.net" }
      cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
    }
  }
  expect_failures = [var.voters]
}

run "a_voter_outside_of_its_boundary_is_refused" {
  command = plan
  variables {
    voters = {
      cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-2", vpc_id = "vpc-0a", host = "cp1.example.net" }
      cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = "vpc-0b", host = "cp2.example.net" }
      cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
    }
  }
  expect_failures = [var.voters]
}

run "raft_is_not_open_to_the_internet" {
  command = plan
  variables {
    raft_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.raft_cidrs]
}

run "another_account_is_refused" {
  command = plan
  variables {
    account_id = "111122223333"
  }
  expect_failures = [terraform_data.place]
}

run "four_voters_are_refused" {
  command = plan
  variables {
    voters = {
      cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-1", vpc_id = "vpc-0a", host = "cp1.example.net" }
      cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = "vpc-0b", host = "cp2.example.net" }
      cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
      cp4 = { region = "jp1", boundary = "jp", aws_region = "ap-northeast-1", vpc_id = "vpc-0d", host = "cp4.example.net" }
    }
  }
  expect_failures = [var.voters]
}

run "two_voters_with_one_host_are_refused" {
  command = plan
  variables {
    voters = {
      cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-1", vpc_id = "vpc-0a", host = "cp1.example.net" }
      cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = "vpc-0b", host = "cp1.example.net" }
      cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
    }
  }
  expect_failures = [var.voters]
}

run "a_known_place_cannot_be_redefined" {
  command = plan
  variables {
    more_places = { eu-west-2 = "eu" }
    voters = {
      cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-2", vpc_id = "vpc-0a", host = "cp1.example.net" }
      cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = "vpc-0b", host = "cp2.example.net" }
      cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = "vpc-0c", host = "cp3.example.net" }
    }
  }
  expect_failures = [var.voters]
}

run "the_account_administers_no_key" {
  command = plan
  variables {
    key_admins = ["arn:aws:iam::444455556666:root"]
  }
  expect_failures = [var.key_admins]
}

run "backups_for_nobody_are_refused" {
  command = plan
  variables {
    backup_recipients = []
  }
  expect_failures = [var.backup_recipients]
}
