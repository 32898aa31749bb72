"""Thousands of bad media files through the real stages: features or a reject with a reason.

    python -m benchmarks.bad_media [--n 5000] [--seed 0] [--jobs 2] [--quick] [--write]

`prepare voxceleb2`, `decode` (shipped TDNN) and `extract audio` on what was kept; then all the
files once more as a Kaldi data directory with transcripts, so that `extract audio` and `extract
video` meet every one; some of them with `--faces detect`. Ends with exit code 1 when a stage fails,
an utterance is not accounted for, a feature is not finite, a reason is not one readable line,
memory passes its bound, or another file or the network was touched.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.bad_media.corpus import Placed, add_odd_files, place, write_kaldi
from benchmarks.bad_media.mutants import mutant
from benchmarks.bad_media.outcomes import Outcomes, outcomes
from benchmarks.bad_media.sources import write_sources
from benchmarks.bad_media.trap import Trap
from benchmarks.bad_media.watched import Run, watched
from pipelines.memory_limit import LARGEST_BYTES

# Beside the checkout, or beside the folder of its worktrees.
PLACES = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[3:5]]
WRITTEN = Path(__file__).parents[1] / "bad_media.md"
OWN_BYTES = 2 << 30  # of a worker without any file: PyTorch, VGG-16, the decoder
LIMIT_S = 3 * 3600.0  # of a stage, which would hang
QUICK_N, FACES_N = 110, 300
FPS = ["--fps", "0.01"]  # a picture of each file; of those whose clock lies a few more
PRESET = ["--preset", "demo"]


class Torture:
    """The stages one after the other, and what was wrong."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs
        self.trap = Trap(folder)
        self.faults: list[str] = []
        self.runs: dict[str, Run] = {}

    def stage(self, name: str, *words: str | Path, jobs: bool = True) -> None:
        options = ["--max-reject-share", "1", "--jobs", str(self.jobs)] if jobs else []
        command = [*map(str, words), *PRESET, *options]
        run = watched(command, limit_s=LIMIT_S, look=self.trap.look)
        self.runs[name] = run
        bound = OWN_BYTES + LARGEST_BYTES
        print(f"{name}: exit {run.exit_code}, {run.seconds:.0f} s, {_memory_of(run)}", flush=True)
        if run.exit_code:
            self.faults.append(f"{name}: exit {run.exit_code}: {run.said[-2000:]}")
        if "Traceback" in run.said:
            self.faults.append(f"{name}: a traceback: {run.said[-2000:]}")
        if run.largest_process_bytes > bound:
            self.faults.append(f"{name}: {_memory_of(run)}, more than {bound >> 20} MiB")

    def accounted(self, work: Path, stages: dict[str, int]) -> None:
        """By `trimodal status`: nothing pending, and as many went in as there are."""
        said = watched(["status", str(work), "--json"], limit_s=600)
        try:
            found = {s["stage"]: s for s in json.loads(said.said)["stages"]}
        except (ValueError, KeyError) as error:
            self.faults.append(f"status {work.name}: {error!r}: {said.said[-2000:]}")
            return
        for stage, n in stages.items():
            told = found[stage]
            if told["in"] != n or told["done"] + told["rejected"] != n or told["pending"]:
                self.faults.append(f"status {work.name}: {stage}: {told}, of {n}")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_media")
    parser.add_argument("--n", type=int, default=5000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_N} files")
    parser.add_argument("--write", action="store_true", help=f"the table to {WRITTEN.name}")
    options = parser.parse_args(words)
    n = QUICK_N if options.quick else options.n
    with tempfile.TemporaryDirectory() as name:
        torture = Torture(Path(name), options.jobs)
        text = "\n".join(torment(torture, n, options.seed))
    print(text)
    for fault in torture.faults:
        print(f"FAULT {fault}")
    if options.write:
        WRITTEN.write_text(_introduction(n, options.seed) + text + "\n", encoding="utf-8")
    return 1 if torture.faults else 0


def _introduction(n: int, seed: int) -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (
        f"# Bad media\n\n`python -m benchmarks.bad_media --n {n} --seed {seed}` at commit "
        f"{told.stdout.strip() or 'unknown'}.\n\n"
    )


def torment(torture: Torture, n: int, seed: int) -> list[str]:
    """Runs everything; the lines of the table."""
    root = torture.folder / "corpus"
    real = next((place for place in PLACES if place.is_dir()), None)
    sources = write_sources(torture.folder / "good", real)
    mutants = (mutant(seed, k, sources, torture.trap.elsewhere) for k in range(n))
    files = [place(root, made) for made in mutants]
    odd = add_odd_files(root, torture.folder / "good" / "a.mp4")
    vox = _voxceleb2(torture, root, n + len(odd))
    kaldi, faces = _kaldi(torture, files)
    kind_of = {file.id: file.kind for file in files} | {file.name: file.kind for file in files}
    kind_of |= {utterance_id: "no file at all" for utterance_id in odd}
    found = [outcomes(work, torture.folder) for work in (vox, kaldi, faces)]
    torture.faults += [fault for one in found for fault in one.faults]
    if torture.trap.touched:
        torture.faults.append(f"touched: {Counter(torture.trap.touched)}")
    return [*_table(found, kind_of), "", *_reasons(found), "", *_stages(torture)]


def _voxceleb2(torture: Torture, root: Path, n: int) -> Path:
    work = torture.folder / "voxceleb2"
    torture.stage("prepare voxceleb2", "prepare", "voxceleb2", root, work, jobs=False)
    torture.stage("decode", "decode", work, "--model", "demo")
    torture.stage("select", "select", work, "--keep-fraction", "1", jobs=False)
    torture.stage("extract audio, what was decoded", "extract", work, "audio")
    torture.accounted(work, {"prepare": n})
    return work


def _kaldi(torture: Torture, files: list[Placed]) -> tuple[Path, Path]:
    everything, some = torture.folder / "kaldi", torture.folder / "faces"
    with_picture = [file for file in files if file.has_picture][:FACES_N]
    for work, chosen in ((everything, files), (some, with_picture)):
        data = torture.folder / f"{work.name}.data"
        write_kaldi(data, chosen)
        torture.stage(f"prepare kaldi, {work.name}", "prepare", "kaldi", data, work, jobs=False)
    torture.stage("extract audio", "extract", everything, "audio")
    torture.stage("extract video", "extract", everything, "video", *FPS)
    torture.stage("extract video, faces", "extract", some, "video", *FPS, "--faces", "detect")
    return everything, some


def _table(found: list[Outcomes], kind_of: dict[str, str]) -> list[str]:
    """Kind of mutation by outcome: files that gave features, and files rejected, a stage."""
    stages = [(n, stage) for n, one in enumerate(found) for stage in one.stages]
    counts: dict[str, Counter] = defaultdict(Counter)
    for n, one in enumerate(found):
        for stage, utterance_id, reason in one.ended:
            counts[kind_of[utterance_id]][n, stage, reason is None] += 1
    names = [f"{stage}{', faces' if n == 2 else ''}" for n, stage in stages]
    lines = [f"| kind | {' | '.join(names)} |", "|---" * (1 + len(stages)) + "|"]
    for kind in sorted(counts):
        cells = [f"{counts[kind][n, s, True]} / {counts[kind][n, s, False]}" for n, s in stages]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    totals = [sum((counts[kind] for kind in counts), Counter())]
    cells = [f"{totals[0][n, s, True]} / {totals[0][n, s, False]}" for n, s in stages]
    return ["Features / rejects:", "", *lines, f"| **all** | {' | '.join(cells)} |"]


def _reasons(found: list[Outcomes]) -> list[str]:
    counts: Counter = sum((one.reasons for one in found), Counter())
    lines = [f"| {n} | {reason} |" for reason, n in counts.most_common(40)]
    told = f"{len(counts)} different reasons, numbers left out:"
    return [told, "", "| n | reason |", "|---|---|", *lines]


def _stages(torture: Torture) -> list[str]:
    lines = [
        f"| {name} | {run.exit_code} | {run.seconds:.0f} | {run.largest_process_bytes >> 20} |"
        f" {run.all_processes_bytes >> 20} |"
        for name, run in torture.runs.items()
    ]
    head = "| stage | exit code | s | largest process, MiB | all processes, MiB |"
    return [head, "|---|---|---|---|---|", *lines]


def _memory_of(run: Run) -> str:
    return f"{run.largest_process_bytes >> 20} MiB, all {run.all_processes_bytes >> 20} MiB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
