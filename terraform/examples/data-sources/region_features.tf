data "domicile_region_features" "ie1" {
  region = "ie1"
}

output "recording" {
  value = data.domicile_region_features.ie1.features["recording"].stage
}
