"""Some utterances of a workspace taken through the stages, in one process, with a stopwatch."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import StageError, UsageError
from featurize.threads import one_thread
from pipelines.manifest import Utterance, safe_path
from pipelines.runner import Outcome, Unit

if TYPE_CHECKING:
    from pipelines.decode import DecodeSettings
    from pipelines.extract import ExtractSettings
    from pipelines.workspace import Workspace

PRETRAINING = "pretrain, an epoch"
SEED = 0
LARGEST_REJECT_SHARE = 0.5
READ_AT_MOST = 64 << 20  # bytes of media, to see how fast the storage is
BLOCK = 1 << 20

Work = Callable[[Unit], Outcome]


@dataclass(frozen=True)
class Cost:
    """What a stage took for the utterances of a sample, its models being loaded already.

    ``cpu_s`` are the core seconds of the process and of those that decode for it; ``gpu_s`` the
    seconds that it held a GPU, 0 on a CPU.
    """

    stage: str
    n_utterances: int
    cpu_s: float
    gpu_s: float
    bytes_read: int
    bytes_written: int


def choose(utterances: Sequence[Utterance], n: int) -> list[Utterance]:
    """``n`` of them at random, the same each time; all when there are fewer."""
    return random.Random(SEED).sample(list(utterances), min(n, len(utterances)))


def measure(
    workspace: Workspace,
    chosen: Sequence[Utterance],
    folder: Path,
    decode: DecodeSettings | None,
    extract: ExtractSettings,
) -> Iterator[Cost]:
    """Yields the cost of each stage that the settings allow; writes below ``folder``.

    ``decode`` None: the corpus has transcripts, or no model was given. Text needs word vectors.

    Raises:
        StageError: most of the sample was rejected.
    """
    with one_thread():  # a core a process, as the stages run
        for stage, work, unit in _stages(workspace, chosen, folder, decode, extract):
            yield _cost(stage, work, unit, extract)


def _stages(
    workspace: Workspace,
    chosen: Sequence[Utterance],
    folder: Path,
    decode: DecodeSettings | None,
    extract: ExtractSettings,
) -> Iterator[tuple[str, Work, Unit]]:
    from pipelines import extract_work as works
    from pipelines.decode import decode_work

    words = None if workspace.is_transcribed else folder / "decode.jsonl"
    whole = Unit(0, folder, "", {}, workspace.corpus_root, list(chosen), words)
    if decode is not None:
        unit = replace(whole, output=folder / "decode.jsonl", source=None)
        yield "decode", partial(decode_work, decode), unit
    for stage in ("audio", "video", "text", "targets"):
        needs_words = stage in ("text", "targets") and words is not None and decode is None
        if needs_words or (stage == "text" and extract.text.glove is None):
            continue
        work = partial(getattr(works, f"{stage}_work"), extract)
        output = folder / "features" / f"shard-00000.{stage}.h5"
        yield stage, work, replace(whole, output=output, config=extract.of(stage))


def _cost(stage: str, work: Work, unit: Unit, extract: ExtractSettings) -> Cost:
    work(replace(unit, utterances=unit.utterances[:1]))  # loads the models
    cpu_s, started_s = _cpu_s(), time.monotonic()
    outcome = work(unit)
    cpu_s, wall_s = _cpu_s() - cpu_s, time.monotonic() - started_s
    if len(outcome.reasons) > LARGEST_REJECT_SHARE * len(unit.utterances):
        raise StageError(
            f"{stage}: {len(outcome.reasons)} of {len(unit.utterances)} utterances were rejected "
            f"({outcome.reasons[0]}); a plan needs a sample that works"
        )
    on_gpu = stage == "video" and extract.device != "cpu"
    return Cost(
        stage=stage,
        n_utterances=len(unit.utterances),
        cpu_s=cpu_s,
        gpu_s=wall_s if on_gpu else 0.0,
        bytes_read=sum(n_bytes(stage, utterance) for utterance in unit.utterances),
        bytes_written=unit.output.stat().st_size,
    )


def n_bytes(stage: str, utterance: Utterance) -> int:
    """Size of the media file that a stage reads for an utterance, 0 where it reads none."""
    if stage in ("decode", "audio"):
        return utterance.audio_bytes or 0
    return (utterance.video_bytes or 0) if stage == "video" else 0


def read_rate(root: Path, utterances: Iterable[Utterance]) -> float | None:
    """Bytes a second of one reader of the corpus, its files dropped from the page cache first.

    None where there is nothing to read. A network file system may still have them in its own
    cache, and many readers at once may get more in all, or less.
    """
    n_read, seconds = 0, 0.0
    for utterance in utterances:
        name = utterance.video or utterance.audio
        if name is None or n_read >= READ_AT_MOST:
            continue
        try:
            descriptor = os.open(safe_path(root, name), os.O_RDONLY)
        except OSError:
            continue
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            started_s = time.monotonic()
            while block := os.read(descriptor, BLOCK):
                n_read += len(block)
            seconds += time.monotonic() - started_s
        finally:
            os.close(descriptor)
    return n_read / seconds if n_read else None


def _cpu_s() -> float:
    """Core seconds of this process and of those that it started: at work, idle or ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    seconds = ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time() + seconds + ended.ru_utime + ended.ru_stime


def refuse_empty(costs: Sequence[Cost]) -> None:
    """Raises UsageError when the settings allowed no stage but the targets."""
    if not {cost.stage for cost in costs} - {"targets"}:
        raise UsageError("nothing to plan: give --model, --glove or a corpus with media")
