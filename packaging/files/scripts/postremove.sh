#!/bin/sh
# No removal, and no purge, deletes records, keys or the policy store. Keys that
# are gone are records that are gone, for good.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi

case "$1" in remove | purge | 0) ;; *) exit 0 ;; esac

for kept in /var/lib/domicile-controlplane /var/lib/domicile-dataplane /etc/domicile; do
  if [ -e "$kept" ]; then
    echo "domicile: $kept stays. When nobody needs what is in it: rm -r $kept" >&2
  fi
done
