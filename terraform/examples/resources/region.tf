resource "domicile_region" "nz1" {
  id              = "nz1"
  boundary        = "nz"
  country         = "NZ"
  cloud           = "aws-ap-southeast-6"
  backup_region   = "none"
  lifecycle_state = "planned"
}
