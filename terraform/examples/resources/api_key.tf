ephemeral "domicile_api_key_secret" "ingest" {
  region = "ie1"
}

# Hand the same ephemeral value to your vault's write-only attribute in this run.
resource "domicile_api_key" "ingest" {
  tenant            = "clinic"
  region            = "ie1"
  role              = "ingest"
  secret_wo         = ephemeral.domicile_api_key_secret.ingest.key
  secret_wo_version = 1

  lifecycle {
    create_before_destroy = true
  }
}
