#!/usr/bin/env bash
# Decodes the corpus of a workspace with Kaldi, on one machine or a queue.
usage='run.sh [options] WORK MODEL OUT

  WORK   a workspace of trimodal prepare
  MODEL  a model directory, as trimodal decode --model takes it
  OUT    the folder to work in; all machines of a queue must see it

  --stage N --stop-stage N --nj N --dry-run
  --num-threads N          threads a decoding job has, which share the graph (1)
  --piece-size N           utterances that are decoded at a time; a killed job loses one piece (1000)
  --min-decoded-share X    below this share of decoded utterances stage 5 fails (0.95)
  --wav true               keep the sound as WAV (0.27 TB for VoxCeleb2) in place of ffmpeg pipes

  Stages: 0 model and data directory, 1 validate, 2 MFCC, 3 i-vectors, 4 decode, 5 words and scores,
  6 back into WORK. The way to a queue is cmd.sh.'
nj=4
num_threads=1
piece_size=1000
min_decoded_share=0.95
wav=false
options_known="nj num_threads piece_size min_decoded_share wav"
whole_numbers="nj num_threads piece_size"
last_stage=6
# shellcheck source=../recipe.sh
. "$(dirname "$0")/../recipe.sh"
parse_options "$@"
[ ${#arguments[@]} -eq 3 ] || fail "give WORK, MODEL and OUT; see --help"
work=$(realpath -m "${arguments[0]}")
given_model=$(realpath -m "${arguments[1]}")
[[ " $nj $num_threads $piece_size " != *" 0 "* ]] ||
  fail "--nj, --num-threads and --piece-size are 1 or more"
[[ $wav == true || $wav == false ]] || fail "--wav $wav: true or false"
[ -d "$given_model" ] || fail "$given_model: no such folder; give a model directory"

data=data/vox_hires
feats=$data/split$nj/JOB/feats.scp
model=exp/model
lattices="ark:gunzip -c exp/decode/JOB/*/lat.gz |"
export_options=()
if [ "$wav" = true ]; then export_options=(--wav); fi
has() { [ -e "$given_model/$1" ] || [ -e "$given_model/${1##*/}" ]; } # in both layouts
if has graph/HCLr.fst && ! has graph/HCLG.fst; then # a graph in two halves
  decoder=nnet3-latgen-faster-lookahead
  decode=("$decoder")
  graph=("$model/HCLr.fst" "$model/Gr.fst" "$model/disambig_tid.int")
else
  decoder=nnet3-latgen-faster-parallel
  decode=("$decoder" "--num-threads=$num_threads")
  graph=("$model/HCLG.fst")
fi
decode+=("--config=$model/decode.conf" --allow-partial=true)
if [ -e "$given_model/ivector/final.ie" ]; then
  decode+=(--online-ivectors=scp:exp/ivectors/ivectors.JOB.scp --online-ivector-period=10)
fi

need_kaldi "$decoder" compute-mfcc-feats copy-feats ivector-extract-online2 lattice-best-path \
  lattice-align-words lattice-to-ctm-conf
$dry_run || command -v trimodal > /dev/null ||
  fail "no command trimodal on the PATH: activate the environment that has it"
read -ra train <<< "$train_cmd"
read -ra decode_jobs <<< "$decode_cmd --num-threads $num_threads"
set_up "${arguments[2]}" "work=$work model=$given_model wav=$wav" \
  "$recipe"/{local,conf} "$kaldi"/egs/wsj/s5/{utils,steps}

if [ -e .done/2 ] && [ "${stage:-3}" -gt 2 ]; then check_settings "$out/.jobs" "nj=$nj"; fi

if at_stage 0 "the model in Kaldi's layout, the data directory"; then
  run "$python" -m kaldi_recipes.voxceleb2.kaldi_model "$given_model" conf $model
  run trimodal export kaldi "$work" data/vox "${export_options[@]}"
  done_stage 0
fi

if at_stage 1 "validate"; then
  run utils/validate_data_dir.sh --no-text --no-feats data/vox
  done_stage 1
fi

if at_stage 2 "MFCC"; then
  run rm -rf $data # of a run that was killed here
  run utils/copy_data_dir.sh --validate-opts "--no-text --no-feats" data/vox $data
  # Each utterance is a speaker of its own: its words and score depend on nothing but itself.
  run local/one_speaker_per_utterance.sh $data
  run steps/make_mfcc.sh --cmd "$train_cmd" --nj "$nj" --mfcc-config $model/mfcc.conf $data \
    exp/make_mfcc mfcc
  run utils/fix_data_dir.sh $data
  run utils/validate_data_dir.sh --no-text $data
  run utils/split_data.sh $data "$nj"
  $dry_run || echo "nj=$nj" > .jobs
  done_stage 2
fi

if at_stage 3 "i-vectors, if the network takes them"; then
  if [ -e "$given_model/ivector/final.ie" ]; then
    run "${train[@]}" JOB=1:"$nj" exp/ivectors/log/extract.JOB.log \
      local/in_pieces.sh "$piece_size" "$feats" exp/ivectors/JOB \
      ivector-extract-online2 --config=$model/ivector_extractor.conf \
      ark:PIECE/spk2utt scp:PIECE/feats.scp \
      "ark:| copy-feats --compress=true ark:- ark,scp:PIECE/ivectors.ark,PIECE/ivectors.scp"
    run local/join_pieces.sh "$nj" exp/ivectors ivectors.scp
  fi
  done_stage 3
fi

if at_stage 4 "decode"; then
  run "${decode_jobs[@]}" JOB=1:"$nj" exp/decode/log/decode.JOB.log \
    local/in_pieces.sh "$piece_size" "$feats" exp/decode/JOB \
    "${decode[@]}" $model/final.mdl "${graph[@]}" scp:PIECE/feats.scp \
    "ark:| gzip -c > PIECE/lat.gz"
  done_stage 4
fi

if at_stage 5 "words and scores"; then
  run "${train[@]}" JOB=1:"$nj" exp/words/log/best_path.JOB.log \
    lattice-best-path --config=$model/best_path.conf "$lattices" ark,t:exp/words/text.JOB
  if has graph/phones/word_boundary.int; then
    run "${train[@]}" JOB=1:"$nj" exp/words/log/ctm.JOB.log set -o pipefail "&&" \
      lattice-align-words $model/word_boundary.int $model/final.mdl "$lattices" ark:- \| \
      lattice-to-ctm-conf --config=$model/ctm.conf ark:- exp/words/ctm.JOB
  else
    run "${train[@]}" JOB=1:"$nj" exp/words/log/ctm.JOB.log \
      lattice-to-ctm-conf --config=$model/ctm.conf "$lattices" exp/words/ctm.JOB
  fi
  run local/gather.sh "$nj" exp/words $model/words.txt data/vox decoded "$min_decoded_share"
  done_stage 5
fi

if at_stage 6 "back into the workspace"; then
  run trimodal decode "$work" --engine import --decoded "$out/decoded"
  done_stage 6
fi
