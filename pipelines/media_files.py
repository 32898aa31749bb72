"""Names and sizes of the media files in a corpus folder; nothing is opened.

Links are followed only while they stay inside the corpus: what a later stage reads must be the
corpus, not whatever a link in it points to.
"""

import os
from pathlib import Path

from featurize.errors import CorpusError
from pipelines.manifest import safe_path

LEADS_OUT = -1  # in place of a size: a broken link, or one that leaves the corpus folder


def subfolders(folder: Path, root: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted; hidden ones are left out.

    Raises CorpusError when ``folder`` cannot be listed or holds a link out of ``root``.
    """
    names = []
    for entry in _entries(folder):
        if not entry.name.startswith(".") and entry.is_dir():
            if entry.is_symlink():
                safe_path(root, os.path.relpath(entry.path, root))
            names.append(entry.name)
    return sorted(names)


def media_sizes(folder: Path, suffix: str, root: Path) -> dict[str, int]:
    """File name without ``suffix`` -> size in bytes, or LEADS_OUT, of the files that end in it.

    A folder that does not exist has no files. Raises CorpusError when it cannot be listed.
    """
    n = len(suffix)
    return {
        entry.name[:-n]: _size(entry, root)
        for entry in _entries(folder)
        if entry.name.endswith(suffix) and entry.name[0] != "."
    }


def first_folder(root: Path, candidates: tuple[str, ...]) -> str | None:
    """The first of ``candidates`` (relative to ``root``) that is a folder inside ``root``."""
    found = next((relative for relative in candidates if (root / relative).is_dir()), None)
    if found is not None:
        safe_path(root, found)
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot be listed ({error.strerror}); check its permissions"
        ) from None


def _size(entry: os.DirEntry[str], root: Path) -> int:
    if entry.is_symlink() and not _stays_inside(entry.path, root):
        return LEADS_OUT
    # A folder or a device under a media name holds no media: the same as an empty file.
    return entry.stat().st_size if entry.is_file() else 0


def _stays_inside(path: str, root: Path) -> bool:
    try:
        target = Path(path).resolve()
    except (OSError, RuntimeError):  # a loop of links
        return False
    return target.exists() and target.is_relative_to(root.resolve())
