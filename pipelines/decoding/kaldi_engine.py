"""The engine ``kaldi``: the programs of the user's Kaldi installation, a shard at a time."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import MediaError, ModelError, TrimodalError, UsageError
from pipelines.decoding.acoustic_model import (
    DEMO_FOLDER,
    DEMO_MODEL,
    DEMO_NOTE,
    check_model_dir,
    model_identity,
)
from pipelines.decoding.engine import Decoded
from pipelines.decoding.kaldi_logs import complaint_about
from pipelines.decoding.kaldi_programs import KaldiPrograms, kaldi_version
from pipelines.decoding.kaldi_scratch import Kaldi, write_wav
from pipelines.decoding.kaldi_steps import LOOKAHEAD, PROGRAMS, KaldiModel
from pipelines.decoding.vosk_decoder import SHORTEST_S, as_int16
from pipelines.manifest import Utterance
from pipelines.sound import SoundTask, sounds

if TYPE_CHECKING:
    import numpy as np

_PROBE, _PROBE_S = "probe", 1.0
_Found = Decoded | TrimodalError | OSError
# Per frame it is vosk's; per speech frame vosk decodes again, and this is read off the best path.
_DEFINITION = (
    "(model's acoustic scale x log p(sound | best path) - 0.9 x graph cost) / decoded frames; "
    "natural logarithm, silence included; per speech frame: the same of the frames of words alone"
)


class KaldiEngine:
    """Decodes with a model directory as libvosk takes it, and Kaldi's own programs.

    Args:
        model: the directory; ``demo`` is the shipped one.
        root: Kaldi's folder; None is $KALDI_ROOT, or the PATH without it.
        command: run.pl, queue.pl or slurm.pl with its options, as in a recipe's cmd.sh; None runs
            the programs here.
        program: what decodes, of ``kaldi_steps.PROGRAMS``; None is what suits the model.

    Raises:
        ModelError: the directory cannot be used, or a program is missing.
        UsageError: ``command`` or ``program`` is none.
    """

    def __init__(
        self,
        model: str,
        *,
        root: str | None = None,
        command: str | None = None,
        program: str | None = None,
    ) -> None:
        if program not in (None, *PROGRAMS):
            raise UsageError(f"--kaldi-program {program}: choose {' or '.join(PROGRAMS)}")
        self.name = model
        info = check_model_dir(DEMO_FOLDER if model == DEMO_MODEL else Path(model))
        self.model = KaldiModel.of(info, program)
        programs = KaldiPrograms.of(root)
        paths = {step.program: programs.program(step.program) for step in self.model.steps()}
        self._kaldi = Kaldi(self.model, paths, programs.launcher_of(command))
        self._is_proven = False  # whether model and programs have decoded anything

    def config(self) -> dict[str, Any]:
        """Kaldi counts by its version; how jobs are sent does not."""
        program = self.model.program
        return {
            **model_identity(self.name, self.model.info),
            "engine": f"kaldi {kaldi_version(self._kaldi.programs[program])} {program}",
            "likelihood": _DEFINITION,
        }

    def notes(self, utterance_ids: Sequence[str]) -> list[str]:
        info = self.model.info
        notes = [note for note in info.warnings if "dither" not in note]  # which speaks of libvosk
        if info.dither > 0:
            notes.append(
                f"its features have dither {info.dither:g}: scores are the same again only for a "
                "shard of the same utterances; the line --dither=0 turns it off"
            )
        if self.name == DEMO_MODEL:
            notes.insert(0, DEMO_NOTE)
        if any(name.startswith(("rescore/", "rnnlm/")) for name in info.files):
            notes.append(
                "the engine kaldi does not rescore; its words and scores differ from vosk's"
            )
        if self.model.program == LOOKAHEAD and self.model.takes_ivectors:
            notes.append(f"{LOOKAHEAD} estimates i-vectors otherwise than vosk, so scores differ")
        launcher = self._kaldi.launcher
        if launcher and Path(launcher[0]).name != "run.pl":
            notes.append(
                f"jobs read and write {tempfile.gettempdir()}: set TMPDIR to a folder that all "
                "machines of the queue see"
            )
        return notes

    def decode(
        self, utterances: Sequence[Utterance], root: Path
    ) -> Iterator[tuple[Utterance, _Found]]:
        rate_hz = self.model.info.sample_rate_hz
        with tempfile.TemporaryDirectory(prefix="trimodal-kaldi-") as scratch:
            wavs = Path(scratch) / "wav"
            wavs.mkdir()
            found: dict[int, _Found] = {}
            durations_s: dict[str, float] = {}
            tasks = (SoundTask(Path(root), utterance, rate_hz) for utterance in utterances)
            for number, sound in enumerate(sounds(tasks)):
                samples = _to_decode(sound, rate_hz)
                if isinstance(samples, Exception):
                    found[number] = samples
                    continue
                write_wav(wavs / f"{_key(number)}.wav", samples.tobytes(), rate_hz)
                durations_s[_key(number)] = len(samples) / rate_hz
            heard = self._heard(Path(scratch), durations_s)
        for number, utterance in enumerate(utterances):
            yield utterance, found[number] if number in found else heard[_key(number)]

    def _heard(self, scratch: Path, durations_s: Mapping[str, float]) -> dict[str, _Found]:
        """What was heard in the sounds of ``scratch``; halves them where a program dies.

        Raises ModelError when the programs cannot decode even silence.
        """
        if not durations_s:
            return {}
        heard, ran = self._kaldi.run(scratch, durations_s)
        if not heard and not self._is_proven:
            self._probe(scratch)
        self._is_proven = True
        if not any(step.is_dead for step in ran):
            logs = "".join(step.log for step in ran)
            return {key: heard.get(key) or _refusal(key, logs) for key in durations_s}
        if len(durations_s) == 1:
            return dict.fromkeys(durations_s, MediaError(ran[-1].complaint))
        keys = list(durations_s)
        halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        found: dict[str, _Found] = {}
        for half in halves:
            found |= self._heard(scratch, {key: durations_s[key] for key in half})
        return found

    def _probe(self, scratch: Path) -> None:
        """Decodes silence, to tell a model or a program that is at fault from sounds that are."""
        rate_hz = self.model.info.sample_rate_hz
        write_wav(scratch / "wav" / f"{_PROBE}.wav", bytes(2 * int(_PROBE_S * rate_hz)), rate_hz)
        heard, ran = self._kaldi.run(scratch, {_PROBE: _PROBE_S})
        if not heard:
            last = next((step for step in ran if step.status != 0), ran[-1])
            raise ModelError(
                f"{self.model.info.path}: Kaldi cannot decode with it: {last.complaint}"
            )


def _to_decode(
    sound: "np.ndarray | TrimodalError | OSError", rate_hz: int
) -> "np.ndarray | TrimodalError | OSError":
    """int16 (n_samples,) of an utterance, or why it cannot be decoded."""
    if isinstance(sound, Exception):
        return sound
    duration_s = len(sound) / rate_hz
    if duration_s < SHORTEST_S:
        return MediaError(f"only {duration_s:.3f} s of sound, too short to decode")
    return as_int16(sound)


def _key(number: int) -> str:
    """The name of a sound, in the order that Kaldi wants its lists in."""
    return f"u{number:08d}"


def _refusal(key: str, logs: str) -> MediaError:
    return MediaError(
        f"Kaldi made no lattice: {complaint_about(key, logs) or 'it does not say why'}"
    )
