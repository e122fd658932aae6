#!/usr/bin/env bash
# Signs the checksums of a release with a key that the operator has: an OpenSSH key,
# also one in an agent or on a token (then KEY is its public half). No key is in this
# repository. Usage: packaging/sign.sh FOLDER KEY
set -euo pipefail
dir=${1:?usage: sign.sh FOLDER KEY} key=${2:-}
[ -n "$key" ] || { echo "release-sign: say with which key: make release-sign KEY=~/.ssh/release_ed25519" >&2; exit 2; }
[ -r "$key" ] || { echo "release-sign: $key cannot be read" >&2; exit 2; }
[ -s "$dir/SHA256SUMS" ] || { echo "release-sign: there is no $dir/SHA256SUMS: make release first" >&2; exit 1; }
# Nobody signs what is not there as it was summed.
(cd "$dir" && sha256sum --check --quiet --strict SHA256SUMS) || { echo "release-sign: $dir is not what SHA256SUMS says: make release again" >&2; exit 1; }
rm -f "$dir/SHA256SUMS.sig"
ssh-keygen -q -Y sign -f "$key" -n domicile-release "$dir/SHA256SUMS"
echo "release-sign: $dir/SHA256SUMS.sig; docs/operations/install.md says how it is checked"
