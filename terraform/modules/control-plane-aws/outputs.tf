output "voter_config" {
  description = "The configuration of each voter (YAML) as far as it follows from what was made; certificates and keys are named as `domicile pki issue` and `domicile trust` write them. The first start needs `bootstrap` beside it."
  value = { for name, v in var.voters : name => yamlencode({
    name                   = name
    region                 = v.region
    data_dir               = "/var/lib/domicile"
    tls                    = { certificate = "${var.folder}/${name}/cert.pem", key = "${var.folder}/${name}/key.pem", ca = "${var.folder}/${name}/ca.pem" }
    gateway_tls            = { certificate = "${var.folder}/${name}-gateway/cert.pem", key = "${var.folder}/${name}-gateway/key.pem", ca = "${var.folder}/${name}-gateway/ca.pem" }
    rest_address           = "0.0.0.0:${var.ports.rest}"
    grpc_address           = "0.0.0.0:${var.ports.grpc}"
    raft_address           = "0.0.0.0:${var.ports.raft}"
    advertise              = { grpc_address = "${v.host}:${var.ports.grpc}", raft_address = "${v.host}:${var.ports.raft}" }
    voters                 = [for n, o in var.voters : { name = n, raft_address = "${o.host}:${var.ports.raft}", grpc_address = "${o.host}:${var.ports.grpc}" }]
    bundle_key             = "${var.folder}/bundle.key"
    bundle_key_certificate = "${var.folder}/bundle.cert"
    root_public_key        = var.root_public_key
    backup                 = { recipients = var.backup_recipients, folder = "/var/backups/domicile" }
  }) }
}

output "control_plane" {
  description = "The voters' gRPC addresses: `control_plane` of every node's configuration."
  value       = [for v in values(var.voters) : "${v.host}:${var.ports.grpc}"]
}

output "backup_buckets" {
  description = "The bucket of each voter's backups. A voter writes backups to /var/backups/domicile; let a timer copy them here (`aws s3 cp`)."
  value       = { for name, b in aws_s3_bucket.backup : name => b.bucket }
}

output "instance_profiles" {
  description = "Name of the instance profile for each voter's machine."
  value       = { for name, p in aws_iam_instance_profile.voter : name => p.name }
}

output "security_group_ids" {
  description = "Security group of each voter: Raft for voters, gRPC for voters and nodes, REST for people."
  value       = { for name, g in aws_security_group.voter : name => g.id }
}

output "policies" {
  description = "Policies of each voter (JSON), to review or to simulate: `bucket`, `key`, `role`."
  value = { for name, v in var.voters : name => {
    bucket = aws_s3_bucket_policy.backup[name].policy
    key    = aws_kms_key.backup[name].policy
    role   = aws_iam_role_policy.voter[name].policy
  } }
}
