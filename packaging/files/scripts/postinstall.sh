#!/bin/sh
# Nothing is started here, and nothing is started again: a new installation has no
# configuration, and voters and nodes are upgraded one after the other by somebody
# who looks (docs/operations/upgrade.md).
set -e

case "$1" in configure | [0-9]*) ;; *) exit 0 ;; esac # dpkg: configure; rpm: how many are installed

for part in controlplane dataplane; do
  install -d -m 0755 /etc/domicile
  install -d -m 0750 -o root -g "domicile-$part" "/etc/domicile/$part"
  install -d -m 0700 -o root -g root "/etc/domicile/$part/credentials"
done

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  for part in controlplane dataplane; do
    if systemctl --quiet is-active "domicile-$part.service"; then
      echo "domicile: domicile-$part still runs the former program. When the others are well: systemctl restart domicile-$part" >&2
    fi
  done
fi

if [ ! -e /etc/domicile/controlplane.yaml ] && [ ! -e /etc/domicile/dataplane.yaml ]; then
  echo "domicile: nothing runs yet. Write /etc/domicile/controlplane.yaml or dataplane.yaml after the examples in /usr/share/doc/domicile/examples, then: systemctl enable --now domicile-controlplane (or domicile-dataplane)" >&2
fi
