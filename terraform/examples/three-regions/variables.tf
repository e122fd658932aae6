variable "accounts" {
  type        = map(string)
  description = "AWS account of each region, and of the control plane as `control`."
}

variable "networks" {
  type        = map(object({ vpc_id = string, subnet_ids = list(string), route_table_ids = list(string), node_security_group_id = string }))
  description = "The network of each region, as one-region makes one."
}

variable "control_vpcs" {
  type        = map(string)
  description = "VPC of each voter."
}

variable "root_public_key" {
  type        = string
  description = "The operator root's public key, 64 hex digits."
}

variable "backup_recipients" {
  type        = list(string)
  description = "age public keys that the control plane's backups are encrypted to."
}
