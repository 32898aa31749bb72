"""One run of Kaldi's programs over some sounds, in a folder that goes when it is over."""

import tempfile
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.decoding.engine import Decoded
from pipelines.decoding.kaldi_jobs import Ran, run_steps
from pipelines.decoding.kaldi_results import results
from pipelines.decoding.kaldi_steps import KaldiModel


@dataclass(frozen=True)
class Kaldi:
    """A model, the programs that its steps need by name, and what launches jobs (or nothing)."""

    model: KaldiModel
    programs: Mapping[str, Path]
    launcher: Sequence[str]

    def run(
        self, scratch: Path, durations_s: Mapping[str, float]
    ) -> tuple[dict[str, Decoded], list[Ran]]:
        """Decodes the sounds ``wav/KEY.wav`` of ``scratch`` with these keys.

        Returns what was heard, which is nothing at all when a program died, and how each ended.
        """
        with tempfile.TemporaryDirectory(dir=scratch) as made:
            folder = Path(made)
            self._fill(folder, scratch, durations_s)
            ran = run_steps(folder, self.model.steps(), self.launcher)
            if any(step.is_dead for step in ran):
                return {}, ran
            return results(folder, ran, self.model, durations_s), ran

    def _fill(self, folder: Path, scratch: Path, keys: Mapping[str, float]) -> None:
        (folder / "bin").mkdir()
        for name, program in self.programs.items():
            (folder / "bin" / name).symlink_to(program)
        (folder / "model").symlink_to(self.model.info.path.resolve())
        (folder / "wav").symlink_to(scratch / "wav")
        if Path("conf").is_dir():  # queue.pl and slurm.pl look there for their own settings
            (folder / "conf").symlink_to(Path("conf").resolve())
        for name, content in self.model.conf_files().items():
            (folder / name).write_text(content)
        (folder / "wav.scp").write_text("".join(f"{key} wav/{key}.wav\n" for key in keys))
        (folder / "spk2utt").write_text("".join(f"{key} {key}\n" for key in keys))


def write_wav(path: Path, samples: bytes, sample_rate_hz: int) -> None:
    """Writes int16 samples as WAV."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, sample_rate_hz, 0, "NONE", ""))
        out.writeframes(samples)
