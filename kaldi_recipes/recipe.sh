# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # some variables are run.sh's, others are for it
# What the recipes share: options in Kaldi's form, stages, and commands that are shown before they
# run. A run.sh sets its defaults, sources this file, and calls parse_options "$@".
#
#   --stage N        start there, and do those stages again that were done before
#   --stop-stage N   end after it
#   --dry-run        print every command, quoted as a shell takes it, and run none

set -euo pipefail

recipe=$(cd "$(dirname "$0")" && pwd) # the folder of the run.sh
repository=$(cd "$recipe/../.." && pwd)
python=${PYTHON:-python3}
kaldi=/path/to/kaldi # a dry run goes without
if [ -n "${KALDI_ROOT:-}" ]; then
  kaldi=$(realpath -ms "$KALDI_ROOT")
  export KALDI_ROOT=$kaldi
fi
stage=
stop_stage=
dry_run=false
arguments=()
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH}

fail() {
  echo "$(basename "$recipe")/run.sh: $*" >&2
  exit 1
}

# parse_options "$@": sets the variables that --name value names, those of $options_known and the
# three above; the words that are no options go to $arguments.
parse_options() {
  local name
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) echo "$usage"; exit 0 ;;
      --dry-run) dry_run=true; shift ;;
      --*=*) fail "write --name value, not '$1'" ;;
      --*)
        name=${1#--}
        name=${name//-/_}
        [[ " stage stop_stage ${options_known:-} " == *" $name "* ]] ||
          fail "no option $1; see --help"
        [ $# -ge 2 ] || fail "$1 needs a value"
        printf -v "$name" %s "$2"
        shift 2
        ;;
      *) arguments+=("$1"); shift ;;
    esac
  done
  check_whole_numbers
}

check_whole_numbers() {
  local name
  for name in stage stop_stage ${whole_numbers:-}; do
    [[ ${!name} =~ ^[0-9]{0,9}$ ]] || fail "--${name//_/-} ${!name}: give a whole number"
  done
  [ "${stage:-0}" -le "$last_stage" ] ||
    fail "--stage $stage: the last stage is $last_stage; see README.md"
}

# run COMMAND ARGUMENT...: shows it and runs it.
run() {
  quoted "$@"
  $dry_run || "$@"
}

# quoted WORD...: them as a shell takes them, in quotes where it needs any.
quoted() {
  local word line=""
  for word; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  echo "${line:1}"
}

# set_up OUT SETTINGS TARGET...: goes to OUT ($out), which gets links to the targets, to Kaldi, path.sh
# and cmd.sh: Kaldi's scripts want them, and utils and steps, in the folder where they run. SETTINGS
# are those that decide the results: another run there with others is refused.
set_up() {
  local settings=$2 target
  out=$(realpath -m "$1")
  shift 2
  [[ $out =~ ^[A-Za-z0-9_./+=@,-]+$ ]] ||
    fail "$out: Kaldi's scripts take plain characters and no spaces in paths; give another OUT"
  check_settings "$out/.settings" "$settings"
  run mkdir -p "$out/.done"
  for target; do
    run ln -sfn "$target" "$out/$(basename "$target")"
  done
  if [ -e "$recipe/path.sh" ]; then
    run ln -sfn "$kaldi" "$out/kaldi"
    run ln -sfn "$recipe/path.sh" "$out/path.sh"
    run ln -sfn "$recipe/cmd.sh" "$out/cmd.sh"
  fi
  run cd "$out"
  [ ! -e "$recipe/path.sh" ] || run . ./path.sh
  $dry_run || printf '%s\n' "$settings" > .settings
}

# check_settings FILE SETTINGS: that FILE, if there is one, holds the same.
check_settings() {
  if $dry_run || [ ! -e "$1" ] || [ "$(cat "$1")" = "$2" ]; then return 0; fi
  fail "$(dirname "$1") was made with other settings ($(cat "$1"); now: $2): give another OUT, or" \
    "remove it"
}

# at_stage N TITLE: whether stage N is to be run.
at_stage() {
  local marker
  if [ "$1" -lt "${stage:-0}" ] || [ "$1" -gt "${stop_stage:-$last_stage}" ]; then
    return 1
  fi
  if [ -z "$stage" ] && ! $dry_run && [ -e ".done/$1" ]; then
    echo "# stage $1: $2: done before"
    return 1
  fi
  echo "# stage $1: $2"
  for marker in .done/*; do # what follows is made of this one
    if ! $dry_run && [ -e "$marker" ] && [ "$(basename "$marker")" -ge "$1" ]; then
      rm "$marker"
    fi
  done
}

# done_stage N: a next run without --stage passes over it.
done_stage() {
  $dry_run || : > ".done/$1"
}

# need_kaldi PROGRAM...: Kaldi's scripts, and that its programs are there.
need_kaldi() {
  local program missing=()
  # shellcheck source=cmd.sh
  . "$recipe/cmd.sh"
  if ! $dry_run; then
    # shellcheck source=path.sh
    . "$recipe/path.sh"
    for program; do
      command -v "$program" > /dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] ||
      fail "not below KALDI_ROOT=$KALDI_ROOT: ${missing[*]}; build Kaldi (make -C src)"
  fi
  quoted export "KALDI_ROOT=$kaldi" "PYTHONPATH=$PYTHONPATH"
}
