output "host" {
  value = provider::domicile::region_host("ie1", "voice.example.net") # api.ie1.voice.example.net
}
