"""Makes the demo's two corpora: real media files, made again only where they are missing."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featurize.atomic import remove_stale, write_text
from featurize.errors import StaleError, UsageError

VERSION = 2  # raised when the same seed would give other files
FINISHED, UNFINISHED = "demo.json", "demo-unfinished.json"

Progress = Callable[[int, int], None]  # (files done, files in all)


@dataclass(frozen=True)
class DemoSize:
    """How much to make; a few broken files come on top."""

    n_speakers: int = 36  # VoxCeleb2-like
    utterances_per_speaker: int = 5
    n_mosei_videos: int = 60
    segments_per_video: int = 6

    def __post_init__(self) -> None:
        if self.n_speakers < 5 or self.n_mosei_videos < 5:
            raise UsageError("a demo corpus needs at least 5 speakers and 5 MOSEI videos")
        if self.utterances_per_speaker < 1 or self.segments_per_video < 1:
            raise UsageError("a demo corpus needs at least 1 utterance a speaker and a video")


FULL = DemoSize()
TINY = DemoSize(n_speakers=5, utterances_per_speaker=2, n_mosei_videos=5, segments_per_video=2)


def make_voxceleb2(
    root: Path, size: DemoSize, seed: int, progress: Progress, *, n_processes: int = 2
) -> None:
    """Makes a corpus in VoxCeleb2's layout under ``root``, several languages spoken.

    ``root/languages.csv`` tells the language of each utterance. Returns at once when the corpus
    is finished; completes it when it is not. Raises StaleError when ``root`` holds one made with
    other settings, UsageError when it holds something else.
    """
    from pipelines.demo.voxceleb2_corpus import plan_voxceleb2, render_clip, write_tables

    settings = _settings("voxceleb2", seed, size)
    if _is_finished(root, settings):
        return
    clips = plan_voxceleb2(size.n_speakers, size.utterances_per_speaker, seed)
    _render(render_clip, root, clips, progress, n_processes)
    write_tables(root, clips)
    _finish(root, settings)


def make_mosei(
    root: Path, size: DemoSize, seed: int, progress: Progress, *, n_processes: int = 2
) -> None:
    """Makes a corpus in CMU-MOSEI's layout under ``root``; otherwise as make_voxceleb2."""
    from pipelines.demo.mosei_corpus import render_video, write_tables
    from pipelines.demo.mosei_plan import plan_mosei

    settings = _settings("mosei", seed, size)
    if _is_finished(root, settings):
        return
    videos = plan_mosei(size.n_mosei_videos, size.segments_per_video, seed)
    times_s = _render(render_video, root, videos, progress, n_processes)
    write_tables(root, videos, times_s, seed)
    _finish(root, settings)


def _settings(corpus: str, seed: int, size: DemoSize) -> dict[str, Any]:
    return {
        "format": "trimodal-demo-corpus", "version": VERSION, "corpus": corpus, "seed": seed,
        "size": asdict(size),
    }  # fmt: skip


def _is_finished(root: Path, settings: dict[str, Any]) -> bool:
    """Checks what ``root`` holds already; marks it as being made if nothing."""
    remove_stale(root)
    for marker in (root / FINISHED, root / UNFINISHED):
        if marker.exists():
            if _read(marker) != settings:
                raise StaleError(
                    f"{root} holds a demo corpus made with another seed, size or version: "
                    "remove the folder, or give another"
                )
            return marker.name == FINISHED
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root} holds files that are not the demo's: give an empty folder")
    write_text(root / UNFINISHED, json.dumps(settings, indent=1) + "\n")
    return False


def _read(marker: Path) -> Any:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _finish(root: Path, settings: dict[str, Any]) -> None:
    write_text(root / FINISHED, json.dumps(settings, indent=1) + "\n")
    (root / UNFINISHED).unlink(missing_ok=True)


def _render(
    render: Callable[[Path, Any], Any],
    root: Path,
    items: Sequence[Any],
    progress: Progress,
    n_processes: int,
) -> list[Any]:
    """``render(root, item)`` for every item, in processes; the results in order."""
    from joblib import Parallel, delayed

    for folder, _, _ in os.walk(root):
        remove_stale(Path(folder))
    progress(0, len(items))
    results = []
    parallel = Parallel(n_jobs=n_processes, return_as="generator")
    for result in parallel(delayed(_on_one_core)(render, root, item) for item in items):
        results.append(result)
        progress(len(results), len(items))
    return results


def _on_one_core(render: Callable[[Path, Any], Any], root: Path, item: Any) -> Any:
    import cv2

    cv2.setNumThreads(1)  # the processes already share the cores out
    return render(root, item)
