#!/usr/bin/env bash
# one_speaker_per_utterance.sh DATA: makes every utterance of a data directory its own speaker.
set -euo pipefail
data=$1
awk '{ print $1, $1 }' "$data/utt2spk" > "$data/utt2spk.new"
mv "$data/utt2spk.new" "$data/utt2spk"
cp "$data/utt2spk" "$data/spk2utt"
rm -f "$data/spk2gender" "$data/cmvn.scp" # by speaker, which no longer are
