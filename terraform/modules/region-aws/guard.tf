# The service control policy of the region's account. It binds everybody there, the
# account's root included; not the organization's management account, and not what
# AWS's own service-linked roles do.
locals {
  # Services that have no region, or answer from one of their own, and neither hold
  # nor move what tenants store. Deliberately absent: CloudFront and Global
  # Accelerator, which take data to the caller's continent.
  global_actions = concat([
    "iam:*",           # roles and policies are global
    "organizations:*", # so is the organization
    "account:*",       # and the account's own settings
    "sts:*",           # its global endpoint is us-east-1; a token is no data
    "route53:*",       # zones are global; names carry the region's label, never a tenant's number
    "support:*",
    "health:*",
    "s3:ListAllMyBuckets", # names only; asked at us-east-1 by consoles
  ], var.more_global_actions)

  generation = { "aws:ResourceTag/domicile:region" = var.region }

  service_control_policy = {
    Version = "2012-10-17"
    Statement = [
      # A request that says no region is denied too: StringNotEquals is true of what is absent.
      { Sid = "OtherRegions", Effect = "Deny", NotAction = local.global_actions, Resource = "*", Condition = { StringNotEquals = { "aws:RequestedRegion" = [var.aws_region] } } },
      # What is asked for here and leads elsewhere: replicas, copies, shares with strangers.
      { Sid = "WaysOut", Effect = "Deny", Resource = "*", Action = [
        "s3:PutReplicationConfiguration", "s3:InitiateReplication", "s3:CreateMultiRegionAccessPoint", "s3:PutAccelerateConfiguration", "s3:PutAccountPublicAccessBlock",
        "kms:ReplicateKey", "kms:UpdatePrimaryRegion",
        "rds:CreateGlobalCluster", "rds:ModifyDBSnapshotAttribute", "rds:ModifyDBClusterSnapshotAttribute", "rds:StartExportTask",
        "ec2:ModifySnapshotAttribute", "ec2:ModifyImageAttribute",
        "backup:StartCopyJob", "backup:CopyFromBackupVault",
        "dynamodb:CreateGlobalTable", "dynamodb:CreateTableReplica", "secretsmanager:ReplicateSecretToRegions",
        "organizations:LeaveOrganization", # and with it this policy
      ] },
      { Sid = "MultiRegionKeys", Effect = "Deny", Action = "kms:CreateKey", Resource = "*", Condition = { Bool = { "kms:MultiRegion" = "true" } } },
      # The node's generations have KMS's default policy, under which IAM decides.
      { Sid = "GenerationsOfNodes", Effect = "Deny", Resource = "*", Action = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant", "kms:PutKeyPolicy", "kms:TagResource", "kms:UntagResource", "kms:DisableKey", "kms:ScheduleKeyDeletion"],
      Condition = { StringEquals = local.generation, ArnNotEquals = { "aws:PrincipalArn" = local.node_role_arn } } },
      { Sid = "ErasedStaysErased", Effect = "Deny", Action = "kms:CancelKeyDeletion", Resource = "*",
      Condition = merge({ StringEquals = local.generation }, { for r in length(var.key_rescuers) > 0 ? [var.key_rescuers] : [] : "ArnNotEquals" => { "aws:PrincipalArn" = r } }) },
    ]
  }

  # Without waiting for the role, so that the guard can be there first.
  node_role_arn = "arn:${data.aws_partition.current.partition}:iam::${var.account_id}:role/${local.stem}-node"
}

resource "aws_organizations_policy" "guard" {
  count       = length(var.guarded_targets) > 0 ? 1 : 0
  provider    = aws.organization
  name        = "${local.stem}-stays-in-${var.aws_region}"
  description = "Domicile's region ${var.region} stays in ${var.aws_region}"
  type        = "SERVICE_CONTROL_POLICY"
  content     = jsonencode(local.service_control_policy)
  tags        = local.tags
  lifecycle {
    precondition {
      condition     = length(jsonencode(local.service_control_policy)) <= 5120
      error_message = "The service control policy is longer than the 5120 characters that AWS allows; give fewer more_global_actions or key_rescuers."
    }
  }
}

resource "aws_organizations_policy_attachment" "guard" {
  for_each  = toset(var.guarded_targets)
  provider  = aws.organization
  policy_id = aws_organizations_policy.guard[0].id
  target_id = each.value
}
