# shellcheck shell=bash
# Kaldi's programs and scripts on the PATH. Kaldi's own scripts source it too, in the folder they run.
if [ -z "${KALDI_ROOT:-}" ] && [ -d kaldi ]; then
  export KALDI_ROOT=$PWD/kaldi # a job of queue.pl or slurm.pl, which hand over PATH alone
fi
if [ -z "${KALDI_ROOT:-}" ]; then
  echo "path.sh: KALDI_ROOT is not set: build Kaldi (https://kaldi-asr.org/doc/install.html) and" \
    "export KALDI_ROOT=DIR, or look with --dry-run" >&2
  exit 1
fi
if [ ! -f "$KALDI_ROOT/egs/wsj/s5/utils/run.pl" ]; then
  echo "path.sh: KALDI_ROOT=$KALDI_ROOT has no egs/wsj/s5/utils/run.pl: give Kaldi's own folder" >&2
  exit 1
fi
for kaldi_folder in "$KALDI_ROOT"/tools/openfst/bin "$KALDI_ROOT"/src/*bin "$KALDI_ROOT"/bin \
  "$KALDI_ROOT"/egs/wsj/s5/utils; do
  case ":$PATH:" in
    *":$kaldi_folder:"*) ;;
    *) [ ! -d "$kaldi_folder" ] || PATH=$kaldi_folder:$PATH ;;
  esac
done
export PATH
export LC_ALL=C # Kaldi's lists are sorted by bytes
