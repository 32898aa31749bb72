"""``python -m kaldi_recipes.librispeech_tdnn.pack_model``: a Kaldi experiment as a model directory.

It takes what training and utils/mkgraph.sh (or mkgraph_lookahead.sh) leave, and writes what libvosk
and, through ``kaldi_recipes.voxceleb2``, Kaldi's programs read.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from featurize.atomic import write_text
from featurize.errors import ModelError, TrimodalError
from pipelines.decoding.acoustic_model import check_model_dir
from pipelines.decoding.acoustic_model_files import network_inputs

_GRAPHS = (("HCLG.fst", "words.txt"), ("HCLr.fst", "Gr.fst", "disambig_tid.int"))
_EXTRACTOR = ("final.ie", "final.dubm", "final.mat", "global_cmvn.stats", "online_cmvn.conf")


def pack_model(tdnn: Path, graph: Path, extractor: Path | None, conf: Path, out: Path) -> None:
    """Packs OUT, which appears when it is complete and has passed the check before loading.

    Raises:
        ModelError: a file is missing, or OUT would be no usable model directory.
    """
    if (tdnn / "online_cmvn").exists():
        raise ModelError(
            f"{tdnn}: its features are normalised (online_cmvn), which is not packed; "
            "train without, as local/chain/run_tdnn.sh does"
        )
    made = out.with_name(f".{out.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    _copy(tdnn / "final.mdl", made / "am/final.mdl")
    _copy(conf / "mfcc_hires.conf", made / "conf/mfcc.conf")
    write_text(made / "conf/model.conf", _search(tdnn, graph, conf))
    wanted = next((names for names in _GRAPHS if (graph / names[0]).is_file()), _GRAPHS[0])
    for name in (*wanted, "phones/word_boundary.int"):
        _copy(graph / name, made / "graph" / name)
    if network_inputs(made / "am/final.mdl")[1] is not None:
        _pack_extractor(tdnn, extractor, made / "ivector")
    check_model_dir(made)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(made, out)


def _search(tdnn: Path, graph: Path, conf: Path) -> str:
    return (
        _text(conf / "model.conf")
        + f"--frame-subsampling-factor={_text(tdnn / 'frame_subsampling_factor').strip()}\n"
        + f"--endpoint.silence-phones={_text(graph / 'phones/silence.csl').strip()}\n"
    )


def _pack_extractor(tdnn: Path, extractor: Path | None, out: Path) -> None:
    if extractor is None:
        raise ModelError(f"{tdnn}: its network takes i-vectors; give --extractor DIR")
    if (extractor / "online_cmvn_iextractor").exists():
        raise ModelError(f"{extractor}: online_cmvn_iextractor is not known to libvosk")
    for name in _EXTRACTOR:
        _copy(extractor / name, out / name)
    options = _text(extractor / "splice_opts").split()
    write_text(out / "splice.conf", "".join(f"{option}\n" for option in options))


def _copy(source: Path, target: Path) -> None:
    _require(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _text(path: Path) -> str:
    _require(path)
    return path.read_text(encoding="utf-8")


def _require(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"no {path}; make it with the stage before, or correct the folder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, meaning in {
        "tdnn": "the network: final.mdl, frame_subsampling_factor",
        "graph": "the decoding graph: HCLG.fst, words.txt, phones/",
        "conf": "mfcc_hires.conf of the features, model.conf of the search",
    }.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=meaning)
    parser.add_argument("--extractor", type=Path, help="of i-vectors, if the network takes them")
    parser.add_argument("out", type=Path, help="the model directory")
    given = parser.parse_args()
    try:
        pack_model(given.tdnn, given.graph, given.extractor, given.conf, given.out)
    except TrimodalError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
