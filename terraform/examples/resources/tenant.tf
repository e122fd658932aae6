resource "domicile_tenant" "clinic" {
  slug              = "clinic"
  home_region       = "ie1"
  billing_country   = "IE"
  required_features = ["recording"]
}
