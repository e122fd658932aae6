# Three regions in three boundaries, and a control plane of three voters that none of the boundaries holds. Nothing of this was applied to AWS.

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

provider "domicile" {} # DOMICILE_CONTROL_URL, DOMICILE_CA, DOMICILE_TOKEN

# The organization's management account: it alone attaches service control policies.
provider "aws" {
  alias   = "organization"
  region  = "eu-west-1"
  profile = "organization"
}

# ie1: an account of its own.
provider "aws" {
  alias               = "ie1"
  region              = "eu-west-1"
  profile             = "ie1"
  allowed_account_ids = [var.accounts["ie1"]]
}

module "ie1" {
  source    = "../../modules/region-aws"
  providers = { aws = aws.ie1, aws.organization = aws.organization }

  region     = "ie1"
  boundary   = "eu"
  aws_region = "eu-west-1"
  account_id = var.accounts["ie1"]

  vpc_id                 = var.networks["ie1"].vpc_id
  subnet_ids             = var.networks["ie1"].subnet_ids
  route_table_ids        = var.networks["ie1"].route_table_ids
  node_security_group_id = var.networks["ie1"].node_security_group_id

  key_admins      = ["arn:aws:iam::${var.accounts["ie1"]}:role/terraform"]
  guarded_targets = [var.accounts["ie1"]]
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

# us1: an account of its own.
provider "aws" {
  alias               = "us1"
  region              = "us-east-1"
  profile             = "us1"
  allowed_account_ids = [var.accounts["us1"]]
}

module "us1" {
  source    = "../../modules/region-aws"
  providers = { aws = aws.us1, aws.organization = aws.organization }

  region     = "us1"
  boundary   = "us"
  aws_region = "us-east-1"
  account_id = var.accounts["us1"]

  vpc_id                 = var.networks["us1"].vpc_id
  subnet_ids             = var.networks["us1"].subnet_ids
  route_table_ids        = var.networks["us1"].route_table_ids
  node_security_group_id = var.networks["us1"].node_security_group_id

  key_admins      = ["arn:aws:iam::${var.accounts["us1"]}:role/terraform"]
  guarded_targets = [var.accounts["us1"]]
}

resource "domicile_region" "us1" {
  id              = module.us1.domicile_region.id
  boundary        = module.us1.domicile_region.boundary
  country         = module.us1.domicile_region.country
  cloud           = module.us1.domicile_region.cloud
  backup_region   = module.us1.domicile_region.backup_region
  lifecycle_state = "active"
  base_url        = "https://api.us1.example.net"
}

# au1: an account of its own.
provider "aws" {
  alias               = "au1"
  region              = "ap-southeast-2"
  profile             = "au1"
  allowed_account_ids = [var.accounts["au1"]]
}

module "au1" {
  source    = "../../modules/region-aws"
  providers = { aws = aws.au1, aws.organization = aws.organization }

  region     = "au1"
  boundary   = "au"
  aws_region = "ap-southeast-2"
  account_id = var.accounts["au1"]

  vpc_id                 = var.networks["au1"].vpc_id
  subnet_ids             = var.networks["au1"].subnet_ids
  route_table_ids        = var.networks["au1"].route_table_ids
  node_security_group_id = var.networks["au1"].node_security_group_id

  key_admins      = ["arn:aws:iam::${var.accounts["au1"]}:role/terraform"]
  guarded_targets = [var.accounts["au1"]]
}

resource "domicile_region" "au1" {
  id              = module.au1.domicile_region.id
  boundary        = module.au1.domicile_region.boundary
  country         = module.au1.domicile_region.country
  cloud           = module.au1.domicile_region.cloud
  backup_region   = module.au1.domicile_region.backup_region
  lifecycle_state = "active"
  base_url        = "https://api.au1.example.net"
}

# The voters: an account of their own, one provider, each voter in its AWS region.
provider "aws" {
  alias               = "control"
  region              = "eu-west-1"
  profile             = "control"
  allowed_account_ids = [var.accounts["control"]]
}

module "control" {
  source    = "../../modules/control-plane-aws"
  providers = { aws = aws.control }

  account_id = var.accounts["control"]
  voters = {
    cp1 = { region = "ie1", boundary = "eu", aws_region = "eu-west-1", vpc_id = var.control_vpcs["cp1"], host = "cp1.example.net" }
    cp2 = { region = "us1", boundary = "us", aws_region = "us-east-1", vpc_id = var.control_vpcs["cp2"], host = "cp2.example.net" }
    cp3 = { region = "au1", boundary = "au", aws_region = "ap-southeast-2", vpc_id = var.control_vpcs["cp3"], host = "cp3.example.net" }
  }
  raft_cidrs        = ["10.11.0.0/24", "10.12.0.0/24", "10.13.0.0/24"]
  node_cidrs        = ["10.0.0.0/8"]
  key_admins        = ["arn:aws:iam::${var.accounts["control"]}:role/terraform"]
  root_public_key   = var.root_public_key
  backup_recipients = var.backup_recipients
}

resource "domicile_tenant" "clinic" {
  slug            = "clinic"
  home_region     = domicile_region.ie1.id
  billing_country = "IE"
}

output "node_configs" {
  description = "Head of each node's configuration."
  value       = { ie1 = module.ie1.node_config, us1 = module.us1.node_config, au1 = module.au1.node_config }
}

output "voter_configs" {
  description = "The configuration of each voter."
  value       = module.control.voter_config
}

output "control_plane" {
  description = "`control_plane` of every node's configuration."
  value       = module.control.control_plane
}
