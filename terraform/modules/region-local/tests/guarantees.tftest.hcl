# Planned only: applying would issue a certificate. A Go test applies it for real.
mock_provider "domicile" {}

variables {
  region          = "fr1"
  boundary        = "eu"
  country         = "FR"
  place           = "laptop"
  folder          = "/srv/fr1"
  pki_dir         = "/srv/pki"
  control_plane   = ["127.0.0.1:7001"]
  root_public_key = "0000000000000000000000000000000000000000000000000000000000000000"
  hosts           = ["127.0.0.1"]
  listen_address  = "127.0.0.1:8443"
  base_url        = "https://127.0.0.1:8443"
}

run "what_is_configured" {
  command = plan
  assert {
    condition     = yamldecode(output.config).region == "fr1" && yamldecode(output.config).data_dir == "/srv/fr1/data" && domicile_region.this.deletion_protection
    error_message = "the node is not what was asked for"
  }
  assert {
    condition     = domicile_region.this.backup_region == "none" && domicile_region.this.id == "fr1" && domicile_region.this.boundary == "eu"
    error_message = "the catalogue says another region, or lets its backups leave"
  }
  assert {
    condition     = dirname(yamldecode(output.config).tls.key) == dirname(yamldecode(output.config).tls.certificate) && startswith(yamldecode(output.config).tls.key, "/srv/fr1/tls-")
    error_message = "the certificate and its key are not the node's own"
  }
  assert {
    condition     = !strcontains(output.config, "peer_address") && !strcontains(output.config, "ingest_address")
    error_message = "a listener that nobody asked for"
  }
}

run "streams_have_a_port_when_asked_for" {
  command = plan
  variables {
    ingest_address = "127.0.0.1:9443"
  }
  assert {
    condition     = yamldecode(output.config).ingest_address == "127.0.0.1:9443"
    error_message = "the node takes no streams"
  }
}

run "settings_do_not_change_the_region" {
  command = plan
  variables {
    settings = { region = "us1", backup = { folder = "/mnt/backup" } }
  }
  assert {
    condition     = yamldecode(output.config).region == "fr1" && yamldecode(output.config).backup.folder == "/mnt/backup"
    error_message = "settings change the region"
  }
}

run "a_place_of_aws_is_refused" {
  command = plan
  variables {
    place = "aws-eu-west-1"
  }
  expect_failures = [var.place]
}

run "plain_http_is_refused" {
  command = plan
  variables {
    base_url = "http://127.0.0.1:8443"
  }
  expect_failures = [var.base_url]
}

run "other_hosts_are_another_certificate" {
  command = plan
  variables {
    hosts = ["127.0.0.1", "node.example.net"]
  }
  assert {
    condition     = yamldecode(output.config).tls.certificate != yamldecode(run.what_is_configured.config).tls.certificate
    error_message = "a certificate is kept that does not name the hosts"
  }
}

run "a_folder_that_moves_with_the_shell_is_refused" {
  command = plan
  variables {
    folder = "fr1"
  }
  expect_failures = [var.folder]
}

run "a_region_without_voters_is_refused" {
  command = plan
  variables {
    control_plane = []
  }
  expect_failures = [var.control_plane]
}

run "a_key_that_is_none_is_refused" {
  command = plan
  variables {
    root_public_key = "0000"
  }
  expect_failures = [var.root_public_key]
}

run "a_region_that_is_none_is_refused" {
  command = plan
  variables {
    region = "france"
  }
  expect_failures = [var.region]
}
