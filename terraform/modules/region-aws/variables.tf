# What is required has no default: nobody gets a region by forgetting to name one.

variable "region" {
  type        = string
  nullable    = false
  description = "The region's id at Domicile, such as `ie1`."
  validation {
    condition     = can(regex("^[a-z]{2}[0-9]{1,2}$", var.region))
    error_message = "A region's id is two letters and one or two digits, such as ie1."
  }
}

variable "boundary" {
  type        = string
  nullable    = false
  description = "The boundary that the region belongs to, such as `eu`. An AWS region outside of it is refused."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.boundary))
    error_message = "A boundary is small letters, digits and dashes, such as eu."
  }
}

variable "aws_region" {
  type        = string
  nullable    = false
  description = "The AWS region, such as `eu-west-1`. The provider must be configured for the same one."
  validation {
    condition     = try(local.places[var.aws_region].boundary, "none") == var.boundary
    error_message = "AWS region ${var.aws_region} is not known to be inside the boundary ${var.boundary}. If it is, say so in more_places."
  }
}

variable "account_id" {
  type        = string
  nullable    = false
  description = "The AWS account, 12 digits; one for this region alone. The provider's credentials must be of it."
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account's id is 12 digits."
  }
}

variable "more_places" {
  type        = map(object({ boundary = string, country = string }))
  nullable    = false
  default     = {}
  description = "AWS regions that the module does not know: where each is. What the module knows cannot be redefined."
  validation {
    condition     = alltrue([for p in values(var.more_places) : can(regex("^[A-Z]{2}$", p.country))])
    error_message = "A country is ISO 3166 alpha-2, such as IE."
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

variable "vpc_id" {
  type        = string
  nullable    = false
  description = "The VPC that the nodes are in."
}

variable "subnet_ids" {
  type        = list(string)
  nullable    = false
  description = "Private subnets, in which the endpoint of KMS has its addresses."
  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Give at least one subnet."
  }
}

variable "route_table_ids" {
  type        = list(string)
  nullable    = false
  description = "Route tables of the nodes' subnets: S3 is reached through its gateway endpoint."
  validation {
    condition     = length(var.route_table_ids) > 0
    error_message = "Give the route tables of the nodes' subnets."
  }
}

variable "node_security_group_id" {
  type        = string
  nullable    = false
  description = "Security group of the nodes; they alone reach the endpoint of KMS."
}

variable "key_admins" {
  type        = list(string)
  nullable    = false
  description = "ARNs of IAM roles that administer the buckets' key and cannot use it. Terraform's own role must be one of them, or AWS refuses the key's policy."
  validation {
    condition     = length(var.key_admins) > 0 && alltrue([for a in var.key_admins : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[^*]+$", a))])
    error_message = "Give ARNs of roles or users; neither the account's root nor *, which would let anybody's IAM policy decide."
  }
}

variable "key_deletion_days" {
  type        = number
  nullable    = false
  default     = 7
  description = "For how many days KMS keeps a key generation that was given up. An erasure is final after it."
  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30
    error_message = "KMS allows 7 to 30 days."
  }
}

variable "deleted_days" {
  type        = number
  nullable    = false
  default     = 1
  description = "For how many days the buckets keep deleted objects as old versions. They end before the keys' deletion is final."
  validation {
    # S3 rounds up to the next midnight and may take a day to carry it out.
    condition     = var.deleted_days >= 1 && floor(var.deleted_days) == var.deleted_days && var.deleted_days + 2 <= var.key_deletion_days
    error_message = "Give whole days, at least 1 and at most key_deletion_days - 2: the bytes go before the certificate of an erasure says that it is final."
  }
}

variable "readable_buckets" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "Names of other buckets that machines of the VPC may read, such as a distribution's packages. Nothing else leaves through the endpoint."
  validation {
    condition     = alltrue([for b in var.readable_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", b))])
    error_message = "Give buckets' names."
  }
}

variable "guarded_targets" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "Ids of accounts or organizational units that the service control policy is attached to: those of this region alone, through the provider aws.organization. Empty: it is only an output."
  validation {
    condition     = alltrue([for t in var.guarded_targets : can(regex("^([0-9]{12}|ou-[0-9a-z]{4,32}-[a-z0-9]{8,32})$", t))])
    error_message = "Give ids of accounts or organizational units; never the organization's root, where other regions live too."
  }
}

variable "key_rescuers" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "ARNs of roles that may cancel the deletion of a key generation, against a mistake. Each of them can undo an erasure until it is final. Empty: nobody."
  validation {
    condition     = alltrue([for a in var.key_rescuers : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[^*]+$", a))])
    error_message = "Give ARNs of roles."
  }
}

variable "more_global_actions" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "Actions of global services beyond those that the service control policy exempts, such as `budgets:*`."
  validation {
    condition     = alltrue([for a in var.more_global_actions : can(regex("^[a-z0-9-]+:[A-Za-z*]+$", a)) && !can(regex("^(s3|s3express|kms|rds|ec2|ebs|backup|dynamodb|logs|firehose|kinesis|sqs|sns|lambda|glue|athena|redshift|es|elasticache|elasticfilesystem|secretsmanager|ssm|transfer|datasync|cloudfront|globalaccelerator):", a))])
    error_message = "Give service:Action, of services that hold or move no data of tenants."
  }
}

variable "tags" {
  type        = map(string)
  nullable    = false
  default     = {}
  description = "Tags of what is made. `domicile:region` is added and cannot be changed."
}
