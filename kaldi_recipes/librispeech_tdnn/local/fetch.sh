#!/usr/bin/env bash
# fetch.sh URL DIR PUBLISHED: downloads an archive to DIR and checks it.
#
# Its checksum must be the one in the file PUBLISHED, or, where that has none, the one that was
# recorded in DIR/sha256sums on the first download.
set -euo pipefail
url=$1 dir=$2 published=$3
name=${url##*/}
recorded=$dir/sha256sums

fail() {
  echo "fetch.sh: $*" >&2
  exit 1
}

known() { awk -v name="$name" '$1 !~ /^#/ && $2 == name { print $1 }' "$1"; }

file=$dir/$name
if [ ! -e "$file" ]; then
  file=$dir/$name.part # a download that was cut off goes on where it was
  gzip -t "$file" 2> /dev/null ||
    curl --fail --location --retry 5 --continue-at - --output "$file" "$url" ||
    fail "$url cannot be downloaded; put the archive into $dir by hand, or try again ($file" \
      "holds what came)"
fi
sum=$(sha256sum < "$file" | cut -d' ' -f1)
touch "$recorded"
expected=$(known "$published")
if [ -z "$expected" ]; then expected=$(known "$recorded"); fi
if [ -z "$expected" ]; then
  gzip -t "$file" || fail "$file is no whole .tar.gz, but what $url gave; remove it and try again"
  echo "$sum  $name" >> "$recorded"
  echo "fetch.sh: $name has the checksum $sum, which is trusted as the first one seen and kept in" \
    "$recorded; compare it with another source" >&2
elif [ "$sum" != "$expected" ]; then
  fail "$file has the checksum $sum, not $expected; remove it and fetch it again"
fi
[ "$file" = "$dir/$name" ] || mv "$file" "$dir/$name"
echo "$dir/$name: $sum"
