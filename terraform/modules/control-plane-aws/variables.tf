# What is required has no default: nobody gets a place by forgetting to name one.

variable "voters" {
  type = map(object({
    region     = string # of Domicile, such as ie1
    boundary   = string # such as eu
    aws_region = string # such as eu-west-1
    vpc_id     = string
    host       = string # name that the others, nodes and people reach it at
  }))
  nullable    = false
  description = "The voters by name, three or five: where each stands, its VPC, and its host name."
  validation {
    condition     = contains([3, 5], length(var.voters))
    error_message = "A control plane has three or five voters."
  }
  validation {
    condition     = alltrue([for name, v in var.voters : can(regex("^[a-z][a-z0-9-]{0,31}$", name)) && can(regex("^[a-z]{2}[0-9]{1,2}$", v.region)) && can(regex("^[a-z0-9.-]+$", v.host))])
    error_message = "A voter's name is small letters, digits and dashes, its region a region's id such as ie1, its host a DNS name."
  }
  validation {
    condition     = alltrue([for b in distinct(values(var.voters)[*].boundary) : 2 * length([for v in values(var.voters) : v if v.boundary == b]) < length(var.voters)])
    error_message = "One boundary holds a majority of the voters: whoever governs it could stop or take the policies of all. Spread them over three boundaries, five as 2, 2, 1."
  }
  validation {
    condition     = alltrue([for v in values(var.voters) : try(local.places[v.aws_region], "") == v.boundary])
    error_message = "A voter's AWS region is not known to be inside its boundary. If it is, say so in more_places."
  }
  validation {
    condition     = length(distinct(values(var.voters)[*].host)) == length(var.voters)
    error_message = "Two voters have one host."
  }
}

variable "more_places" {
  type        = map(string)
  nullable    = false
  default     = {}
  description = "AWS regions that the module does not know: the boundary of each. What the module knows cannot be redefined."
}

variable "account_id" {
  type        = string
  nullable    = false
  description = "The AWS account of the control plane, 12 digits; no region's account."
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account's id is 12 digits."
  }
}

variable "key_admins" {
  type        = list(string)
  nullable    = false
  description = "ARNs of IAM roles that administer the backups' keys and cannot use them. Terraform's own role must be one of them."
  validation {
    condition     = length(var.key_admins) > 0 && alltrue([for a in var.key_admins : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[^*]+$", a))])
    error_message = "Give ARNs of roles or users; neither the account's root nor *, which would let anybody's IAM policy decide."
  }
}

variable "raft_cidrs" {
  type        = list(string)
  nullable    = false
  description = "CIDR blocks of all voters: they alone reach the Raft port."
  validation {
    condition     = length(var.raft_cidrs) > 0 && !contains(var.raft_cidrs, "0.0.0.0/0") && alltrue([for c in var.raft_cidrs : can(cidrhost(c, 0))])
    error_message = "Give CIDR blocks of the voters; not the whole internet."
  }
}

variable "node_cidrs" {
  type        = list(string)
  nullable    = false
  description = "CIDR blocks of all regions' nodes and of the voters: they reach the gRPC port, with certificates."
  validation {
    condition     = length(var.node_cidrs) > 0 && alltrue([for c in var.node_cidrs : can(cidrhost(c, 0))])
    error_message = "Give CIDR blocks."
  }
}

variable "people_cidrs" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "CIDR blocks of people and Terraform, who reach the REST port with tokens."
  validation {
    condition     = alltrue([for c in var.people_cidrs : can(cidrhost(c, 0))])
    error_message = "Give CIDR blocks."
  }
}

variable "root_public_key" {
  type        = string
  nullable    = false
  description = "The operator root's public key, 64 hex digits."
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.root_public_key))
    error_message = "Give 64 hex digits."
  }
}

variable "backup_recipients" {
  type        = list(string)
  nullable    = false
  description = "age public keys (age1…) that every backup is encrypted to, before it is anywhere: `domicile backup key`."
  validation {
    condition     = length(var.backup_recipients) > 0 && alltrue([for r in var.backup_recipients : can(regex("^age1[0-9a-z]{58}$", r))])
    error_message = "Give at least one age public key."
  }
}

variable "backup_days" {
  type        = number
  nullable    = false
  default     = 35
  description = "For how many days the bucket keeps backups, and locks them against whoever has a voter."
  validation {
    condition     = var.backup_days >= 1 && floor(var.backup_days) == var.backup_days
    error_message = "Give whole days."
  }
}

variable "name" {
  type        = string
  nullable    = false
  default     = "domicile"
  description = "First part of the names of what is made."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "Give 2 to 20 small letters, digits and dashes."
  }
}

variable "ports" {
  type        = object({ rest = number, grpc = number, raft = number })
  nullable    = false
  default     = { rest = 443, grpc = 7001, raft = 7002 }
  description = "Ports of every voter."
}

variable "folder" {
  type        = string
  nullable    = false
  default     = "/etc/domicile"
  description = "Where certificates and keys lie on a voter's machine, as `domicile pki issue` writes them."
}

variable "tags" {
  type        = map(string)
  nullable    = false
  default     = {}
  description = "Tags of what is made."
}
