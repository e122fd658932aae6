data "domicile_placement_check" "us" {
  tenant   = "clinic"
  region   = "us1"
  features = ["recording", "transcript"]
}

output "would_block" {
  value = [for f in data.domicile_placement_check.us.findings : f.code if f.severity == "blocks"]
}
