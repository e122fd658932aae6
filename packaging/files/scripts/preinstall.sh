#!/bin/sh
# The users own what no upgrade and no removal takes away: they are made once and
# stay.
set -e

user() { # user NAME TITLE
  getent passwd "$1" >/dev/null && return
  getent group "$1" >/dev/null || groupadd --system "$1"
  useradd --system --gid "$1" --no-create-home --home-dir "/var/lib/$1" --shell /usr/sbin/nologin --comment "$2" "$1"
}

user domicile-controlplane "Domicile control plane"
user domicile-dataplane "Domicile data plane"
