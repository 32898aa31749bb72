"""A Kaldi or Vosk model directory, checked before libvosk loads it.

libvosk ends the whole process on some faults (a C++ assertion) and says little about the others,
so what it would read is looked at first. The two layouts, and which files it takes in which case,
are those of ``src/model.cc`` of vosk-api 0.3.45:

    am/final.mdl  conf/{mfcc,model}.conf  graph/{HCLG.fst,words.txt}  [ivector/]    today's
    final.mdl  mfcc.conf  HCLG.fst  words.txt  [ivector/]                           the old, flat

HCLr.fst, Gr.fst and disambig_tid.int may stand in place of HCLG.fst.
"""

from dataclasses import dataclass
from pathlib import Path

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model_files import (
    KaldiConfig,
    fst_header,
    network_inputs,
    phones,
    read_config,
)
from pipelines.decoding.acoustic_model_settings import (
    LOWEST,
    check_decoding,
    check_dimension,
    check_word_boundaries,
    feature_config,
)

DEMO_MODEL = "demo"
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "tdnn"

DEMO_NOTE = "the demo model reads synthesised speech only; for people, give --model DIR"

# Options of Kaldi's ivector-extract-online2, and their files in ivector/.
IVECTOR_OPTIONS = {
    "ivector-extractor": "final.ie",
    "diag-ubm": "final.dubm",
    "lda-matrix": "final.mat",
    "global-cmvn-stats": "global_cmvn.stats",
    "cmvn-config": "online_cmvn.conf",
    "splice-config": "splice.conf",
}
# Read when there; the folders are those of both layouts.
_OPTIONAL = (
    "graph/phones/word_boundary.int",
    "word_boundary.int",
    "am/global_cmvn.stats",
    "global_cmvn.stats",
    "conf/pitch.conf",
    "pitch.conf",
)
# Where the first is there, libvosk reads the others too.
_TOGETHER = {
    "rescore/G.carpa": ("rescore/G.fst",),
    "rnnlm/final.raw": (
        "rnnlm/word_feats.txt",
        "rnnlm/feat_embedding.final.mat",
        "rnnlm/special_symbol_opts.conf",
    ),
}
# What libvosk sets for the flat layout, which has no model.conf.
_FLAT_OPTIONS = {
    "max-active": "7000",
    "beam": "13.0",
    "lattice-beam": "6.0",
    "acoustic-scale": "1.0",
    "frame-subsampling-factor": "3",
    "endpoint.silence-phones": "1:2:3:4:5:6:7:8:9:10",
}


@dataclass(frozen=True)
class AcousticModelInfo:
    """What a model directory holds, as far as decoding and its results depend on it.

    ``files`` are the paths, relative to ``path``, of all that the decoder reads. ``dither`` above
    0 adds noise to the signal, as most published models were trained. ``warnings`` are for the
    user's eyes.
    """

    path: Path
    files: tuple[str, ...]
    sample_rate_hz: int
    frame_length_s: float
    frame_shift_s: float
    snip_edges: bool
    frame_subsampling_factor: int
    acoustic_scale: float
    dither: float
    has_ivectors: bool
    warnings: tuple[str, ...]

    @property
    def decoder_options(self) -> dict[str, str]:
        """What ``conf/model.conf`` tells the decoder, or libvosk where there is none."""
        conf = self.path / "conf/model.conf"
        return read_config(conf).options if conf.is_file() else _FLAT_OPTIONS

    def n_decoded_frames(self, n_samples: int) -> int:
        """Frames that the decoder makes of ``n_samples`` at the model's sample rate.

        Kaldi's NumFrames (``feat/feature-window.cc``), divided by the subsampling, rounded up.
        """
        window = int(self.sample_rate_hz * self.frame_length_s)
        shift = int(self.sample_rate_hz * self.frame_shift_s)
        if not self.snip_edges:
            n_frames = (n_samples + shift // 2) // shift
        else:
            n_frames = 0 if n_samples < window else (n_samples - window) // shift + 1
        return -(-n_frames // self.frame_subsampling_factor)


def check_model_dir(path: Path) -> AcousticModelInfo:
    """Looks at everything libvosk would read in ``path``.

    Raises:
        ModelError: a file is missing or of the wrong kind, or a setting is missing whose absence
            would abort the process; the message names it and says what to do.
    """
    settings, final_mdl, conf, graph = _layout(path)
    check_decoding(settings)
    features_name, features = feature_config(path, conf)
    n_features, n_ivector = network_inputs(path / final_mdl)
    if not (path / f"{conf}pitch.conf").is_file():
        check_dimension(features, n_features)
    files = [final_mdl, features_name, *_graph_files(path, graph)]
    if conf:
        files.append("conf/model.conf")
    has_ivectors = n_ivector is not None or (path / "ivector" / "final.ie").is_file()
    if has_ivectors:
        files += [f"ivector/{name}" for name in IVECTOR_OPTIONS.values()]
    for sign, names in _TOGETHER.items():
        if (path / sign).is_file():
            files += [sign, *names]
    _require(path, files)
    optional = [name for name in _OPTIONAL if (path / name).is_file()]
    for name in optional:
        if name.endswith("word_boundary.int"):
            check_word_boundaries(path / name, phones(path / final_mdl))
    files += optional
    dither = features.number("dither", 1, minimum=0)
    return AcousticModelInfo(
        path=path,
        files=tuple(sorted(files)),
        sample_rate_hz=int(_checked(features, "sample-frequency", 16000)),
        frame_length_s=_checked(features, "frame-length", 25) / 1000,
        frame_shift_s=_checked(features, "frame-shift", 10) / 1000,
        snip_edges=features.options.get("snip-edges", "true") != "false",
        frame_subsampling_factor=int(settings.number("frame-subsampling-factor", 1, minimum=1)),
        acoustic_scale=settings.number("acoustic-scale", 0.1),
        dither=dither,
        has_ivectors=has_ivectors,
        warnings=_warnings(files, features_name, dither),
    )


def model_identity(given: str, info: AcousticModelInfo) -> dict[str, str]:
    """What ``--model`` named, for a fingerprint: by content, so moving it changes nothing."""
    name = DEMO_MODEL if given == DEMO_MODEL else info.path.resolve().name
    return {"model_name": name, "model_digest": model_digest(info)}


def model_digest(info: AcousticModelInfo) -> str:
    """Hex digest of names and contents of all files the decoder reads."""
    import xxhash

    digest = xxhash.xxh3_128()
    for name in info.files:
        content = xxhash.xxh3_128()
        with (info.path / name).open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        digest.update(f"{name}\0{content.hexdigest()}\n".encode())
    return digest.hexdigest()


def _layout(path: Path) -> tuple[KaldiConfig, str, str, str]:
    """Decoder settings, and where the network, the configuration and the graph are."""
    if not path.is_dir():
        raise ModelError(
            f"{path}: no such folder; give a Kaldi or Vosk model directory, or `{DEMO_MODEL}`"
        )
    network, settings = path / "am/final.mdl", path / "conf/model.conf"
    if network.is_file() and settings.is_file():
        return read_config(settings), "am/final.mdl", "conf/", "graph/"
    if (path / "final.mdl").is_file() and (path / "mfcc.conf").is_file():
        return KaldiConfig(path, _FLAT_OPTIONS), "final.mdl", "", ""
    if network.is_file() or settings.is_file():
        missing = settings if network.is_file() else network
        raise ModelError(f"{path}: no {missing.relative_to(path)}; add it")
    inner = next((found.parents[1] for found in sorted(path.glob("*/am/final.mdl"))), None)
    raise ModelError(
        f"{path}: no model directory: it has neither am/final.mdl and conf/model.conf nor "
        "final.mdl and mfcc.conf; " + (f"did you mean {inner}?" if inner else "choose another")
    )


def _graph_files(path: Path, graph: str) -> list[str]:
    """The graph's files; without HCLG.fst the two halves and the table that joins them."""
    names = [f"{graph}HCLG.fst"]
    if not (path / names[0]).is_file():
        names = [f"{graph}{name}" for name in ("HCLr.fst", "Gr.fst", "disambig_tid.int")]
        if not any((path / name).is_file() for name in names):
            raise ModelError(
                f"{path}: no decoding graph ({graph}HCLG.fst, or {graph}HCLr.fst and "
                f"{graph}Gr.fst); make one with Kaldi's utils/mkgraph.sh"
            )
    _require(path, names)
    headers = [fst_header(path / name) for name in names if name.endswith(".fst")]
    return names if headers[-1].has_words else [*names, f"{graph}words.txt"]


def _checked(features: KaldiConfig, option: str, default: float) -> float:
    return features.number(option, default, minimum=LOWEST[option])


def _require(path: Path, names: list[str]) -> None:
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise ModelError(f"{path}: no {', '.join(missing)}; copy it from where the model was made")
    empty = [name for name in names if (path / name).stat().st_size == 0]
    if any(not name.endswith(".conf") for name in empty):
        raise ModelError(f"{path}: {', '.join(empty)} has zero bytes; copy it again")


def _warnings(files: list[str], features_name: str, dither: float) -> tuple[str, ...]:
    warnings = []
    if dither > 0:
        warnings.append(
            f"{features_name} has dither {dither:g}: scores repeat only because the noise is "
            "seeded anew for each utterance; the line --dither=0 turns it off"
        )
    if not any(name.endswith("word_boundary.int") for name in files):
        warnings.append("no phones/word_boundary.int: word times are approximate")
    return tuple(warnings)
