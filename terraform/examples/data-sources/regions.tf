data "domicile_regions" "eu" {
  boundary        = "eu"
  lifecycle_state = "active"
}

output "ids" {
  value = data.domicile_regions.eu.regions[*].id
}
