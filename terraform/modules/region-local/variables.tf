# What is required has no default: nobody gets a region by forgetting to name one.

variable "region" {
  type        = string
  nullable    = false
  description = "The region's id, such as `ie1`."
  validation {
    condition     = can(regex("^[a-z]{2}[0-9]{1,2}$", var.region))
    error_message = "A region's id is two letters and one or two digits, such as ie1."
  }
}

variable "boundary" {
  type        = string
  nullable    = false
  description = "The boundary that the machine stands in, such as `eu`."
}

variable "country" {
  type        = string
  nullable    = false
  description = "The country that the machine stands in, ISO 3166 alpha-2; also of numbers without a prefix."
  validation {
    condition     = can(regex("^[A-Z]{2}$", var.country))
    error_message = "A country is two capital letters, such as IE."
  }
}

variable "place" {
  type        = string
  nullable    = false
  description = "What the place is called, as a cloud's region would be: such as `laptop` or `rack-dublin-1`."
  validation {
    condition     = can(regex("^[a-z0-9-]{1,64}$", var.place)) && !startswith(var.place, "aws-")
    error_message = "Give small letters, digits and dashes; names that begin with aws- are AWS's."
  }
}

variable "folder" {
  type        = string
  nullable    = false
  description = "Absolute path of the node's folder on this machine: configuration, certificate, and its data below `data`."
  validation {
    condition     = startswith(var.folder, "/")
    error_message = "Give an absolute path."
  }
}

variable "pki_dir" {
  type        = string
  nullable    = false
  description = "Folder of the authority that `domicile pki init` made."
}

variable "control_plane" {
  type        = list(string)
  nullable    = false
  description = "gRPC addresses of the voters, host:port."
  validation {
    condition     = length(var.control_plane) > 0
    error_message = "Give at least one voter."
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

variable "hosts" {
  type        = list(string)
  nullable    = false
  description = "Names and IP addresses that tenants and other nodes use for this machine; they are in its certificate, and others are refused."
  validation {
    condition     = length(var.hosts) > 0
    error_message = "Give at least one."
  }
}

variable "listen_address" {
  type        = string
  nullable    = false
  description = "host:port for tenants."
}

variable "ingest_address" {
  type        = string
  nullable    = false
  default     = ""
  description = "host:port for tenants' streams of records (gRPC), under the names of hosts; empty: none."
}

variable "base_url" {
  type        = string
  nullable    = false
  description = "Where tenants reach the region, https://host[:port]."
  validation {
    condition     = can(regex("^https://[^/?#@]+$", var.base_url))
    error_message = "Give https://host[:port]."
  }
}

variable "peer_address" {
  type        = string
  nullable    = false
  default     = ""
  description = "host:port for other regions' nodes; empty: none, and nothing is received from them."
}

variable "ops_address" {
  type        = string
  nullable    = false
  default     = ""
  description = "host:port for metrics and health, on loopback or an operations network; empty: none."
}

variable "peers" {
  type        = map(object({ address = string, boundary = string }))
  nullable    = false
  default     = {}
  description = "Other regions' nodes: where their peer listeners are, and the boundary of each."
}

variable "settings" {
  type        = any
  nullable    = false
  default     = {}
  description = "More settings of the node's configuration, such as `{ backup = { folder = \"/mnt/backup\" } }`. Those that other variables give cannot be changed here."
}

variable "lifecycle_state" {
  type        = string
  nullable    = false
  default     = "active"
  description = "The region's life: `planned`, `active`, `draining`, `read_only` or `retired`."
}

variable "deletion_protection" {
  type        = bool
  nullable    = false
  default     = true
  description = "Refuses every plan that would retire the region by destroying it."
}

variable "domicile" {
  type        = string
  nullable    = false
  default     = "domicile"
  description = "The `domicile` program, which issues the certificate."
}
