# What must never be allowed is said in a check, and asked at each plan.
check "records_stay_at_home" {
  data "domicile_decision" "abroad" {
    tenant     = "clinic"
    operation  = "store"
    data_class = "call_record"
    region     = "us1"
  }

  assert {
    condition     = data.domicile_decision.abroad.effect == "deny"
    error_message = "Call records of the clinic may be stored in us1."
  }
}
