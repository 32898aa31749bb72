"""The commands that mend: for what needs no workspace to be tried on (see test_verify.py)."""

from pathlib import Path

import pytest

from pipelines.manifest import Table
from pipelines.mending import commands
from pipelines.mending_settings import flags_for
from pipelines.verify import Verification
from pipelines.verify_file import Checked
from pipelines.workspace_files import StageFile

WORK = Path("my work")


def checked(stage: str, shard: int | None, config: dict | None, *, is_damaged: bool) -> Checked:
    made = None if config is None else Table(stage, config, "f", n=9)
    file = StageFile(WORK / f"{stage}-{shard}", stage, shard, 1)
    return Checked(file, made, reason="damaged" if is_damaged else None)


def printed(*files: Checked) -> list[str]:
    return [str(command) for command in commands(WORK, Verification(list(files), []))]


def test_imported_features_are_imported_again() -> None:
    csd = {"imported_from": "csd", "file_name": "COVAREP.csd", "hop_s": 0.01}
    npz = {"imported_from": "npz", "folder_name": "opensmile", "hop_s": 0.02}
    for config, expected in (
        (csd, "import csd 'my work' FOLDER/COVAREP.csd --modality audio --shards 1,3"),
        (npz, "import npz 'my work' FOLDER/opensmile --modality audio --hop-s 0.02 --shards 1,3"),
    ):
        files = [
            checked("audio", 1, config, is_damaged=True),
            checked("audio", 2, config, is_damaged=False),
            checked("audio", 3, None, is_damaged=True),  # its header is gone: as the others
        ]
        (command,) = commands(WORK, Verification(files, []))
        assert str(command) == f"trimodal {expected}"
        assert not command.is_exact


def test_shards_of_different_settings_get_a_command_each() -> None:
    one, other = {"normaliser": 1}, {"normaliser": 0}
    files = [checked("targets", k, one if k else other, is_damaged=True) for k in range(3)]
    first, second = commands(WORK, Verification(files, []))
    assert str(first) == "trimodal extract 'my work' targets --shards 0"
    assert "another version (normaliser=0, here 1)" in first.open_points[0]
    assert str(second) == "trimodal extract 'my work' targets --shards 1:3"
    assert second.is_exact


def test_settings_that_no_file_tells_are_asked_for() -> None:
    (command,) = commands(WORK, Verification([checked("video", 5, None, is_damaged=True)], []))
    assert str(command) == "trimodal extract 'my work' video --shards 5 --config SETTINGS.toml"
    assert not command.is_exact


def test_stages_come_in_the_order_in_which_they_run() -> None:
    config = {"model_name": "tdnn", "model_digest": "d", "engine": "e", "likelihood": "l"}
    lines = printed(
        checked("prepare", None, None, is_damaged=True),
        checked("decode", 0, config, is_damaged=True),
        checked("select", None, {"threshold": None, "keep_fraction": 0.9}, is_damaged=True),
        checked("targets", 0, {"normaliser": 1}, is_damaged=True),
    )
    assert [line.split()[1] for line in lines] == ["prepare", "decode", "select", "extract"]
    assert "--model FOLDER/tdnn" in lines[1]
    assert lines[2] == "trimodal select 'my work' --keep-fraction 0.9"


def test_weights_from_a_file_are_a_placeholder() -> None:
    from pipelines.extract import ExtractSettings
    from pipelines.settings import Settings

    settings = ExtractSettings.load(
        Settings("paper"), video={}, glove=None, store={}, device="auto"
    )
    made = {**settings.of("video"), "fps": 2.5, "weights": "sha256:1", "weights_name": "vgg.pth"}
    flags, resulting = flags_for("video", made)
    assert flags == ["--fps", "2.5", "--vgg-weights", "FOLDER/vgg.pth"]
    assert {k: v for k, v in resulting.items() if k != "weights_name"} == {
        k: v for k, v in made.items() if k != "weights_name"
    }
    with pytest.raises(KeyError):
        flags_for("video", {"made by": "hand"})
