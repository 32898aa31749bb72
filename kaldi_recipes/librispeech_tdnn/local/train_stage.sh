#!/usr/bin/env bash
# train_stage.sh DIR: the iteration from which Kaldi's train.py can go on in DIR; -10 begins anew.
set -euo pipefail
last=-10
for file in "$1"/*.mdl; do
  name=$(basename "$file" .mdl)
  [[ ! $name =~ ^[0-9]+$ ]] || [ "$name" -le "$last" ] || last=$name
done
echo "$last"
