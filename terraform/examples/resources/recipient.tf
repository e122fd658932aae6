# Adding a recipient loosens the policy: the first apply names the pending change.
resource "domicile_recipient" "fraud" {
  tenant            = "clinic"
  region            = "us1"
  purpose           = "fraud_prevention"
  assessment_hash   = "0000000000000000000000000000000000000000000000000000000000000000"
  assessment_expiry = "2028-06-30T00:00:00Z"
}
