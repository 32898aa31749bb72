"""The stages that are tortured: each a command line, what it reads, and what it writes."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SETTINGS = ["--preset", "demo", "--config", str(Path(__file__).with_name("torture.toml"))]
LENIENT = ["--max-reject-share", "1"]  # the demo's corpora have broken files, and few whole ones
ONE_JOB, TWO_JOBS = ["--jobs", "1"], ["--jobs", "2"]


@dataclass(frozen=True)
class Places:
    """Where things are: the corpora, a finished base of all stages, and a case's own folder."""

    corpora: Path
    base: Path
    own: Path

    @property
    def work(self) -> str:
        """The workspace that stages over shards write in."""
        return str(self.own / "work")

    @property
    def out(self) -> str:
        """What all other stages write."""
        return str(self.own / "out")

    def of_base(self, name: str) -> str:
        return str(self.base / name)


@dataclass(frozen=True)
class Case:
    """One stage.

    Args:
        words: its command line in a case's folder.
        reads: of the base's workspace what is copied to ``work`` before it starts.
        copies: of the base, what is copied to ``out`` before it starts.
        has_jobs: it takes ``--jobs``.
        opens_media: by a process that may hang.
    """

    name: str
    words: Callable[[Places], list[str]]
    reads: tuple[str, ...] | None = None
    copies: str | None = None
    has_jobs: bool = False
    opens_media: bool = False

    def command(self, places: Places, *, many_jobs: bool = False) -> list[str]:
        jobs = (TWO_JOBS if many_jobs else ONE_JOB) if self.has_jobs else []
        return [*self.words(places), *jobs]

    def reset(self, places: Places) -> None:
        """Makes the case's folder as it is before the stage; what is not written stays."""
        places.own.mkdir(parents=True, exist_ok=True)
        for entry in places.own.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for name in self.reads or ():
            source, target = places.base / "vox" / name, places.own / "work" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, target)
        if self.copies is not None:
            shutil.copytree(places.base / self.copies, places.out)


def _extract(modality: str, *, opens_media: bool = False) -> Case:
    def words(at: Places) -> list[str]:
        return ["extract", at.work, modality, *SETTINGS, *LENIENT]

    return Case(modality, words, _SELECTED, has_jobs=True, opens_media=opens_media)


_SELECTED = ("manifest.jsonl", "decode", "select")
CASES = (
    Case("prepare", lambda at: ["prepare", "voxceleb2", f"{at.corpora}/voxceleb2", at.work,
                                *SETTINGS]),
    Case("decode", lambda at: ["decode", at.work, *SETTINGS, *LENIENT], ("manifest.jsonl",),
         has_jobs=True, opens_media=True),
    Case("select", lambda at: ["select", at.work, "--keep-fraction", "0.9"],
         ("manifest.jsonl", "decode")),
    _extract("audio", opens_media=True),
    _extract("video", opens_media=True),
    _extract("text"),
    _extract("targets"),
    Case("pretrain", lambda at: ["pretrain", at.of_base("vox"), at.out, *SETTINGS]),
    Case("finetune", lambda at: ["finetune", at.of_base("mosei"), at.out, "--n-seeds", "2",
                                 "--init", at.of_base("pretrained"), *SETTINGS]),
    Case("evaluate", lambda at: ["evaluate", at.of_base("mosei"), at.out], copies="tuned"),
    Case("embed", lambda at: ["embed", at.of_base("mosei"), at.of_base("pretrained"), at.out],
         has_jobs=True),
    Case("webdataset", lambda at: ["export", "webdataset", at.of_base("mosei"), at.out]),
    Case("kaldi", lambda at: ["export", "kaldi", at.of_base("vox"), at.out, "--wav"],
         has_jobs=True, opens_media=True),
    Case("report", lambda at: ["report", at.out, at.of_base("pretrained"), at.of_base("baseline"),
                               at.of_base("evaluated")]),
    Case("compare", lambda at: ["compare", at.of_base("evaluated"), at.of_base("baseline")]),
)  # fmt: skip
BY_NAME = {case.name: case for case in CASES}


def base_commands(corpora: Path, base: Path) -> list[list[str]]:
    """The commands that make the base, in order; each does nothing when it is done."""
    vox, mosei = str(base / "vox"), str(base / "mosei")
    runs = {name: str(base / name) for name in ("pretrained", "tuned", "evaluated", "baseline")}
    tune = ["--n-seeds", "2", *SETTINGS]
    from_pretrained = ["--init", runs["pretrained"], *tune]
    return [
        ["prepare", "voxceleb2", f"{corpora}/voxceleb2", vox, *SETTINGS],
        ["prepare", "mosei", f"{corpora}/mosei", mosei, *SETTINGS],
        ["decode", vox, *SETTINGS, *LENIENT, *ONE_JOB],
        ["select", vox, "--keep-fraction", "0.9"],
        ["extract", vox, "all", *SETTINGS, *LENIENT, *ONE_JOB],
        ["extract", mosei, "all", *SETTINGS, *LENIENT, *ONE_JOB],
        ["pretrain", vox, runs["pretrained"], *SETTINGS],
        ["finetune", mosei, runs["tuned"], *from_pretrained],
        ["finetune", mosei, runs["evaluated"], *from_pretrained],
        ["finetune", mosei, runs["baseline"], "--model", "late-fusion", *tune],
        ["evaluate", mosei, runs["evaluated"]],
        ["evaluate", mosei, runs["baseline"]],
    ]
