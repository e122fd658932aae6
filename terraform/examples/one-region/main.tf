# One region on AWS, and its first tenant. Nothing of this was applied to AWS.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    domicile = {
      source = "domicile-io/domicile"
    }
  }
}

# Credentials of the region's own account.
provider "aws" {
  region              = "eu-west-1"
  allowed_account_ids = [var.account_id]
}

# The organization's management account: it alone attaches service control policies.
provider "aws" {
  alias   = "organization"
  region  = "eu-west-1"
  profile = "organization"
}

provider "domicile" {} # DOMICILE_CONTROL_URL, DOMICILE_CA, DOMICILE_TOKEN

variable "account_id" {
  type        = string
  description = "The region's AWS account."
}

resource "aws_vpc" "ie1" {
  region               = "eu-west-1"
  cidr_block           = "10.1.0.0/24"
  enable_dns_support   = true
  enable_dns_hostnames = true # the endpoint of KMS is found by name
}

resource "aws_subnet" "ie1" {
  region            = "eu-west-1"
  vpc_id            = aws_vpc.ie1.id
  cidr_block        = "10.1.0.0/25"
  availability_zone = "eu-west-1a"
}

resource "aws_route_table" "ie1" {
  region = "eu-west-1"
  vpc_id = aws_vpc.ie1.id
}

resource "aws_route_table_association" "ie1" {
  region         = "eu-west-1"
  route_table_id = aws_route_table.ie1.id
  subnet_id      = aws_subnet.ie1.id
}

resource "aws_security_group" "nodes" {
  region      = "eu-west-1"
  name        = "domicile-ie1-nodes"
  description = "Nodes of region ie1"
  vpc_id      = aws_vpc.ie1.id
}

module "ie1" {
  source    = "../../modules/region-aws"
  providers = { aws = aws, aws.organization = aws.organization }

  region     = "ie1"
  boundary   = "eu"
  aws_region = "eu-west-1"
  account_id = var.account_id

  vpc_id                 = aws_vpc.ie1.id
  subnet_ids             = [aws_subnet.ie1.id]
  route_table_ids        = [aws_route_table.ie1.id]
  node_security_group_id = aws_security_group.nodes.id

  key_admins      = ["arn:aws:iam::${var.account_id}:role/terraform"]
  guarded_targets = [var.account_id]
}

resource "domicile_region" "ie1" {
  id              = module.ie1.domicile_region.id
  boundary        = module.ie1.domicile_region.boundary
  country         = module.ie1.domicile_region.country
  cloud           = module.ie1.domicile_region.cloud
  backup_region   = module.ie1.domicile_region.backup_region
  lifecycle_state = "active"
  base_url        = "https://api.ie1.example.net"
}

resource "domicile_tenant" "clinic" {
  slug            = "clinic"
  home_region     = domicile_region.ie1.id
  billing_country = "IE"
}

output "node_config" {
  description = "Head of the node's configuration."
  value       = module.ie1.node_config
}
