"""The settings of a model directory that end or mislead libvosk when they are wrong or missing.

Which do was tried on vosk 0.3.45, setting by setting: those below end the process by an
assertion of Kaldi's or by a division by zero. What Kaldi refuses with an error of its own is left
to it.
"""

import re
from pathlib import Path

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model_files import KaldiConfig, read_config

# The least that works, of options of the features.
LOWEST = {"sample-frequency": 1000, "frame-length": 1, "frame-shift": 1}
# Default and least of the decoder's (nnet3/decodable-simple-looped.h, Check)
_DECODING = {
    "acoustic-scale": (0.1, 1e-6),
    "frame-subsampling-factor": (1, 1),
    "frames-per-chunk": (20, 1),
    "extra-left-context-initial": (0, 0),
}


def check_decoding(settings: KaldiConfig) -> None:
    """Raises ModelError for options of the decoder that would end the process."""
    phones = settings.options.get("endpoint.silence-phones")
    if phones is None or not re.fullmatch(r"\d+(:\d+)*", phones):
        found = "is missing" if phones is None else f"is {phones!r}"
        raise ModelError(
            f"{settings.path}: --endpoint.silence-phones {found}, which aborts the decoder; set it "
            "to the numbers of the silence phones, as in phones/silence.csl: 1:2:3"
        )
    for option, (default, lowest) in _DECODING.items():
        settings.number(option, default, minimum=lowest)


def feature_config(path: Path, conf: str) -> tuple[str, KaldiConfig]:
    """Name and content of the features' configuration, MFCC before filterbanks as in libvosk."""
    for kind in ("mfcc", "fbank"):
        name = f"{conf}{kind}.conf"
        if (path / name).is_file():
            features = read_config(path / name)
            emphasis = features.number("preemphasis-coefficient", 0.97, minimum=0)
            if emphasis > 1:
                raise ModelError(
                    f"{features.path}: --preemphasis-coefficient={emphasis:g} is above 1, which "
                    "aborts the decoder; correct it"
                )
            return name, features
    raise ModelError(f"{path}: no {conf}mfcc.conf; copy the one the model was trained with")


def check_dimension(features: KaldiConfig, n_expected: int) -> None:
    """Raises ModelError when the features have another dimension than the network's input."""
    if features.path.name == "mfcc.conf":
        n_given = int(features.number("num-ceps", 13))
    else:
        n_given = int(features.number("num-mel-bins", 23))
        n_given += features.options.get("use-energy") == "true"
    if n_given != n_expected:
        raise ModelError(
            f"{features.path}: makes {n_given} features a frame, the network takes {n_expected}; "
            "copy the one the model was trained with"
        )


def check_word_boundaries(path: Path, phones: frozenset[int]) -> None:
    """Raises ModelError when a phone of the network's has no entry, which aborts the decoder."""
    listed = set()
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        entry = re.fullmatch(r"\s*(\d{1,18})\s+(nonword|begin|end|internal|singleton)\s*", line)
        if entry is None:
            raise ModelError(f"{path}: line {line[:60]!r} is not of its kind; copy the file again")
        listed.add(int(entry.group(1)))
    if missing := phones - listed:
        raise ModelError(
            f"{path}: has no entry for {len(missing)} phones of the network (phone {min(missing)} "
            "for one); copy it from the graph's own phones/ folder"
        )
