terraform {
  required_providers {
    domicile = {
      source = "domicile-io/domicile"
    }
  }
}

# The token comes from DOMICILE_TOKEN or from token_file, and stands nowhere here.
provider "domicile" {
  endpoint = "https://control.example.net"
  ca_file  = "/etc/domicile/ca.pem"
}
