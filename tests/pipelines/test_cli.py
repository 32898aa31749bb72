"""The command line: help for every command, and one clear line for every mistake."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result

from pipelines.cli import main

Trimodal = Callable[..., Result]
README = Path(__file__).resolve().parents[2] / "README.md"


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for sub_name, sub in command.commands.items():
            yield from leaves(sub, f"{name} {sub_name}")
    else:
        yield name, command


COMMANDS = dict(leaves(main, "trimodal"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name: str, trimodal: Trimodal) -> None:
    result = trimodal(*name.split()[1:], "--help")
    assert result.exit_code == 0
    assert f"Example: {name} " in result.output
    example = (COMMANDS[name].help or "").split("Example: ")[1].split()
    COMMANDS[name].make_parser(click.Context(COMMANDS[name])).parse_args(
        example[len(name.split()) :]
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert name in README.read_text(encoding="utf-8")


def test_help_answers_at_once() -> None:
    """No heavy library is loaded for it (a bound on modules, not on time)."""
    heavy = ("torch", "h5py", "cv2", "av", "numpy", "joblib")
    code = f"import sys, pipelines.cli; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(
    given: str | None, expected: str, tmp_path: Path
) -> None:
    """In a process of its own: it has to be said before PyTorch is loaded."""
    code = (
        "import atexit, os, sys; from pipelines.cli import main\n"
        "atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules))\n"
        "main(['status', sys.argv[1]])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    words = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert found.stdout.splitlines()[-1] == f"{expected} False"


def prepared(trimodal: Trimodal, corpora: Path, work: Path, corpus: str) -> Path:
    result = trimodal("prepare", corpus, corpora / corpus, work, "--preset", "demo")
    assert result.exit_code == 0, result.output
    return work


def failure(result: Result, exit_code: int) -> str:
    """The single line of a failed command."""
    assert result.exit_code == exit_code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    return lines[0]


def test_a_missing_or_empty_corpus(trimodal: Trimodal, tmp_path: Path) -> None:
    for corpus in ("voxceleb2", "mosei"):
        line = failure(trimodal("prepare", corpus, tmp_path / "no", tmp_path / "w"), 2)
        assert str(tmp_path / "no") in line
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        line = failure(trimodal("prepare", corpus, empty, tmp_path / "w"), 1)
        assert str(empty) in line


def test_a_workspace_that_is_none(trimodal: Trimodal, tmp_path: Path) -> None:
    for command in (["decode", "--model", "demo"], ["select"], ["extract"], ["status"]):
        line = failure(trimodal(command[0], tmp_path / "no", *command[1:]), 2)
        assert "trimodal prepare" in line


def test_a_model_without_words(trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path) -> None:
    import shutil

    from pipelines.decoding.acoustic_model import DEMO_FOLDER

    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "voxceleb2")
    shutil.copytree(DEMO_FOLDER, tmp_path / "model")
    (tmp_path / "model" / "graph" / "words.txt").unlink()
    line = failure(trimodal("decode", work, "--model", tmp_path / "model"), 1)
    assert "words.txt" in line


def test_a_ragged_line_of_word_vectors(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "mosei")
    vectors = tmp_path / "glove.txt"
    vectors.write_text("the 1 2 3\nof 1 2 3\nand 1 2\n")
    result = trimodal("extract", work, "text", "--glove", vectors, "--jobs", 1)
    line = failure(result, 1)
    assert "line 3" in line
    line = failure(trimodal("extract", work, "text", "--glove", tmp_path / "none.txt"), 1)
    assert "none.txt" in line
    assert "--glove" in failure(trimodal("extract", work, "text"), 2)


def test_a_shard_that_is_no_hdf5(trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "mosei")
    (work / "features").mkdir()
    for modality in ("audio", "video", "text", "targets"):
        (work / "features" / f"shard-00000.{modality}.h5").write_bytes(b"not HDF5")
    for command in ("pretrain", "finetune"):
        line = failure(trimodal(command, work, tmp_path / "run", "--preset", "demo"), 2)
        assert "1 of 1 audio shards" in line
        assert "trimodal extract" in line


def test_stages_out_of_order_name_the_missing_one(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "voxceleb2")
    assert "trimodal decode" in failure(trimodal("select", work), 2)
    assert "trimodal select" in failure(trimodal("extract", work, "audio"), 2)
    assert "trimodal extract" in failure(trimodal("pretrain", work, tmp_path / "run"), 2)
    failure(trimodal("evaluate", work, tmp_path / "run"), 2)
    failure(trimodal("report", tmp_path / "out", tmp_path / "run"), 2)


def test_contradicting_and_impossible_options(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "voxceleb2")
    failure(trimodal("select", work, "--threshold", -1, "--keep-fraction", 0.5), 2)
    for shards in ("x", "5:", "3", "2:1"):
        failure(trimodal("decode", work, "--model", "demo", "--shards", shards), 2)
    mosei = prepared(trimodal, tiny_corpora, tmp_path / "m", "mosei")
    assert "transcripts" in failure(trimodal("decode", mosei, "--model", "demo"), 2)
    assert trimodal("extract", mosei, "smell").exit_code == 2


def test_another_manifest_is_not_overwritten(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "voxceleb2")
    before = (work / "manifest.jsonl").read_bytes()
    again = trimodal("prepare", "voxceleb2", tiny_corpora / "voxceleb2", work, "--preset", "demo")
    assert "unchanged" in again.output
    args = ("prepare", "voxceleb2", tiny_corpora / "voxceleb2", work, "--shard-size", 5)
    assert "--redo" in failure(trimodal(*args), 2)
    assert (work / "manifest.jsonl").read_bytes() == before
    assert trimodal(*args, "--redo").exit_code == 0


def test_no_room_to_write_is_one_line(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = trimodal("prepare", "voxceleb2", tiny_corpora / "voxceleb2", blocked / "w")
    failure(result, 1)


def test_a_corpus_that_is_gone_is_said_before_anything_is_rejected(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    import shutil

    corpus = tmp_path / "mosei"
    shutil.copytree(tiny_corpora / "mosei", corpus)
    work = prepared(trimodal, tmp_path, tmp_path / "w", "mosei")
    corpus.rename(tmp_path / "elsewhere")
    line = failure(trimodal("extract", work, "audio", "--preset", "demo"), 2)
    assert str(corpus) in line
    assert not (work / "features").exists()


def test_one_flag_beats_both_settings_of_a_file(
    trimodal: Trimodal, tmp_path: Path, tiny_corpora: Path
) -> None:
    work = prepared(trimodal, tiny_corpora, tmp_path / "w", "voxceleb2")
    common = ("--preset", "demo", "--max-reject-share", 1, "--jobs", 1)
    assert trimodal("decode", work, *common).exit_code == 0
    settings = tmp_path / "mine.toml"
    settings.write_text("[select]\nthreshold = 5.0\n")
    assert "nothing would be kept" in failure(trimodal("select", work, "--config", settings), 2)
    kept = trimodal("select", work, "--config", settings, "--keep-fraction", 0.5)
    assert kept.exit_code == 0, kept.output
