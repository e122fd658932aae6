resource "domicile_region_feature" "recording" {
  region  = "ie1"
  feature = "recording"
  stage   = "ga"
  limits  = { CONCURRENT_CALLS = 1000 }
}
