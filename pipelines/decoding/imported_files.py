"""Which files hold transcripts and scores that were decoded elsewhere.

``--decoded`` names one of them, or a folder with any of these:

    text            Kaldi's transcripts: ``id word word ...`` a line
    *.ctm, ctm      words with times: ``id channel start length word [confidence]`` a line
    *.jsonl         JSON Lines, an utterance a line
    *.log, log/*.log  logs of Kaldi's decoders or of lattice-best-path: the likelihoods
    utt2id          ``kaldi-id our-id`` a line, where the ids are not the manifest's
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import UsageError

_NAMES = "text, *.ctm, *.jsonl, with *.log, log/*.log and utt2id"


@dataclass(frozen=True)
class DecodedFiles:
    """The files of a ``--decoded``, by kind, in order of their names."""

    text: tuple[Path, ...]
    ctm: tuple[Path, ...]
    json_lines: tuple[Path, ...]
    logs: tuple[Path, ...]
    utt2id: Path | None

    @property
    def all(self) -> list[Path]:
        """Every file that is read."""
        ids = () if self.utt2id is None else (self.utt2id,)
        return [*self.text, *self.ctm, *self.json_lines, *self.logs, *ids]

    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when a file does: name, size and time of each."""
        stats = [(str(path), path.stat()) for path in self.all]
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def decoded_files(path: Path) -> DecodedFiles:
    """What ``path``, a file or a folder, holds.

    Raises:
        UsageError: nothing is there, or nothing of a known name; or transcripts of two kinds.
    """
    if not path.exists():
        raise UsageError(f"--decoded {path}: nothing there; give a file or folder ({_NAMES})")
    present = [path] if path.is_file() else sorted(_in(path))
    by_kind: dict[str, list[Path]] = {}
    for file in present:
        by_kind.setdefault(_kind(file, path.is_file()), []).append(file)
    kinds = [kind for kind in ("text", "ctm", "json_lines") if kind in by_kind]
    if not kinds:
        raise UsageError(f"--decoded {path}: no transcripts there; it may hold {_NAMES}")
    if "json_lines" in kinds and len(kinds) > 1:
        raise UsageError(
            f"--decoded {path}: holds JSON Lines and Kaldi's files; give one of them, or move the "
            "others away"
        )
    return DecodedFiles(
        text=tuple(by_kind.get("text", ())),
        ctm=tuple(by_kind.get("ctm", ())),
        json_lines=tuple(by_kind.get("json_lines", ())),
        logs=tuple(by_kind.get("logs", ())),
        utt2id=next(iter(by_kind.get("utt2id", ())), None),
    )


def _in(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.iterdir() if path.is_file())
    if (folder / "log").is_dir():
        yield from (path for path in (folder / "log").iterdir() if path.suffix == ".log")


def _kind(path: Path, is_named: bool) -> str:
    """By its name; a file that was named itself is Kaldi's text when its name says nothing."""
    suffixes = {".ctm": "ctm", ".jsonl": "json_lines", ".log": "logs"}
    names = {"text": "text", "ctm": "ctm", "utt2id": "utt2id"}
    found = names.get(path.name) or suffixes.get(path.suffix)
    return found or ("text" if is_named else "")
