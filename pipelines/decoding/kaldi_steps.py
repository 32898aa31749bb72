"""What Kaldi's programs are told: one list of steps from WAV files to words, times and scores.

The options are those libvosk sets (``src/model.cc`` and ``src/recognizer.cc`` of vosk-api), so that
both engines search alike with one model directory.
"""

from dataclasses import dataclass
from pathlib import Path

from featurize.errors import ModelError
from pipelines.decoding.acoustic_model import IVECTOR_OPTIONS, AcousticModelInfo
from pipelines.decoding.acoustic_model_files import network_inputs
from pipelines.decoding.kaldi_jobs import Step

OFFLINE = "nnet3-latgen-faster-parallel"
ONLINE = "online2-wav-nnet3-latgen-faster"
LOOKAHEAD = "nnet3-latgen-faster-lookahead"  # OFFLINE for a graph in two halves
PROGRAMS = (ONLINE, OFFLINE)

GRAPH_SCALE = 0.9  # what libvosk weighs the graph's cost with, and LIKELIHOOD_DEFINITION states
_UNSUPPORTED = {
    "pitch.conf": "pitch features are",
    "global_cmvn.stats": "normalisation of the network's features is",
}
_IVECTOR_PERIOD = 10
# Determinisation moves the costs of frames to the beginnings of words; it is done afterwards.
_RAW_LATTICES = {"phone-determinize": "false", "word-determinize": "false"}
KALDI_LATTICE_BEAM = "10"  # LatticeFasterDecoderConfig's default


@dataclass(frozen=True)
class KaldiModel:
    """A model directory as Kaldi's programs are told of it; they reach it as ``model/``."""

    info: AcousticModelInfo
    program: str
    takes_ivectors: bool
    options: dict[str, str]
    words: Path  # the file that says which number is which word

    @classmethod
    def of(cls, info: AcousticModelInfo, program: str | None) -> "KaldiModel":
        """With ``program`` None that which decodes as libvosk does, where it can read the graph.

        Raises ModelError when the directory needs what ``program`` or this engine has not.
        """
        for name, what in _UNSUPPORTED.items():
            if any(n.removeprefix("am/").removeprefix("conf/") == name for n in info.files):
                raise ModelError(f"{info.path}: {what} beyond the engine kaldi; use --engine vosk")
        if _file(info, "HCLr.fst"):
            if program == ONLINE:
                raise ModelError(
                    f"{info.path}: its graph is in two halves, which {program} cannot read; use "
                    f"--kaldi-program {OFFLINE}, or make an HCLG.fst with Kaldi's utils/mkgraph.sh"
                )
            program = LOOKAHEAD
        words = _file(info, "words.txt") or _file(info, "HCLG.fst") or _file(info, "Gr.fst")
        return cls(
            info=info,
            program=program or ONLINE,
            takes_ivectors=network_inputs(info.path / str(_file(info, "final.mdl")))[1] is not None,
            options=info.decoder_options,
            words=info.path / str(words),
        )

    @property
    def frame_s(self) -> float:
        """Seconds from one decoded frame to the next."""
        return self.info.frame_subsampling_factor * self.info.frame_shift_s

    @property
    def has_word_boundaries(self) -> bool:
        """Whether words can be aligned: which phones begin and end them is known."""
        return _file(self.info, "word_boundary.int") is not None

    def conf_files(self) -> dict[str, str]:
        """Names and contents of the configuration files that the steps read."""
        search = {k: v for k, v in self.options.items() if not k.startswith("endpoint.")}
        search |= _RAW_LATTICES
        files = {"search.conf": search}
        if self.takes_ivectors:
            paths = {k: f"model/ivector/{v}" for k, v in IVECTOR_OPTIONS.items()}
            files["ivector.conf"] = paths | {"max-count": "100"}
        return {
            name: "".join(f"--{key}={value}\n" for key, value in options.items())
            for name, options in files.items()
        }

    def steps(self) -> list[Step]:
        """From ``wav.scp`` and ``spk2utt`` to CTMs of times and of posteriors, and logged costs."""
        decode = self._online() if self.program == ONLINE else self._offline()
        return [*decode, *self._after()]

    def _offline(self) -> list[Step]:
        config = str(_file(self.info, "mfcc.conf") or _file(self.info, "fbank.conf"))
        kind = "mfcc" if config.endswith("mfcc.conf") else "fbank"
        features = [f"--config=model/{config}", "scp:wav.scp", "ark:feats.ark"]
        steps = [Step(f"compute-{kind}-feats", features)]
        options = ["--config=search.conf", "--allow-partial=true"]
        if self.takes_ivectors:
            sets = ["ark:spk2utt", "ark,s,cs:feats.ark", "ark:ivectors.ark"]
            steps.append(
                Step("ivector-extract-online2", ["--num-threads=1", "--config=ivector.conf", *sets])
            )
            options.append("--online-ivectors=ark,s,cs:ivectors.ark")
            options.append(f"--online-ivector-period={_IVECTOR_PERIOD}")
        sets = ["ark,s,cs:feats.ark", "ark:raw.ark"]
        graph = ["HCLG.fst"]
        if self.program == LOOKAHEAD:
            graph = ["HCLr.fst", "Gr.fst", "disambig_tid.int"]
        names = [f"model/{_file(self.info, name)}" for name in ("final.mdl", *graph)]
        return [*steps, Step(self.program, [*options, *names, *sets])]

    def _online(self) -> list[Step]:
        config = str(_file(self.info, "mfcc.conf") or _file(self.info, "fbank.conf"))
        kind = "mfcc" if config.endswith("mfcc.conf") else "fbank"
        options = ["--config=search.conf", f"--feature-type={kind}", "--num-threads-startup=1"]
        options += [f"--{kind}-config=model/{config}", "--chunk-length=0.2"]
        if self.takes_ivectors:
            weighting = "--ivector-silence-weighting.silence"
            options += [
                "--ivector-extraction-config=ivector.conf",
                f"{weighting}-weight=0.001",
                f"{weighting}-phones={self.options['endpoint.silence-phones']}",
            ]
        names = [f"model/{_file(self.info, name)}" for name in ("final.mdl", "HCLG.fst")]
        sets = ["ark:spk2utt", "scp:wav.scp", "ark:raw.ark"]
        return [Step(ONLINE, [*options, *names, *sets])]

    def _after(self) -> list[Step]:
        """Costs, the best path with its frames, its words' times, the posteriors of all words."""
        scale = f"--acoustic-scale={self.info.acoustic_scale:g}"
        scales = [scale, f"--lm-scale={GRAPH_SCALE}"]
        shift = f"--frame-shift={self.frame_s:g}"
        mdl = f"model/{_file(self.info, 'final.mdl')}"
        prune = [scale, f"--beam={self.options.get('lattice-beam', KALDI_LATTICE_BEAM)}", mdl]
        best = "best.ark"
        steps = [
            Step("lattice-1best", [*scales, "ark:raw.ark", "ark:path.ark"]),
            Step("lattice-copy", ["ark:path.ark", "ark,t:path.txt"]),
            Step("lattice-determinize-phone-pruned", [*prune, "ark:raw.ark", "ark:lattices.ark"]),
            Step("lattice-best-path", [*scales, "ark:lattices.ark"]),
            Step("lattice-1best", [*scales, "ark:lattices.ark", f"ark:{best}"]),
        ]
        if boundary := _file(self.info, "word_boundary.int"):
            sets = [f"ark:{best}", "ark:aligned.ark"]
            steps.append(Step("lattice-align-words", [f"model/{boundary}", mdl, *sets]))
            best = "aligned.ark"
        precise = ["--decode-mbr=false", "--confidence-digits=4"]
        sets = ["ark:lattices.ark", "posteriors.ctm"]
        return [
            *steps,
            Step("nbest-to-ctm", [shift, "--precision=4", f"ark:{best}", "words.ctm"]),
            Step("lattice-to-ctm-conf", [*scales, shift, *precise, *sets]),
        ]


def _file(info: AcousticModelInfo, name: str) -> str | None:
    """The path of a file in the directory, whichever its layout."""
    return next((path for path in info.files if Path(path).name == name), None)
