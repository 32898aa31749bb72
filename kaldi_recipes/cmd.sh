# shellcheck shell=bash
# How jobs are sent. run.pl runs them here; change this file, or export the variables, for a queue:
#
#   export train_cmd="queue.pl --mem 2G" decode_cmd="queue.pl --mem 4G"    # Grid Engine
#   export train_cmd="slurm.pl --mem 2G" decode_cmd="slurm.pl --mem 4G"    # Slurm
#
# Both take --config FILE, how your queue names memory and threads (https://kaldi-asr.org/doc/queue.html).
# OUT has to be on a disk that all machines see.

export train_cmd=${train_cmd:-run.pl}
export decode_cmd=${decode_cmd:-run.pl} # holds the graph: 1 GB and more with a model of LibriSpeech
export mkgraph_cmd=${mkgraph_cmd:-run.pl}
