# S3 and KMS are reached inside the VPC; what is not named here does not pass.
resource "aws_vpc_endpoint" "s3" {
  region            = var.aws_region
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${var.aws_region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
  policy            = jsonencode(local.s3_endpoint_policy)
  tags              = merge(local.tags, { Name = "${local.stem}-s3" })
  depends_on        = [terraform_data.place]
}

resource "aws_vpc_endpoint" "kms" {
  region              = var.aws_region
  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.aws_region}.kms"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.kms.id]
  private_dns_enabled = true # kms.<region>.amazonaws.com leads here
  policy              = jsonencode(local.kms_endpoint_policy)
  tags                = merge(local.tags, { Name = "${local.stem}-kms" })
  depends_on          = [terraform_data.place]
}

resource "aws_security_group" "kms" {
  region      = var.aws_region
  name        = "${local.stem}-kms"
  description = "The endpoint of KMS for nodes of region ${var.region}"
  vpc_id      = var.vpc_id
  tags        = local.tags
  depends_on  = [terraform_data.place]
}

resource "aws_vpc_security_group_ingress_rule" "kms" {
  region                       = var.aws_region
  security_group_id            = aws_security_group.kms.id
  description                  = "Nodes"
  referenced_security_group_id = var.node_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

locals {
  s3_endpoint_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [{ Sid = "Nodes", Effect = "Allow", Principal = "*", Action = concat(local.role_policy.Statement[0].Action, local.role_policy.Statement[1].Action), Resource = local.bucket_all,
        Condition = { ArnEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } },
        { Sid = "NodesForget", Effect = "Allow", Principal = "*", Action = ["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"], Resource = local.bucket_arns.keys,
        Condition = { ArnEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } },
        { Sid = "NodesUploads", Effect = "Allow", Principal = "*", Action = "s3:ListBucketMultipartUploads", Resource = local.bucket_arns.backup,
      Condition = { ArnEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } }],
      [for b in length(var.readable_buckets) > 0 ? [var.readable_buckets] : [] : { Sid = "Readable", Effect = "Allow", Principal = "*", Action = ["s3:GetObject"],
      Resource = [for name in b : "arn:${data.aws_partition.current.partition}:s3:::${name}/*"] }],
    )
  }

  kms_endpoint_policy = {
    Version = "2012-10-17"
    Statement = [
      { Sid = "Nodes", Effect = "Allow", Principal = "*", Action = ["kms:TagResource", "kms:DescribeKey", "kms:GenerateDataKey", "kms:Decrypt", "kms:ScheduleKeyDeletion"], Resource = local.all_keys,
      Condition = { ArnEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } },
      { Sid = "NodesMakeKeys", Effect = "Allow", Principal = "*", Action = "kms:CreateKey", Resource = "*",
      Condition = { ArnEquals = { "aws:PrincipalArn" = aws_iam_role.node.arn } } },
    ]
  }
}
