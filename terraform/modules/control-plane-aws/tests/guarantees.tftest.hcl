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
