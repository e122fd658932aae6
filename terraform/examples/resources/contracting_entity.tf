resource "domicile_contracting_entity" "nz" {
  billing_country  = "NZ"
  code             = "DOM-NZ"
  suggested_region = "au1"
}
