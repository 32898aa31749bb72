#!/usr/bin/env bash
# in_pieces.sh N LIST DIR PROGRAM ARGUMENT...
#
# Runs a Kaldi program over LIST, a feats.scp, N utterances at a time. In its arguments PIECE stands
# for the folder of a piece, which has its feats.scp and spk2utt and takes what the program writes.
# A finished piece is not made again. A piece on which the program fails is halved until the
# utterances that end it are alone; these are in DIR/*/lost, and cost no other.
set -euo pipefail

most_lost=5 # more in a job are no accident: the program or the model is at fault
n=$1 list=$2 dir=$3
shift 3
program=("$@")
n_lost=0

fail() {
  echo "in_pieces.sh: $*" >&2
  exit 1
}

# attempt NAME LIST: the piece DIR/NAME of the utterances in a list.
attempt() {
  local piece=$dir/$1 list=$2 status=0 n_lines
  if [ -e "$piece/done" ]; then
    [ ! -e "$piece/lost" ] || n_lost=$((n_lost + 1))
    return 0
  fi
  rm -rf "$piece"
  mkdir "$piece"
  cp "$list" "$piece/feats.scp"
  awk '{ print $1, $1 }' "$list" > "$piece/spk2utt"
  "${program[@]//PIECE/$piece}" > "$piece/log" 2>&1 || status=$?
  n_lines=$(wc -l < "$list")
  if [ $status -eq 0 ]; then
    rm -rf "$piece"[ab]* # halves of an attempt that failed, in a run that was killed
    echo "$1: $n_lines utterances"
  elif [ $status -eq 130 ] || [ $status -eq 143 ]; then
    fail "stopped; run it again to go on"
  elif [ "$n_lines" -gt 1 ]; then
    halve "$1" "$n_lines"
    return 0
  else
    lose "$piece" $status
  fi
  sync "$piece"/*
  : > "$piece/done"
}

halve() {
  local piece=$dir/$1 half=$(($2 / 2))
  head -n $half "$piece/feats.scp" > "$dir/$1.first"
  tail -n +$((half + 1)) "$piece/feats.scp" > "$dir/$1.second"
  rm -r "$piece"
  attempt "$1a" "$dir/$1.first"
  attempt "$1b" "$dir/$1.second"
  rm "$dir/$1.first" "$dir/$1.second"
}

lose() {
  echo "$(basename "$1"): $(cut -d' ' -f1 "$1/feats.scp") ends ${program[0]} with status $2:" >&2
  grep -m 2 -E '^(ERROR|ASSERTION_FAILED)' "$1/log" >&2 || tail -n 5 "$1/log" >&2
  n_lost=$((n_lost + 1))
  [ $n_lost -le $most_lost ] ||
    fail "${program[0]} fails on more than $most_lost utterances; its last words are above"
  find "$1" -type f ! -name log ! -name feats.scp -delete
  cut -d' ' -f1 "$1/feats.scp" > "$1/lost"
}

mkdir -p "$dir"
printf '%q ' "$n" "$list" "$@" > "$dir/command.new"
if [ -e "$dir/command" ] && ! cmp -s "$dir/command" "$dir/command.new"; then
  fail "$dir was made by another command ($(cat "$dir/command")); remove it to make it again"
fi
mv "$dir/command.new" "$dir/command"
rm -f "$dir"/list.*
split -a 6 -d -l "$n" "$list" "$dir/list."
for part in "$dir"/list.*; do
  attempt "${part##*.}" "$part"
done
