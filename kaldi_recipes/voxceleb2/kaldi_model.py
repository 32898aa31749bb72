"""``python -m kaldi_recipes.voxceleb2.kaldi_model MODEL CONF OUT``: a model for Kaldi's programs.

A model directory is laid out for libvosk, which sets options in its code. What is written here says
the same to Kaldi's programs, by links to MODEL's files and by configuration files: those of CONF
with what the model itself says.

    final.mdl, HCLG.fst or its halves, words.txt, word_boundary.int
    mfcc.conf                          of the features
    decode.conf                        of nnet3-latgen-faster: model.conf without the endpointing
    best_path.conf, ctm.conf           scales of lattice-best-path and lattice-to-ctm-conf
    ivector_extractor.conf             of ivector-extract-online2, if the network takes i-vectors
"""

import argparse
import os
import sys
from pathlib import Path

from featurize.atomic import write_text
from featurize.errors import ModelError, TrimodalError
from pipelines.decoding.acoustic_model import IVECTOR_OPTIONS, AcousticModelInfo, check_model_dir
from pipelines.decoding.word_symbols import word_symbols

SAMPLE_RATE_HZ = 16000  # of the sound that `trimodal export kaldi` writes
_LINKED = ("final.mdl", "HCLG.fst", "HCLr.fst", "Gr.fst", "disambig_tid.int", "words.txt",
           "word_boundary.int", "mfcc.conf")  # fmt: skip


def write_kaldi_model(model: Path, conf: Path, out: Path) -> None:
    """Writes the folder OUT. Paths in its files are relative to the current folder, if OUT is.

    Raises:
        ModelError: MODEL cannot be used, or needs what this recipe has not.
    """
    info = check_model_dir(model.resolve())
    files = {Path(name).name: info.path / name for name in info.files}
    _refuse_unsupported(info, files)
    out.mkdir(parents=True, exist_ok=True)
    for name in _LINKED:
        if name in files:
            _link(files[name], out / name)
    if "words.txt" not in files:  # they stand in the graph
        words = word_symbols(files.get("HCLG.fst") or files["Gr.fst"])
        write_text(out / "words.txt", "".join(f"{w} {number}\n" for number, w in words.items()))
    for name, options in _options(info, out).items():
        given = (conf / name).read_text(encoding="utf-8") if (conf / name).is_file() else ""
        added = "".join(f"--{key}={value}\n" for key, value in options.items())
        write_text(out / name, given + added)
    if info.has_ivectors:
        _link(info.path / "ivector", out / "ivector")


def _refuse_unsupported(info: AcousticModelInfo, files: dict[str, Path]) -> None:
    other = "decode with `trimodal decode --engine vosk`"
    if "mfcc.conf" not in files:
        raise ModelError(f"{info.path}: its features are not MFCC, which the recipe makes; {other}")
    if info.sample_rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(
            f"{info.path}: wants {info.sample_rate_hz} Hz, the data directory has "
            f"{SAMPLE_RATE_HZ}; {other}"
        )
    beyond = [name for name in ("pitch.conf", "global_cmvn.stats") if name in files]
    beyond = [name for name in beyond if files[name].parent.name != "ivector"]
    if beyond:
        raise ModelError(f"{info.path}: {beyond[0]} is beyond the recipe; {other}")


def _options(info: AcousticModelInfo, out: Path) -> dict[str, dict[str, str]]:
    """What the model says, by the configuration file that it belongs in."""
    scale = {"acoustic-scale": f"{info.acoustic_scale:g}"}
    frame_s = info.frame_subsampling_factor * info.frame_shift_s
    files = {
        "decode.conf": {
            k: v for k, v in info.decoder_options.items() if not k.startswith("endpoint.")
        },
        "best_path.conf": scale,
        "ctm.conf": scale | {"frame-shift": f"{frame_s:g}"},
    }
    if info.has_ivectors:
        paths = {key: f"{out}/ivector/{name}" for key, name in IVECTOR_OPTIONS.items()}
        files["ivector_extractor.conf"] = paths
    return files


def _link(target: Path, link: Path) -> None:
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "conf", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    try:
        write_kaldi_model(given.model, given.conf, given.out)
    except TrimodalError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
