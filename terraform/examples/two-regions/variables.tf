variable "accounts" {
  type        = map(string)
  description = "AWS account of each region."
}

variable "networks" {
  type        = map(object({ vpc_id = string, subnet_ids = list(string), route_table_ids = list(string), node_security_group_id = string }))
  description = "The network of each region, as one-region makes one."
}
