locals {
  # Where AWS's regions are. A boundary is a space of law, not a continent: London
  # and Zurich are in Europe and not in the EU. What is not here is refused until
  # more_places says where it is.
  known_places = {
    eu-central-1   = { boundary = "eu", country = "DE" }
    eu-north-1     = { boundary = "eu", country = "SE" }
    eu-south-1     = { boundary = "eu", country = "IT" }
    eu-south-2     = { boundary = "eu", country = "ES" }
    eu-west-1      = { boundary = "eu", country = "IE" }
    eu-west-3      = { boundary = "eu", country = "FR" }
    us-east-1      = { boundary = "us", country = "US" }
    us-east-2      = { boundary = "us", country = "US" }
    us-west-1      = { boundary = "us", country = "US" }
    us-west-2      = { boundary = "us", country = "US" }
    ap-southeast-2 = { boundary = "au", country = "AU" }
    ap-southeast-4 = { boundary = "au", country = "AU" }
    ap-northeast-1 = { boundary = "jp", country = "JP" }
    ap-northeast-3 = { boundary = "jp", country = "JP" }
    ap-southeast-1 = { boundary = "sg", country = "SG" }
    sa-east-1      = { boundary = "br", country = "BR" }
    eu-west-2      = { boundary = "uk", country = "GB" }
    eu-central-2   = { boundary = "ch", country = "CH" }
  }
  places = merge(var.more_places, local.known_places) # what is known is not redefined
  place  = try(local.places[var.aws_region], { boundary = "none", country = "none" })
}
