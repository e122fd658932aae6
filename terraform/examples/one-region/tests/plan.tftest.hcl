# Planned with mocked providers; terraform/modules has the tests of what the modules promise.
mock_provider "domicile" {}

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
}

mock_provider "aws" {
  alias = "organization"
}

variables {
  account_id = "111122223333"
}

run "plan" {
  command = plan
  assert {
    condition     = domicile_region.ie1.cloud == "aws-eu-west-1" && domicile_tenant.clinic.home_region == "ie1"
    error_message = "the tenant is not at home in the region"
  }
}
