#!/usr/bin/env bash
# gather.sh NJ WORDS_DIR WORDS_TXT DATA OUT MIN_SHARE
#
# Joins what the jobs wrote to WORDS_DIR to a folder that `trimodal decode --engine import` reads:
# text, ctm, best_path.log with the score of each utterance, utt2id. Fails when less than MIN_SHARE
# of DATA's utterances have a transcript.
set -euo pipefail
nj=$1 from=$2 words=$3 data=$4 out=$5 min_share=$6

joined() {
  local job
  for ((job = 1; job <= nj; job++)); do cat "${1/JOB/$job}"; done
}

rm -rf "$out.new"
mkdir -p "$out.new"
joined "$from/text.JOB" | utils/int2sym.pl -f 2- "$words" > "$out.new/text"
joined "$from/ctm.JOB" | utils/int2sym.pl -f 5 "$words" > "$out.new/ctm"
joined "$from/log/best_path.JOB.log" | grep 'best cost' > "$out.new/best_path.log"
if [ -e "$data/utt2id" ]; then cp "$data/utt2id" "$out.new/utt2id"; fi

n=$(wc -l < "$data/utt2spk")
n_decoded=$(wc -l < "$out.new/text")
cut -d' ' -f1 "$out.new/text" | LC_ALL=C sort | LC_ALL=C comm -13 - <(cut -d' ' -f1 "$data/utt2spk") \
  > "$from/not_decoded"
echo "$n_decoded of $n utterances have a transcript; the others are in $from/not_decoded"
if awk -v decoded="$n_decoded" -v n="$n" -v share="$min_share" \
  'BEGIN { exit !(n == 0 || decoded < share * n) }'; then
  echo "gather.sh: that is less than --min-decoded-share $min_share: see exp/make_mfcc/*.log and" \
    "exp/decode/*/*/log for the reason, or lower it" >&2
  exit 1
fi
rm -rf "$out"
mv "$out.new" "$out"
