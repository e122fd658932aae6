resource "domicile_role_binding" "auditor" {
  principal  = "PR00000000000000000000000000000001"
  role       = "auditor"
  read_only  = true
  expires_at = "2027-06-30T00:00:00Z"
}
