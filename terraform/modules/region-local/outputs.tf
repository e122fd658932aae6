output "config_file" {
  description = "The node's configuration."
  value       = terraform_data.config.output.file
}

output "config" {
  description = "What is in it (YAML). It names files with secrets and holds none."
  value       = local.config
}

output "command" {
  description = "The command that runs the node, as a list."
  value       = ["domicile-dataplane", "--config", terraform_data.config.output.file]
}

output "region" {
  description = "The region's id, known only once it is in the catalogue and its node is configured: let tenants at home here depend on it."
  value       = domicile_region.this.id
  depends_on  = [terraform_data.config]
}

output "base_url" {
  description = "Where tenants reach the region."
  value       = domicile_region.this.base_url
}
