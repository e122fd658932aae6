# The voters' surroundings on AWS: for each a role, a security group, and a bucket
# with a key for its backups, in the AWS region that the voter stands in. The state of
# a control plane holds no personal data, so that it may stand in every boundary;
# machines and networks between the VPCs are the caller's.

data "aws_caller_identity" "provider" {}
data "aws_partition" "current" {}

locals {
  known_places = {
    eu-central-1   = "eu", eu-north-1 = "eu", eu-south-1 = "eu", eu-south-2 = "eu", eu-west-1 = "eu", eu-west-3 = "eu"
    us-east-1      = "us", us-east-2 = "us", us-west-1 = "us", us-west-2 = "us"
    ap-southeast-2 = "au", ap-southeast-4 = "au", ap-northeast-1 = "jp", ap-northeast-3 = "jp", ap-southeast-1 = "sg", sa-east-1 = "br"
    eu-west-2      = "uk", eu-central-2 = "ch"
  }
  places  = merge(var.more_places, local.known_places)
  buckets = { for name, v in var.voters : name => "${var.name}-${name}-backup-${var.account_id}" }
  arns    = { for name, b in local.buckets : name => "arn:${data.aws_partition.current.partition}:s3:::${b}" }
}

resource "terraform_data" "place" {
  input = var.account_id
  lifecycle {
    precondition {
      condition     = data.aws_caller_identity.provider.account_id == var.account_id
      error_message = "The AWS provider's credentials are of account ${data.aws_caller_identity.provider.account_id}, and the control plane is in ${var.account_id}."
    }
  }
}

resource "aws_iam_role" "voter" {
  for_each             = var.voters
  name                 = "${var.name}-${each.key}"
  description          = "Domicile's voter ${each.key}"
  max_session_duration = 3600
  tags                 = var.tags
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "Machines", Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  depends_on = [terraform_data.place]
}

resource "aws_iam_instance_profile" "voter" {
  for_each = var.voters
  name     = aws_iam_role.voter[each.key].name
  role     = aws_iam_role.voter[each.key].name
  tags     = var.tags
}

# A voter adds backups. It reads and deletes none: whoever has a voter has not its past.
resource "aws_iam_role_policy" "voter" {
  for_each = var.voters
  name     = "voter"
  role     = aws_iam_role.voter[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "AddBackups", Effect = "Allow", Action = "s3:PutObject", Resource = "${local.arns[each.key]}/*" }]
  })
}

resource "aws_security_group" "voter" {
  for_each    = var.voters
  region      = each.value.aws_region
  name        = "${var.name}-${each.key}"
  description = "Domicile's voter ${each.key}"
  vpc_id      = each.value.vpc_id
  tags        = var.tags
  depends_on  = [terraform_data.place]
}

locals {
  openings = merge([for name, v in var.voters : merge(
    { for c in var.raft_cidrs : "${name} raft ${c}" => { voter = name, port = var.ports.raft, cidr = c } },
    { for c in var.node_cidrs : "${name} grpc ${c}" => { voter = name, port = var.ports.grpc, cidr = c } },
    { for c in var.people_cidrs : "${name} rest ${c}" => { voter = name, port = var.ports.rest, cidr = c } },
  )]...)
}

resource "aws_vpc_security_group_ingress_rule" "voter" {
  for_each          = local.openings
  region            = var.voters[each.value.voter].aws_region
  security_group_id = aws_security_group.voter[each.value.voter].id
  description       = each.key
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}
