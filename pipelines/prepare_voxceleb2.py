"""Lists the utterances of VoxCeleb2, or of a corpus unpacked like it, from file names alone.

Read are ``ROOT/SPLIT/{mp4,aac}/SPEAKER/VIDEO/NNNNN.{mp4,m4a}`` and the same without ``SPLIT``
(a top-level ``mp4``/``aac``, or ROOT being the split's own folder). No media file is opened.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featurize.errors import CorpusError, UsageError
from pipelines.manifest import Reject, Utterance, check_id, existing_folder
from pipelines.media_files import LEADS_OUT, first_folder, media_sizes, subfolders

SPLITS = ("dev", "test")
META_NAME = "vox2_meta.csv"


@dataclass(frozen=True)
class _Trees:
    """Where the two trees of the corpus lie, relative to ``root``; None: not there."""

    root: Path
    mp4: str | None
    m4a: str | None

    def folders(self, *below: str) -> list[str]:
        """Names of the folders at ``below`` in either tree, sorted."""
        trees = [tree for tree in (self.mp4, self.m4a) if tree]
        return sorted(
            {n for t in trees for n in subfolders(self.root.joinpath(t, *below), self.root)}
        )

    def sizes(self, tree: str | None, suffix: str, *below: str) -> dict[str, int]:
        return media_sizes(self.root.joinpath(tree, *below), suffix, self.root) if tree else {}


@dataclass
class _Found:
    utterances: list[Utterance] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def scan_voxceleb2(
    root: Path,
    split: str = "dev",
    meta: Path | None = None,
    progress: Callable[[int], None] = lambda n_files: None,
) -> tuple[list[Utterance], list[Reject], dict]:
    """Lists the utterances of one split, in the order of their ids ``SPEAKER/VIDEO/NNNNN``.

    Audio comes from the m4a unless that is missing or empty, else from the mp4; ``video`` is
    None when there is only an m4a. With ``meta`` (default ``ROOT/vox2_meta.csv`` if there is
    one), speakers that it puts in another set are left out; speakers that it does not know are
    kept and counted, as the folder they lie in says more than an optional table.

    ``progress`` is called with the number of files just seen, once a speaker. Returns
    utterances, rejects and an audit of counts. Raises UsageError for a wrong argument,
    CorpusError for a folder without this layout or without any utterance.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    existing_folder(root, "the folder of VoxCeleb2, with dev/mp4 and dev/aac in it")
    trees = _find_trees(root, split)
    set_of_speaker = _read_meta(root, meta)
    found = _Found()
    for speaker in trees.folders():
        speaker_set = set_of_speaker.get(speaker)
        if speaker_set not in (None, split):
            found.counts["speakers_of_other_split"] += 1
            continue
        if set_of_speaker and speaker_set is None:
            found.counts["speakers_not_in_meta"] += 1
        progress(_scan_speaker(trees, speaker, found))
    if not found.utterances and not found.rejects:
        raise CorpusError(_no_files(root, split, trees, found.counts["speakers_of_other_split"]))
    found.utterances.sort(key=lambda u: u.id)
    return found.utterances, found.rejects, _audit(found, split, trees, bool(set_of_speaker))


def _find_trees(root: Path, split: str) -> _Trees:
    trees = _Trees(
        root,
        mp4=first_folder(root, (f"{split}/mp4", "mp4")),
        m4a=first_folder(root, (f"{split}/aac", "aac")),
    )
    if trees.mp4 is None and trees.m4a is None:
        raise CorpusError(
            f"{root}: not laid out like VoxCeleb2; looked for the folders "
            f"{split}/mp4, {split}/aac, mp4, aac in it"
        )
    return trees


def _scan_speaker(trees: _Trees, speaker: str, found: _Found) -> int:
    """Adds one speaker's utterances to ``found``; returns the number of files seen."""
    n_files = 0
    n_before = len(found.utterances)
    for video in trees.folders(speaker):
        mp4s = trees.sizes(trees.mp4, ".mp4", speaker, video)
        m4as = trees.sizes(trees.m4a, ".m4a", speaker, video)
        n_files += len(mp4s) + len(m4as)
        n_in_video = len(found.utterances)
        for stem in sorted(mp4s.keys() | m4as.keys()):
            _add(trees, (speaker, video, stem), mp4s.get(stem), m4as.get(stem), found)
        found.counts["videos"] += len(found.utterances) > n_in_video
    found.counts["speakers"] += len(found.utterances) > n_before
    return n_files


def _add(
    trees: _Trees, key: tuple[str, str, str], mp4: int | None, m4a: int | None, found: _Found
) -> None:
    """Adds the utterance ``key`` (speaker, video, stem) given its two files' sizes."""
    utterance_id = "/".join(key)
    reason = _unusable(utterance_id, mp4, m4a)
    if reason:
        readable_id = utterance_id.encode("utf-8", "backslashreplace").decode()
        found.rejects.append(Reject(readable_id, "prepare", reason))
        return
    video = f"{trees.mp4}/{utterance_id}.mp4" if mp4 else None
    audio = f"{trees.m4a}/{utterance_id}.m4a" if m4a else video
    found.utterances.append(
        Utterance(
            id=utterance_id,
            speaker=key[0],
            audio=audio,
            video=video,
            audio_bytes=m4a or mp4,
            video_bytes=mp4 or None,
        )
    )
    found.counts["audio_from_m4a" if m4a else "audio_from_mp4"] += 1
    found.counts["without_video"] += video is None
    found.counts["empty_mp4_beside_m4a"] += mp4 == 0
    found.counts["empty_m4a_beside_mp4"] += m4a == 0


def _unusable(utterance_id: str, mp4: int | None, m4a: int | None) -> str | None:
    """Why an utterance cannot be used, or None when it can."""
    try:
        check_id(utterance_id)
    except CorpusError:
        return "file name is not allowed as an id (control or undecodable characters)"
    if LEADS_OUT in (mp4, m4a):
        return "broken link, or link that leads out of the corpus folder"
    return None if mp4 or m4a else "empty file (0 bytes)"


def _read_meta(root: Path, meta: Path | None) -> dict[str, str]:
    """Speaker -> set ("dev" or "test") from ``vox2_meta.csv``; {} when there is none.

    The file as published has a space after every header and value (``id00012 ,n000012 ,m ,dev``);
    copies differ in the header's spelling and may be tab-separated.
    """
    if meta is not None and not meta.is_file():
        raise UsageError(f"{meta}: no such file (expected {META_NAME})")
    path = meta or root / META_NAME
    if not path.is_file():
        return {}
    rows = list(_stripped_rows(path))
    header = [name.replace(" ", "").lower() for name in rows[0]] if rows else []
    id_column = next((i for i, name in enumerate(header) if name in ("voxceleb2id", "id")), None)
    if id_column is None or "set" not in header:
        raise CorpusError(f"{path}: expected a header with the columns 'VoxCeleb2 ID' and 'Set'")
    set_column = header.index("set")
    full = [row for row in rows[1:] if len(row) > max(id_column, set_column)]
    return {row[id_column]: row[set_column].lower() for row in full}


def _stripped_rows(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
        for row in csv.reader(text.splitlines(), delimiter=delimiter):
            if row:
                yield [value.strip() for value in row]
    except (OSError, ValueError, csv.Error) as error:
        raise CorpusError(f"{path}: cannot be read as a table ({error})") from None


def _no_files(root: Path, split: str, trees: _Trees, n_others: int) -> str:
    if n_others:
        return f"{root}: {META_NAME} puts all {n_others} speakers in another set than {split!r}"
    looked = [f"{trees.mp4}/SPEAKER/VIDEO/*.mp4"] * bool(trees.mp4)
    looked += [f"{trees.m4a}/SPEAKER/VIDEO/*.m4a"] * bool(trees.m4a)
    return f"{root}: no utterance of the split {split!r} found; looked for {', '.join(looked)}"


def _audit(found: _Found, split: str, trees: _Trees, has_meta: bool) -> dict:
    names = (
        "speakers",
        "videos",
        "audio_from_m4a",
        "audio_from_mp4",
        "without_video",
        "empty_mp4_beside_m4a",
        "empty_m4a_beside_mp4",
        "speakers_of_other_split",
        "speakers_not_in_meta",
    )
    return {
        "split": split,
        "folders": [tree for tree in (trees.mp4, trees.m4a) if tree],
        "meta_used": has_meta,
        "utterances": len(found.utterances),
        "hours": None,  # lengths are in the files, which are not opened here
        **{name: found.counts[name] for name in names},
        "rejects": dict(Counter(reject.reason for reject in found.rejects)),
    }
