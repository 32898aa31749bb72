"""A workspace's own folders: who may write there, links in them, what killed writers left."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from featurize.atomic import left_behind
from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.sizes import size
from pipelines.workspace import Workspace

FOLDERS = ("", "decode", "select", "features")


def folder_findings(workspace: Workspace) -> Iterator[Finding]:
    """Files that cannot be read, folders that cannot be written, links that lead out."""
    there = [workspace.root / name for name in FOLDERS if (workspace.root / name).is_dir()]
    work = shlex.quote(str(workspace.root))
    closed = [folder for folder in there if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)]
    files = [path for folder in there if folder not in closed for path in _files(folder)]
    unread = [path for path in files if not os.access(path, os.R_OK)]
    if closed or unread:
        first = [*closed, *unread][0]
        seen = f"{len(closed) + len(unread):,} of its folders and files are closed to you: {first}"
        yield Finding("permissions", "problem", seen, f"sudo chown -R $(id -u):$(id -g) {work}")
    root = workspace.root.resolve()
    links = [p for p in (*there, *files) if p.is_symlink() and not _is_inside(p, root)]
    if links:
        seen = f"{len(links):,} links lead out of the workspace: {links[0]} -> {links[0].resolve()}"
        mends = f"find {work} -maxdepth 2 -type l -ls   # did you make them?"
        yield Finding("links", "warning", seen, mends)
    if open_ones := [folder for folder in there if folder.stat().st_mode & stat.S_IWOTH]:
        seen = f"anyone on this machine can write to {open_ones[0]}, and so to what is trained on"
        yield Finding("permissions", "warning", seen, f"chmod -R o-w {work}")
    elif not closed and not unread:
        yield ok("permissions", "its folders can be written, its files read")


def leftover_findings(workspace: Workspace) -> Iterator[Finding]:
    """Temporary files of writers on this machine that are gone."""
    found = [path for name in FOLDERS for path in left_behind(workspace.root / name)]
    if not found:
        return
    n_bytes = sum(path.stat().st_size for path in found if path.exists())
    seen = f"{len(found):,} files, {size(n_bytes)}, of writers that were killed"
    words = ["rm", *map(str, found[:3])]
    more = "   # and so on; or run the stage again, which deletes them" if len(found) > 3 else ""
    yield Finding("leftovers", "note", seen, shlex.join(words) + more)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.is_dir()]


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop
        return False
