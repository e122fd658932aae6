# One region on this machine: its place in the catalogue, a certificate, and the
# node's configuration. Starting the node is systemd's, or yours: see the outputs.

locals {
  # A certificate names its hosts, so that other hosts are another certificate.
  tls_folder  = "${var.folder}/tls-${substr(sha256(jsonencode([var.region, sort(var.hosts), abspath(var.pki_dir)])), 0, 12)}"
  config_file = "${var.folder}/node.yaml"

  config = yamlencode(merge(var.settings, { for k, v in {
    region          = var.region
    data_dir        = "${var.folder}/data"
    tls             = { certificate = "${local.tls_folder}/cert.pem", key = "${local.tls_folder}/key.pem", ca = "${local.tls_folder}/ca.pem" }
    listen_address  = var.listen_address
    hosts           = var.hosts
    ingest_address  = var.ingest_address
    peer_address    = var.peer_address
    ops_address     = var.ops_address
    control_plane   = var.control_plane
    root_public_key = var.root_public_key
    base_urls       = { (var.region) = var.base_url }
    peers           = var.peers
    default_country = var.country
  } : k => v if v != "" }))
}

resource "domicile_region" "this" {
  id                  = var.region
  boundary            = var.boundary
  country             = var.country
  cloud               = var.place
  backup_region       = "none"
  lifecycle_state     = var.lifecycle_state
  base_url            = var.base_url
  deletion_protection = var.deletion_protection
}

# The key is drawn by the program on this machine and is in no state. It is never
# overwritten: `domicile pki rotate` renews it.
resource "terraform_data" "certificate" {
  triggers_replace = local.tls_folder
  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-eu", "-c"]
    command     = <<-END
      umask 077
      mkdir -p "$FOLDER"
      test -e "$OUT/cert.pem" && exit 0
      set --
      for host in $HOSTS; do set -- "$@" --host "$host"; done
      "$DOMICILE" pki issue --dir "$PKI" --role dp --region "$REGION" "$@" --out "$OUT"
    END
    environment = {
      DOMICILE = var.domicile
      FOLDER   = var.folder
      PKI      = abspath(var.pki_dir)
      REGION   = var.region
      HOSTS    = join(" ", var.hosts)
      OUT      = local.tls_folder
    }
  }
}

# Written beside and renamed, so that a node never reads half of it. Destroying takes
# the configuration away and leaves data, keys and certificate: what tenants stored
# is not thrown away with a file that describes it.
resource "terraform_data" "config" {
  input            = { file = local.config_file }
  triggers_replace = [local.config_file, sha256(local.config)]
  depends_on       = [terraform_data.certificate, domicile_region.this]
  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-eu", "-c"]
    command     = "umask 077; mkdir -p \"$(dirname \"$FILE\")\"; printf '%s' \"$CONFIG\" >\"$FILE.new\"; mv \"$FILE.new\" \"$FILE\""
    environment = { FILE = local.config_file, CONFIG = local.config }
  }
  provisioner "local-exec" {
    when        = destroy
    interpreter = ["/bin/sh", "-eu", "-c"]
    command     = "rm -f \"$FILE\""
    environment = { FILE = self.input.file }
  }
}
