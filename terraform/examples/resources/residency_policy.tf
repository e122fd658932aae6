resource "domicile_residency_policy" "clinic" {
  tenant = "clinic"
  classes = {
    call_record = { mode = "sealed", retention = 31536000 }
    recording   = { mode = "sealed", retention = 2592000 }
  }
  egress = {
    CUSTOMER_WEBHOOK = { effect = "deny" }
  }
}
