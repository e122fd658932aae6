ephemeral "domicile_api_key_secret" "ingest" {
  region = "ie1"
}
