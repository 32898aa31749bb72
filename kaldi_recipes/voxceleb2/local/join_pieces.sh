#!/usr/bin/env bash
# join_pieces.sh NJ DIR NAME: the file NAME of all pieces of job J, as DIR/STEM.J.EXTENSION.
set -euo pipefail
nj=$1 dir=$2 name=$3
for ((job = 1; job <= nj; job++)); do
  cat "$dir/$job"/*/"$name" > "$dir/${name%.*}.$job.${name##*.}"
done
