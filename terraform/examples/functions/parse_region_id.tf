output "number" {
  value = provider::domicile::parse_region_id("ie1").number # 1
}
