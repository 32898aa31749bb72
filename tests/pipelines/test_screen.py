"""Text from files on the terminal: it shows, and steers nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from featurize.printable import printable
from featurize.shards import TARGET_COLUMNS, TARGET_FIELDS, ShardWriter
from pipelines.manifest import Reject, Utterance, fingerprint
from pipelines.workspace import Workspace, create

Trimodal = Callable[..., Result]
STEERING = "\x1b]0;title\x07\x1b[2J\x1b[31m\u202e\x9b2J\rhidden\nnext"


@given(st.text(st.characters()))
def test_whatever_comes_is_printable_and_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert text.isprintable() == (printable(text) == text)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A workspace from a stranger, whose reasons, speaker and words steer the terminal."""
    utterances = [Utterance("a/b", STEERING, "a.wav", None, end_s=1.0, text=STEERING)]
    rejects = [Reject("x", "prepare", STEERING)]
    cut = {"shard_size": 4, "seed": 0, "settings": {}}
    create(tmp_path / "w", "mosei", tmp_path, utterances, rejects, **cut)
    workspace = Workspace(tmp_path / "w")
    made = fingerprint("targets", {}, workspace.inputs("targets", 0))
    path = workspace.feature_path(0, "targets")
    with ShardWriter(
        path, modality="targets", fields=TARGET_FIELDS, columns=TARGET_COLUMNS,
        config={"normaliser": STEERING}, fingerprint=made, tools={STEERING: STEERING},
    ) as writer:  # fmt: skip
        characters = {"characters": np.frombuffer(STEERING.encode(), np.uint8)}
        facts = {"speaker": STEERING, "fold": STEERING, "labels": (0.0,) * 7}
        writer.add("a/b", characters, facts)
        writer.reject("c", STEERING)
    return tmp_path / "w"


COMMANDS = {
    "status": lambda work: ("status", work),
    "retry": lambda work: ("retry", work),
    "verify": lambda work: ("verify", work, "--jobs", 1),
    "inspect": lambda work: ("inspect", work / "features/shard-00000.targets.h5"),
    "inspect no utterance": lambda work: (
        "inspect", work / "features/shard-00000.targets.h5", "--utterance", "c"
    ),
    "extract, other settings": lambda work: ("extract", work, "targets", "--jobs", 1),
    "a name of a file": lambda work: ("status", work / STEERING.replace("/", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_passes_on_what_steers_a_terminal(
    trimodal: Trimodal, work: Path, tmp_path: Path, monkeypatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = trimodal(*COMMANDS[name](work))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    told = result.output.replace("\n", "")
    for character in ("\x1b", "\x07", "\u202e", "\x9b"):
        assert character not in told, repr(result.output)
    assert "\nnext" not in result.output
    assert "hidden" in told or name == "verify"
