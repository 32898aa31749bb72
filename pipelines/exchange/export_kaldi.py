"""Export to Kaldi: a data directory that ``utils/validate_data_dir.sh`` accepts.

It is made in a hidden folder beside OUT and gets its name when it is whole. What is costly (the
archives, the WAV files, the lengths of recordings) is kept there piece by piece, so a killed export
goes on where it was.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurize.atomic import remove_stale, write_text
from featurize.errors import CorpusError, StaleError, TrimodalError, UsageError
from featurize.kaldi_recording import file_name
from pipelines.backends import Loky
from pipelines.exchange.export_ledger import Ledger
from pipelines.exchange.kaldi_choice import choose
from pipelines.exchange.kaldi_features import Archive, audio_headers, settings_files, write_archive
from pipelines.exchange.kaldi_names import kaldi_names
from pipelines.exchange.kaldi_sound import Sound, blocks, look_at
from pipelines.exchange.kaldi_tables import Known, Recordings, Tables, make_tables, recordings_of
from pipelines.manifest import deciding, existing_folder, fingerprint
from pipelines.workspace import Workspace

VERSION = 1  # of what is written
LEDGER = "export.json"
LEFT_OUT = "left_out"  # id, tab, reason
MARK = ".made-from"  # in the hidden folder: the fingerprint of what is being exported there
OTHERWISE = "add --redo to replace it with all that is in it, or choose another place"


@dataclass(frozen=True)
class ExportedKaldi:
    """What an export came to; ``left_out`` counts reasons, which the file ``left_out`` lists."""

    state: str
    n_utterances: int
    choice: str
    left_out: Counter[str]
    runs_ffmpeg: bool

    def lines(self) -> list[str]:
        """For the screen."""
        lines = [f"{self.n_utterances} utterances ({self.choice}); {self.state}"]
        return lines + [f"  {n} left out: {reason}" for reason, n in self.left_out.most_common()]


def export_kaldi(
    work: Path,
    out: Path,
    *,
    wav: bool = False,
    redo: bool = False,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> ExportedKaldi:
    """Writes the data directory OUT of a workspace: all utterances, or those that ``select`` kept.

    Args:
        wav: decode every recording that Kaldi cannot read itself to OUT/wav, once, in place of a
            pipe through ffmpeg.
        progress: is told the utterances of each piece of work.

    Raises:
        UsageError: OUT is something else; features are begun but not complete.
        StaleError: OUT was exported from another state of the workspace, and ``redo`` is off.
        CorpusError: nothing can be exported.
    """
    export = _Export(Workspace(work), Path(os.path.abspath(out)), wav)
    n = export.n_made_already(redo)
    if n is None:
        n = export.make(jobs, progress)
        return export.summary("made", n)
    return export.summary("unchanged", n)


class _Export:
    """One export: what goes into it, and where it is made."""

    def __init__(self, workspace: Workspace, out: Path, wav: bool) -> None:
        self._workspace, self._out, self._wav = workspace, out, wav
        self._folder = out.with_name(f".{out.name}.part")
        self._old = out.with_name(f".{out.name}.old")
        _check_place(out)
        existing_folder(workspace.corpus_root, "the corpus that was prepared; is its disk mounted?")
        self._choice = choose(workspace)
        self._headers = audio_headers(workspace)
        self._fingerprint = self._of_input()

    def n_made_already(self, redo: bool) -> int | None:
        """Utterances in OUT when it is up to date; None when it is to be made."""
        if not self._out.exists() or (self._out.is_dir() and not any(self._out.iterdir())):
            return None
        if not (self._out / LEDGER).is_file():
            raise UsageError(f"{self._out} was not exported by trimodal; choose another place")
        n = Ledger(self._out / LEDGER, "kaldi", settings={}, redo=redo).n_done(
            "data", self._fingerprint
        )
        if n is None and not redo:
            raise StaleError(f"{self._out}: files in it were changed since; {OTHERWISE}")
        return n

    def make(self, jobs: int, progress: Callable[[int], None]) -> int:
        """Writes everything; returns the number of utterances."""
        self._begin()
        names = kaldi_names(self._workspace.utterances)
        recordings = recordings_of(self._choice.utterances, names)
        sounds = self._sounds(recordings, jobs, progress)
        features = None if self._headers is None else self._features(names.utterances, jobs)
        known = Known(
            names, recordings, sounds, self._workspace.corpus_root, self._choice.texts, features
        )
        tables = make_tables(self._choice.utterances, known)
        if not tables.n_utterances:
            reason, n = Counter(tables.left_out.values()).most_common(1)[0]
            raise CorpusError(f"nothing can be exported to {self._out}; {n} times: {reason}")
        self._write(tables)
        self._publish()
        return tables.n_utterances

    def summary(self, state: str, n: int) -> ExportedKaldi:
        """What OUT holds."""
        rows = (self._out / LEFT_OUT).read_text(encoding="utf-8").splitlines()
        with (self._out / "wav.scp").open(encoding="utf-8") as lines:
            runs_ffmpeg = any(line.endswith("|\n") for line in lines)
        left_out = Counter(row.partition("\t")[2] for row in rows)
        which = self._choice.which + (", and features" if self._headers is not None else "")
        return ExportedKaldi(state, n, which, left_out, runs_ffmpeg)

    def _of_input(self) -> str:
        headers = self._headers or []
        texts = self._choice.texts
        inputs = {
            "manifest": self._workspace.manifest.fingerprint,
            "utterances": [utterance.id for utterance in self._choice.utterances],
            "texts": None if texts is None else sorted(texts.items()),
            "features": [[header.fingerprint, deciding(header.config)] for header in headers],
        }
        settings = {"version": VERSION, "place": str(self._out), "wav": self._wav}
        return fingerprint("export kaldi", settings, inputs)

    def _begin(self) -> None:
        """Goes on in the hidden folder if that is of the same export, else begins anew."""
        mark = self._folder / MARK
        if mark.is_file() and mark.read_text() == self._fingerprint:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        write_text(mark, self._fingerprint)

    def _sounds(
        self, recordings: Recordings, jobs: int, progress: Callable[[int], None]
    ) -> dict[str, Sound]:
        listed = sorted((name, media[0]) for name, media in recordings.media.items())
        root = self._workspace.corpus_root
        work = list(blocks(listed, root, self._folder, self._out, is_wav=self._wav))
        n_in = Counter(recordings.of.values())
        sounds = {}
        for found in Loky(jobs).map(look_at, work):
            sounds.update({sound.name: sound for sound in found})
            progress(sum(n_in[sound.name] for sound in found))
        return sounds

    def _features(self, names: Mapping[str, str], jobs: int) -> dict[str, tuple[str, int]]:
        chosen = {u.id for u in self._choice.utterances}
        work = []
        for number in range(self._workspace.n_shards):
            ids = [u.id for u in self._workspace.shard(number) if u.id in chosen]
            shard = self._workspace.feature_path(number, "audio")
            work.append(Archive(number, shard, {i: names[i] for i in ids}, self._folder, self._out))
        features: dict[str, tuple[str, int]] = {}
        for found in Loky(jobs).map(write_archive, work):
            features.update(found)
        return features

    def _write(self, tables: Tables) -> None:
        """The tables, and last of all the record of what was written."""
        files = tables.texts()
        lines = (f"{i}\t{reason}\n" for i, reason in sorted(tables.left_out.items()))
        files[LEFT_OUT] = "".join(lines)
        settings = self._headers[0].config if self._headers else {}
        for name, text in (files | settings_files(settings)).items():
            write_text(self._folder / name, text)
        parts = [self._folder / name for name in files]
        parts += sorted(self._folder.glob("raw_fbank.*.ark"))
        ledger = Ledger(self._folder / LEDGER, "kaldi", settings=settings, redo=True)
        ledger.add("data", self._fingerprint, tables.n_utterances, parts)

    def _publish(self) -> None:
        """Gives the hidden folder its name; what is there under it goes when that is done."""
        for path in self._folder.glob(".*.json"):
            path.unlink()
        for folder in (self._folder, *self._folder.glob("wav/*")):  # of exports that were killed
            remove_stale(folder)
        shutil.rmtree(self._old, ignore_errors=True)
        if self._out.exists():
            self._out.rename(self._old)
        self._folder.rename(self._out)
        (self._out / MARK).unlink()
        shutil.rmtree(self._old, ignore_errors=True)


def _check_place(out: Path) -> None:
    try:
        name = file_name(str(out / "x.ark"))
    except TrimodalError:
        name = None
    if name is None or any(char.isspace() for char in str(out)):
        raise UsageError(f"{str(out)!r}: Kaldi's scripts take no such path; choose another place")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another place")
