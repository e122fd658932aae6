data "domicile_tenant" "clinic" {
  tenant = "clinic"
}

output "boundary" {
  value = data.domicile_tenant.clinic.boundary
}
