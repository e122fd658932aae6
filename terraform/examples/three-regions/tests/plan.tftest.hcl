# Planned with mocked providers; terraform/modules has the tests of what the modules promise.
mock_provider "domicile" {}

mock_provider "aws" {
  alias = "organization"
}

mock_provider "aws" {
  alias = "ie1"
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
}

mock_provider "aws" {
  alias = "us1"
  mock_data "aws_region" {
    defaults = { region = "us-east-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "222233334444" }
  }
}

mock_provider "aws" {
  alias = "au1"
  mock_data "aws_region" {
    defaults = { region = "ap-southeast-2" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "333344445555" }
  }
}

mock_provider "aws" {
  alias = "control"
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "444455556666" }
  }
}

variables {
  accounts = {
    ie1     = "111122223333"
    us1     = "222233334444"
    au1     = "333344445555"
    control = "444455556666"
  }
  networks = {
    ie1 = { vpc_id = "vpc-0a", subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"], node_security_group_id = "sg-0a" }
    us1 = { vpc_id = "vpc-0a", subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"], node_security_group_id = "sg-0a" }
    au1 = { vpc_id = "vpc-0a", subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"], node_security_group_id = "sg-0a" }
  }
  control_vpcs      = { cp1 = "vpc-0b", cp2 = "vpc-0c", cp3 = "vpc-0d" }
  root_public_key   = "0000000000000000000000000000000000000000000000000000000000000000"
  backup_recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
}

run "plan" {
  command = plan
  assert {
    condition     = length(distinct([domicile_region.ie1.boundary, domicile_region.us1.boundary, domicile_region.au1.boundary])) == 3 && length(output.control_plane) == 3
    error_message = "three regions, three boundaries, three voters"
  }
}
