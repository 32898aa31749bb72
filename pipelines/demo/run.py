"""The demo: two small corpora of real media files, then every stage, as a user types them."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

import click
from joblib import cpu_count

from pipelines.demo.corpora import FULL, DemoSize, make_mosei, make_voxceleb2
from pipelines.progress import step_bar

N_SEEDS = 3
RUNS = ("pretrained", "late-fusion", "scratch", "embeddings")
RunCommand = Callable[[list[str]], None]


def run_demo(
    folder: Path, jobs: int | None, run_command: RunCommand, size: DemoSize = FULL, seed: int = 0
) -> Path:
    """Runs the whole path in ``folder``; returns the report's page. What is done is skipped.

    ``run_command`` runs one ``trimodal`` command line. Raises whatever a stage raises.
    """
    started = time.monotonic()
    for name, make in (("voxceleb2", make_voxceleb2), ("mosei", make_mosei)):
        with step_bar(f"making the {name}-like corpus", "file") as show:
            make(folder / "corpora" / name, size, seed, show, n_processes=jobs or cpu_count())
    for words in commands(folder, jobs):
        click.secho(f"\n$ trimodal {shlex.join(words)}", bold=True)
        run_command(words)
    page = folder / "report" / "index.html"
    click.secho(f"\nThe demo took {time.monotonic() - started:.0f} s. Report: {page}", bold=True)
    return page


def commands(folder: Path, jobs: int | None) -> list[list[str]]:
    """The command lines of the demo, without the leading ``trimodal``."""
    corpora, runs = folder / "corpora", folder / "runs"
    voxceleb2, mosei = str(folder / "voxceleb2"), str(folder / "mosei")
    preset = ["--preset", "demo"]
    jobs_option = ["--jobs", str(jobs)] if jobs else []
    stage = preset + jobs_option
    pretrained, late_fusion, scratch, embeddings = (str(runs / name) for name in RUNS)
    seeds = ["--n-seeds", str(N_SEEDS)]
    return [
        ["prepare", "voxceleb2", str(corpora / "voxceleb2"), voxceleb2, *preset],
        ["prepare", "mosei", str(corpora / "mosei"), mosei, *preset],
        ["decode", voxceleb2, *stage],
        ["select", voxceleb2, "--languages", str(corpora / "voxceleb2" / "languages.csv"), *preset],
        ["extract", voxceleb2, "all", *stage],
        ["extract", mosei, "all", *stage],
        ["pretrain", voxceleb2, pretrained, *preset],
        ["finetune", mosei, late_fusion, "--model", "late-fusion", *seeds, *preset],
        ["finetune", mosei, scratch, *seeds, *preset],
        ["finetune", mosei, embeddings, "--init", pretrained, *seeds, *preset],
        *(["evaluate", mosei, run] for run in (late_fusion, scratch, embeddings)),
        ["embed", mosei, pretrained, str(folder / "embedded"), "--pool", "mean", *jobs_option],
        ["status", voxceleb2],
        ["status", mosei],
        ["report", str(folder / "report"), pretrained, late_fusion, scratch, embeddings],
    ]
