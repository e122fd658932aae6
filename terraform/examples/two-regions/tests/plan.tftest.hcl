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

variables {
  accounts = {
    ie1 = "111122223333"
    us1 = "222233334444"
  }
  networks = {
    ie1 = { vpc_id = "vpc-0a", subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"], node_security_group_id = "sg-0a" }
    us1 = { vpc_id = "vpc-0a", subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"], node_security_group_id = "sg-0a" }
  }
}

run "plan" {
  command = plan
  assert {
    condition     = domicile_region.ie1.boundary == "eu" && domicile_region.us1.boundary == "us" && domicile_tenant.depot.home_region == "us1"
    error_message = "regions or tenants are not where they should be"
  }
}
