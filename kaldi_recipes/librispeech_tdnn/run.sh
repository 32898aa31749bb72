#!/usr/bin/env bash
# The LibriSpeech TDNN as a model directory: the published one (model 13 of kaldi-asr.org), or one
# trained by Kaldi's own recipe.
usage='run.sh [options] OUT

  OUT  the folder to work in; the model directory will be OUT/model

  --stage N --stop-stage N --dry-run
  --source published|trained   fetch the network, or train it (published)
  --data DIR                   with trained: where LibriSpeech is, or is downloaded to (OUT/corpus)
  --url URL                    where the archives are (https://kaldi-asr.org/models/13)

  Stages: 1 fetch the archives, or train up to the alignments, 2 unpack, or train the TDNN,
  3 decoding graph, 4 pack the model directory.'
source=published
data=
url=https://kaldi-asr.org/models/13
options_known="source data url"
last_stage=4
# shellcheck source=../recipe.sh
. "$(dirname "$0")/../recipe.sh"
parse_options "$@"
[ ${#arguments[@]} -eq 1 ] || fail "give OUT; see --help"
[[ $source == published || $source == trained ]] || fail "--source $source: published or trained"
data=$(realpath -m "${data:-${arguments[0]}/corpus}")

s5=$kaldi/egs/librispeech/s5
tdnn=exp/chain_cleaned/tdnn_1d_sp
graph=$tdnn/graph_tgsmall
programs=()
if [ ! -e "${arguments[0]}/$graph/HCLG.fst" ]; then
  programs=(tree-info fsttablecompose make-h-transducer add-self-loops am-info)
fi
links=("$kaldi"/egs/wsj/s5/{utils,steps})
if [ "$source" = trained ]; then
  programs+=(compute-mfcc-feats gmm-latgen-faster nnet3-chain-train)
  links+=("$s5"/{local,conf,run.sh})
fi
need_kaldi "${programs[@]}"
set_up "${arguments[0]}" "source=$source" "${links[@]}"

if [ "$source" = published ]; then
  archives=(0013_librispeech_v1_chain 0013_librispeech_v1_extractor 0013_librispeech_v1_lm)
  if at_stage 1 "fetch the published archives"; then
    run mkdir -p archives
    for archive in "${archives[@]}"; do
      run "$recipe/local/fetch.sh" "$url/$archive.tar.gz" archives "$recipe/conf/sha256sums"
    done
    done_stage 1
  fi
  if at_stage 2 "unpack"; then
    for archive in "${archives[@]}"; do
      run "$python" -m kaldi_recipes.librispeech_tdnn.unpack "archives/$archive.tar.gz" .
    done
    done_stage 2
  fi
else
  if at_stage 1 "train up to the alignments: Kaldi's egs/librispeech/s5/run.sh, stages 1 to 19"; then
    from=$("$recipe/local/next_stage.sh" "$recipe/conf/gmm_stages" 1)
    run mkdir -p "$data"
    # Its stage 20 is the next one here; the run goes through it when nothing stops it.
    if [ "$from" -le 19 ]; then run ./run.sh --data "$data" --stage "$from"; fi
    done_stage 1
  fi
  if at_stage 2 "train the TDNN: its local/chain/run_tdnn.sh"; then
    from=$("$recipe/local/next_stage.sh" "$recipe/conf/tdnn_stages" 0)
    iteration=$("$recipe/local/train_stage.sh" $tdnn)
    if [ "$from" -le 15 ]; then
      run local/chain/run_tdnn.sh --stage "$from" --train-stage "$iteration"
    fi
    done_stage 2
  fi
fi

if at_stage 3 "decoding graph"; then
  run utils/mkgraph.sh --self-loop-scale 1.0 --remove-oov data/lang_test_tgsmall $tdnn $graph
  done_stage 3
fi

if at_stage 4 "pack the model directory"; then
  run "$python" -m kaldi_recipes.librispeech_tdnn.pack_model --tdnn $tdnn --graph $graph \
    --extractor exp/nnet3_cleaned/extractor --conf "$recipe/conf" model
  done_stage 4
fi
