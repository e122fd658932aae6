#!/usr/bin/env bash
# Builds one revision twice, from two clones in folders of different names, and
# compares every byte. Usage: packaging/check.sh FOLDER ARCH[,ARCH]
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
dir=$1 arches=$2
[ -z "$(git status --porcelain)" ] || { echo "release-check: commit first: a release is made of a revision" >&2; exit 1; }
make --no-print-directory packaging cyclonedx
tool=$PWD/.build/packaging bills=$PWD/.build/peers/cyclonedx-gomod
rm -rf "$dir"
mkdir -p "$dir"
for copy in first a-second-folder; do
  git clone --quiet --no-hardlinks . "$dir/$copy"
  # Times, umask, zone and what was compiled before must not matter either: the
  # second copy begins with an empty build cache.
  cache=$([ $copy = first ] && go env GOCACHE || echo "$PWD/$dir/cache")
  (cd "$dir/$copy" && umask "$([ $copy = first ] && echo 022 || echo 077)" &&
    TZ="$([ $copy = first ] && echo UTC || echo Asia/Kolkata)" HOSTNAME=$copy GOCACHE=$cache \
      "$tool" --source . --out "../$copy.out" --arch "$arches" --cyclonedx "$bills")
  rm -rf "${dir:?}/$copy"
done
rm -rf "$dir/cache"
diff --recursive "$dir/first.out" "$dir/a-second-folder.out"
echo "release-check: $(wc -l < "$dir/first.out/SHA256SUMS") files, twice, are the same bytes"
