# The key that S3 encrypts the buckets with. The key table's generations are keys that
# the node makes for itself (docs/operations/keys.md); role.tf says how.
resource "aws_kms_key" "media" {
  region                  = var.aws_region
  description             = "Recordings, backups and key copies of Domicile's region ${var.region}"
  multi_region            = false # its material does not leave the region
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode(local.key_policy)
  tags                    = { for k, v in local.tags : k => v if k != "domicile:region" } # which is of generations, that the node gives up by itself
  depends_on              = [terraform_data.place]
}

resource "aws_kms_alias" "media" {
  region        = var.aws_region
  name          = "alias/${local.stem}-media"
  target_key_id = aws_kms_key.media.key_id
}

locals {
  # The account as a whole is not named, so that no IAM policy opens the key: who
  # administers cannot use, who uses cannot administer.
  key_policy = {
    Version = "2012-10-17"
    Statement = [
      { Sid = "Administration", Effect = "Allow", Principal = { AWS = var.key_admins }, Resource = "*",
        Action = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:ListKeyPolicies", "kms:GetKeyRotationStatus", "kms:ListKeyRotations", "kms:EnableKeyRotation",
          "kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:ListResourceTags", "kms:TagResource", "kms:UntagResource",
      "kms:UpdateKeyDescription", "kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias", "kms:ListGrants", "kms:RevokeGrant"] },
      # Through S3, for these buckets: neither the role nor a machine has the key itself.
      { Sid = "Use", Effect = "Allow", Principal = { AWS = aws_iam_role.node.arn }, Resource = "*", Action = ["kms:Decrypt", "kms:GenerateDataKey"],
        Condition = {
          StringEquals = { "kms:ViaService" = "s3.${var.aws_region}.amazonaws.com" }
          StringLike   = { "kms:EncryptionContext:aws:s3:arn" = local.bucket_all }
      } },
      # A grant would be a second way in, and a replica a second place.
      { Sid = "NoGrantNoReplica", Effect = "Deny", Principal = "*", Resource = "*", Action = ["kms:CreateGrant", "kms:ReplicateKey"] },
    ]
  }
}
