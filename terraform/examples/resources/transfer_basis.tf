variable "grant" {
  type        = string
  description = "What `domicile bases grant SCC --out FILE` wrote: file(\"FILE\")."
}

resource "domicile_transfer_basis" "scc" {
  id         = "SCC"
  state      = "active"
  expires_at = "2028-01-01T00:00:00Z"
  grant      = var.grant
}
