"""A published list of ids, one a line, beside our own choice: how far they agree.

AV-HuBERT's English list of VoxCeleb2 (``avhubert/preparation/data/vox-en.id.gz`` of its repository)
has 628,418 ids such as ``dev/mp4/id05668/XWKC1JUM_ow/00053``. Folders of VoxCeleb2's in front and a
file's ending are taken off where that is what makes an id one of ours.
"""

import gzip
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurize.errors import UsageError

MAX_BYTES = 1 << 30  # 20 million ids; a small archive could hold far more
FOLDERS = ("dev", "test", "train", "mp4", "aac", "m4a", "wav", "audio", "video")


@dataclass(frozen=True)
class Agreement:
    """Counts over the decoded utterances; ``n_foreign`` ids of the list are none of them."""

    n_both: int
    n_only_ours: int
    n_only_theirs: int
    n_neither: int
    n_foreign: int

    @property
    def jaccard(self) -> float | None:
        """Kept by both over kept by either; None when neither keeps any."""
        n_either = self.n_both + self.n_only_ours + self.n_only_theirs
        return self.n_both / n_either if n_either else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960): agreement beyond chance over what is possible beyond chance."""
        n = self.n_both + self.n_only_ours + self.n_only_theirs + self.n_neither
        ours, theirs = (self.n_both + k for k in (self.n_only_ours, self.n_only_theirs))
        by_chance = (ours * theirs + (n - ours) * (n - theirs)) / n**2
        observed = (self.n_both + self.n_neither) / n
        return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else None


def read_published(path: Path) -> set[str]:
    """Ids of a list, plain or ``.gz``: the first word of each line.

    Raises UsageError when it cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{path}: holds more than {MAX_BYTES} bytes; no list of ids does")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a readable list of ids, one a line: {error}") from None
    return {line.split()[0] for line in lines if line.strip()}


def compare(kept: Collection[str], decoded: Iterable[str], published: Collection[str]) -> Agreement:
    """Raises UsageError when the list names none of the decoded utterances."""
    ours = set(decoded)
    named = _ours(published, ours)
    if not named:
        example = min(published, default="nothing")
        raise UsageError(
            f"--compare: the list names none of the decoded utterances (it has {example!r}, the "
            f"workspace {min(ours)!r})"
        )
    both = len(named & set(kept))
    return Agreement(
        n_both=both,
        n_only_ours=len(kept) - both,
        n_only_theirs=len(named) - both,
        n_neither=len(ours) - len(kept) - len(named) + both,
        n_foreign=len(published) - len(named),
    )


def as_dict(agreement: Agreement) -> Mapping[str, float | int | None]:
    """For select.json."""
    counts: dict[str, float | int | None] = dict(vars(agreement))
    return {**counts, "jaccard": agreement.jaccard, "kappa": agreement.kappa}


def _ours(published: Iterable[str], ours: set[str]) -> set[str]:
    found = set()
    for name in published:
        for candidate in _candidates(name):
            if candidate in ours:
                found.add(candidate)
                break
    return found


def _candidates(name: str) -> Iterable[str]:
    """The name as it is, then shorter and shorter, with the file's ending and without."""
    while True:
        yield name
        stem, dot, ending = name.rpartition(".")  # pathlib takes five times as long
        if dot and "/" not in ending:
            yield stem
        first, _, name = name.partition("/")
        if first not in FOLDERS or not name:
            return
