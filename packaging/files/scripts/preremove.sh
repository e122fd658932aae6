#!/bin/sh
set -e

case "$1" in remove | 0) ;; *) exit 0 ;; esac # an upgrade stops nothing

if [ -d /run/systemd/system ]; then
  systemctl --no-reload disable --now domicile-controlplane.service domicile-dataplane.service || :
fi
