resource "domicile_access_policy" "clinic" {
  tenant          = "clinic"
  allowed_reasons = ["CUSTOMER_INITIATED_SUPPORT"]
  max_duration    = 1800
}
