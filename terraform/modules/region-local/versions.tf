terraform {
  required_version = ">= 1.11"
  required_providers {
    domicile = {
      source = "domicile-io/domicile"
    }
  }
}
