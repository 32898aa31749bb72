#!/usr/bin/env bash
# Trains the demo's acoustic model, with pip packages alone.
usage='run.sh [options] OUT

  OUT  the model directory to write

  --stage N --stop-stage N --dry-run

  Stages: 1 synthesise and train, 2 evaluate.'
last_stage=2
# shellcheck source=../recipe.sh
. "$(dirname "$0")/../recipe.sh"
parse_options "$@"
[ ${#arguments[@]} -eq 1 ] || fail "give OUT; see --help"
set_up "${arguments[0]}" "demo_tdnn"

if at_stage 1 "synthesise and train"; then
  run "$python" -m kaldi_recipes.demo_tdnn.train .
  done_stage 1
fi
if at_stage 2 "evaluate"; then
  run "$python" -m kaldi_recipes.demo_tdnn.evaluate .
  done_stage 2
fi
