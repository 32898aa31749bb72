"""Rejects run again: the bytes of a run that never met the fault, and no flags typed twice."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pipelines.runner import made_with

Trimodal = Callable[..., Result]
UNREADABLE, SILENT = "cannot be opened", "no audio stream"


def digests(work: Path, pattern: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(work.glob(pattern))
    }


def reasons(path: Path) -> list[str]:
    made = made_with(path)
    assert made is not None
    return [reject.reason for reject in made.rejects]


@pytest.fixture
def corpora(tiny_corpora: Path, tmp_path: Path) -> Path:
    """The tiny corpora, to be broken."""
    shutil.copytree(tiny_corpora, tmp_path / "corpora")
    return tmp_path / "corpora"


def run(trimodal: Trimodal, *words: object) -> Result:
    result = trimodal(*words)
    assert result.exit_code == 0, result.output
    return result


def prepared(trimodal: Trimodal, corpora: Path, corpus: str, work: Path) -> Path:
    run(trimodal, "prepare", corpus, corpora / corpus, work, "--preset", "demo", "--shard-size", 4)
    return work


def a_good_video(work: Path) -> Path:
    """The file of an utterance that the stages can read."""
    from pipelines.workspace import Workspace

    workspace = Workspace(work)
    lost = {r.id for k in range(workspace.n_shards) for r in _rejects(work, k)}
    utterance = next(u for u in workspace.utterances if u.id not in lost)
    return workspace.corpus_root / str(utterance.audio)


def _rejects(work: Path, number: int):
    made = made_with(work / "features" / f"shard-{number:05d}.audio.h5")
    return made.rejects if made else []


AUDIO = ("--preset", "demo", "--jobs", 1, "--max-reject-share", 1, "--encoding", "float32")


@pytest.fixture
def never_broken(trimodal: Trimodal, corpora: Path, tmp_path: Path) -> Path:
    """CMU-MOSEI with its audio extracted by settings that are in no preset."""
    work = prepared(trimodal, corpora, "mosei", tmp_path / "whole")
    config = tmp_path / "own.toml"
    config.write_text("[audio]\nn_bins = 23\nhop_s = 0.02\nwindow = 'hamming'\n")
    run(trimodal, "extract", work, "audio", *AUDIO, "--config", config)
    config.unlink()  # nothing but the shards tells of it from here on
    return work


def break_and_extract(trimodal: Trimodal, never_broken: Path, work: Path, tmp_path: Path) -> Path:
    """A workspace with the same settings, one of whose files was broken; returns that file."""
    config = tmp_path / "own.toml"
    config.write_text("[audio]\nn_bins = 23\nhop_s = 0.02\nwindow = 'hamming'\n")
    run(trimodal, "extract", work, "audio", *AUDIO, "--config", config)
    config.unlink()
    assert digests(work, "features/*") != digests(never_broken, "features/*")
    return work


def test_a_mended_file_gives_the_bytes_of_a_run_without_the_fault(
    trimodal: Trimodal, corpora: Path, never_broken: Path, tmp_path: Path
) -> None:
    video = a_good_video(never_broken)
    whole = video.read_bytes()
    work = prepared(trimodal, corpora, "mosei", tmp_path / "work")
    video.write_bytes(bytes(len(whole)))
    break_and_extract(trimodal, never_broken, work, tmp_path)
    broken = digests(work, "features/*")
    listed = run(trimodal, "retry", work).output
    assert "nothing was run" in listed and UNREADABLE in listed and SILENT in listed
    run(trimodal, "retry", work, "--reason", "CANNOT be opened", "--dry-run")
    assert digests(work, "features/*") == broken
    still = run(trimodal, "retry", work, "--reason", UNREADABLE, "--jobs", 1).output
    assert digests(work, "features/*") == broken, "not mended yet: the same rejects"
    assert re.search(r"Invalid data found when processing input +\d+ +0 +\d+\n", still), still
    video.write_bytes(whole)
    done = run(trimodal, "retry", work, "--reason", UNREADABLE, "--jobs", 1).output
    assert digests(work, "features/*") == digests(never_broken, "features/*")
    n_lost = sum(len(_rejects(work, k)) for k in range(5))
    assert n_lost and SILENT not in done, "rejects of another reason stay"
    kept = [json.loads(line) for line in (work / "rejects.jsonl").read_text().splitlines()]
    assert sum(r["stage"] == "audio" for r in kept) == n_lost


def test_a_file_of_another_size_is_prepared_first(
    trimodal: Trimodal, corpora: Path, never_broken: Path, tmp_path: Path
) -> None:
    """And the command told for it leads to where a run without the fault would have."""
    video = a_good_video(never_broken)
    whole = video.read_bytes()
    video.write_bytes(whole[:1000])
    work = prepared(trimodal, corpora, "mosei", tmp_path / "work")
    break_and_extract(trimodal, never_broken, work, tmp_path)
    video.write_bytes(whole)
    before = digests(work, "*/*")
    refused = trimodal("retry", work, "--reason", UNREADABLE, "--jobs", 1)
    assert refused.exit_code == 2 and "changed in size" in refused.output
    assert digests(work, "*/*") == before
    command = re.search(r"`trimodal (.*?)`", refused.output.replace("\n", " "))
    assert command is not None
    run(trimodal, *shlex.split(command.group(1)))
    run(trimodal, "retry", work, "--reason", UNREADABLE, "--jobs", 1)
    assert digests(work, "manifest.jsonl") == digests(never_broken, "manifest.jsonl")
    assert digests(work, "features/*") == digests(never_broken, "features/*")


def test_decoding_again_tells_what_has_to_follow(
    trimodal: Trimodal, corpora: Path, tmp_path: Path
) -> None:
    """Run as told, the whole workspace is as if nothing had ever been broken."""
    lenient = ("--preset", "demo", "--jobs", 1, "--max-reject-share", 1)
    works = [prepared(trimodal, corpora, "voxceleb2", tmp_path / n) for n in ("whole", "work")]
    sounds = sorted((corpora / "voxceleb2").rglob("*.m4a"))
    whole = {path: path.read_bytes() for path in sounds[:3]}
    for work in works:
        for path, content in whole.items():
            path.write_bytes(bytes(len(content)) if work.name == "work" else content)
        run(trimodal, "decode", work, *lenient)
        run(trimodal, "select", work, "--keep-fraction", 0.6)
        run(trimodal, "extract", work, "targets", *lenient)
    for path, content in whole.items():
        path.write_bytes(content)
    work = works[1]
    assert digests(works[0], "decode/*") != digests(work, "decode/*")
    output = run(trimodal, "retry", work, "--all", "--jobs", 1).output
    assert digests(works[0], "decode/*") == digests(work, "decode/*")
    told = [line.strip() for line in output.splitlines() if line.startswith("  trimodal ")]
    assert [line.split()[1] for line in told] == ["select", "extract"], output
    for command in told:
        run(trimodal, *shlex.split(command)[1:])
    for pattern in ("select/selected.jsonl", "features/*"):
        assert digests(works[0], pattern) == digests(work, pattern)


def test_what_prepare_rejected_is_told_with_its_command(
    trimodal: Trimodal, corpora: Path, tmp_path: Path
) -> None:
    work = prepared(trimodal, corpora, "voxceleb2", tmp_path / "work")
    output = run(trimodal, "retry", work, "--all").output.replace("\n", " ")
    assert "empty file" in output and "rejected by prepare" in output
    command = re.search(r"`trimodal (.*?)`", output)
    assert command is not None
    assert "manifest made" in run(trimodal, *shlex.split(command.group(1))).output
    assert "no reject of these" in run(trimodal, "retry", work, "--reason", "on fire").output


def test_what_embed_made_is_not_for_retry(trimodal: Trimodal, tmp_path: Path, trainable) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(trainable / "manifest.jsonl", out)
    (out / "embed.json").write_text(json.dumps({"work": "w", "run": "r", "config": {}}))
    refused = trimodal("retry", out)
    assert refused.exit_code == 2 and f"trimodal embed w r {out} --redo" in refused.output


HOLD = """
import sys
from pathlib import Path
from pipelines.lock import held

with held(Path(sys.argv[1]), "audio", [0, 1, 2, 3, 4], tell=print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_retry_and_its_stage_do_not_make_the_same_shards(
    trimodal: Trimodal, corpora: Path, tmp_path: Path
) -> None:
    work = prepared(trimodal, corpora, "mosei", tmp_path / "work")
    run(trimodal, "extract", work, "audio", *AUDIO)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        refused = trimodal("retry", work, "--reason", SILENT, "--jobs", 1)
        assert refused.exit_code != 0 and str(holder.pid) in refused.output, refused.output
    finally:
        holder.communicate()
    run(trimodal, "retry", work, "--reason", SILENT, "--jobs", 1)
