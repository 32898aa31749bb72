#!/usr/bin/env bash
# next_stage.sh TABLE FIRST: the stage after the last of TABLE whose file is there, else FIRST.
set -euo pipefail
next=$2
while read -r number file; do
  [[ $number != \#* ]] || continue
  [ ! -e "$file" ] || next=$((number + 1))
done < "$1"
echo "$next"
