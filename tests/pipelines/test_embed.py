"""Embeddings of a workspace: what is in the shards, resume, and the commands that read them."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import model
from featurize.shards import ShardReader
from model import checkpoint
from model.build import build_downstream, build_multitask
from model.config import MODALITIES, InputDims, ModelConfig

DIMS = InputDims(audio=200, video=12, text=8)
ROOT = Path(__file__).resolve().parents[2]
SUBSETS = [c for n in (1, 2, 3) for c in itertools.combinations(MODALITIES, n)]


def save_run(folder: Path, config: ModelConfig, *, kind: str = "multitask", seed: int = 0) -> Path:
    """A finished run whose weights are random, as training leaves it."""
    torch.manual_seed(seed)
    network = (
        build_multitask(config, DIMS, 3)
        if kind == "multitask"
        else build_downstream(kind, config, DIMS)
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.set_statistics(
        {m: (torch.randn(w), torch.rand(w) + 0.5) for m, w in asdict(DIMS).items()}
    )
    folder.mkdir(parents=True)
    settings = {
        "kind": kind,
        "task": "emotion",
        "model": config.described(),
        "dims": asdict(DIMS),
        "n_speakers": 3,
    }
    checkpoint.write_json(folder / checkpoint.CONFIG, settings)
    checkpoint.save_weights(folder / checkpoint.BEST, network)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelConfig) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "pretrained", tiny_model)


def embeddings(out: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted((out / "features").glob("shard-*.embeddings.h5")):
        with ShardReader(path) as shard:
            found |= {name: shard.read(name)["features"] for name in shard.ids}
    return found


def rejects(out: Path) -> dict[str, str]:
    lines = (out / "rejects.jsonl").read_text().splitlines()
    return {reject["id"]: reject["reason"] for reject in map(json.loads, lines)}


def expected(run: Path, arrays: dict, modalities: tuple[str, ...]) -> np.ndarray:
    """Of an utterance by itself: modalities that are not chosen are left out, or weigh nothing."""
    network = model.load(run)
    audio_weight, video_weight, text_weight = network.modality_weights
    network.modality_weights = (
        audio_weight * ("audio" in modalities), video_weight, text_weight,
    )  # fmt: skip
    given = {m: arrays[m]["features"] for m in ("video", "text") if m in modalities and m in arrays}
    return model.embed(network, arrays["audio"]["features"], **given)


def outputs(out: Path) -> dict[str, bytes]:
    kinds = ("manifest.jsonl", "features/*.h5", "rejects.jsonl")
    return {p.name: p.read_bytes() for kind in kinds for p in out.glob(kind)}


@pytest.mark.parametrize("modalities", SUBSETS, ids=",".join)
def test_any_subset_is_that_of_each_utterance_alone(
    modalities, trimodal, exchanged, run: Path, tmp_path: Path
) -> None:
    options = ["--modalities", ",".join(modalities), "--encoding", "float32", "--jobs", 1]
    result = trimodal("embed", exchanged.work, run, tmp_path, *options, "--max-reject-share", 0.6)
    assert result.exit_code == 0, result.output
    found = embeddings(tmp_path)
    for name, arrays in exchanged.arrays.items():
        if "audio" not in arrays:
            assert rejects(tmp_path)[name] == "no audio or no targets among the features"
        elif not arrays.keys() & set(modalities):
            assert rejects(tmp_path)[name] == f"none of {modalities[0]} among the features"
        else:
            alone = expected(run, arrays, modalities)
            assert found[name].shape == (-(-len(arrays["audio"]["features"]) // 5), 16)
            np.testing.assert_allclose(found[name], alone, rtol=0, atol=2e-5)
    assert len(found) + len(rejects(tmp_path)) == len(exchanged.utterances)


@pytest.mark.parametrize("cmvn", ["none", "utterance"])
def test_mean_is_that_of_the_sequence(
    cmvn, trimodal, exchanged, tiny_model, tmp_path: Path
) -> None:
    run = save_run(tmp_path / "run", replace(tiny_model, cmvn=cmvn))
    for pool in ("sequence", "mean"):
        options = ["--pool", pool, "--encoding", "float32", "--jobs", 1]
        result = trimodal("embed", exchanged.work, run, tmp_path / pool, *options)
        assert result.exit_code == 0, result.output
    sequences, means = embeddings(tmp_path / "sequence"), embeddings(tmp_path / "mean")
    assert sequences.keys() == means.keys() and len(means) == 10
    for name, sequence in sequences.items():
        assert means[name].shape == (1, 16)
        np.testing.assert_allclose(means[name][0], sequence.mean(axis=0), rtol=0, atol=1e-5)
        if cmvn == "utterance":
            alone = expected(run, exchanged.arrays[name], MODALITIES)
            np.testing.assert_allclose(sequence, alone, rtol=0, atol=2e-5)


def test_a_shard_says_what_it_holds(trimodal, exchanged, run: Path, tmp_path: Path) -> None:
    options = ["--modalities", "text,audio", "--jobs", 1]
    assert trimodal("embed", exchanged.work, run, tmp_path, *options).exit_code == 0
    shards = [ShardReader(path) for path in sorted(tmp_path.glob("features/*.h5"))]
    assert [shard.modality for shard in shards] == ["embeddings"] * 3
    for shard in shards:
        assert shard.fields == {"features": ((16,), "float16")}
        assert shard.config["modalities"] == ["audio", "text"]
        assert shard.config["modality_weights"] == [0.4, 0.0, 0.2]
        assert shard.config["hop_s"] == pytest.approx(0.05)
        assert len(shard.config["weights_xxh3"]) == 32
        for name, row in zip(shard.ids, shard.columns, strict=True):
            there = [m for m in ("audio", "text") if m in exchanged.arrays[name]]
            assert row["modalities"].decode() == ",".join(there)
        number = int(shard.path.name[6:11])
        manifest = [u["id"] for u in map(json.loads, manifest_lines(tmp_path))][number * 4 :][:4]
        assert shard.ids == [name for name in manifest if name in shard.ids]


def manifest_lines(work: Path) -> list[str]:
    return (work / "manifest.jsonl").read_text().splitlines()[1:]


def test_any_number_of_processes_gives_the_same_bytes(
    trimodal, exchanged, run: Path, tmp_path: Path
) -> None:
    for jobs in (1, 2):
        result = trimodal("embed", exchanged.work, run, tmp_path / str(jobs), "--jobs", jobs)
        assert result.exit_code == 0, result.output
    assert outputs(tmp_path / "1") == outputs(tmp_path / "2")
    again = trimodal("embed", exchanged.work, run, tmp_path / "1", "--jobs", 1)
    assert "3 of them already there" in again.output
    parts = tmp_path / "parts"
    for shards in ("2", "0:2"):
        options = ["--shards", shards, "--max-reject-share", 1]
        assert trimodal("embed", exchanged.work, run, parts, *options).exit_code == 0
    assert outputs(parts) == outputs(tmp_path / "1")


@pytest.mark.slow
def test_killed_and_started_again_the_shards_are_the_same(
    trimodal, make_exchanged, run: Path, tmp_path: Path
) -> None:
    work = make_exchanged(tmp_path / "work").work
    assert trimodal("embed", work, run, tmp_path / "whole", "--jobs", 1).exit_code == 0
    command = ["embed", str(work), str(run), str(tmp_path / "killed"), "--jobs", "1"]
    code = f"from pipelines.cli import main; main({command!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for n_files in (1, 2):
        child = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL
        )
        folder = tmp_path / "killed" / "features"
        while child.poll() is None and len(list(folder.glob("*.h5"))) < n_files:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "ended before it could be killed"
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_kill_before_the_manifest_is_there_is_no_obstacle(
    trimodal, exchanged, run: Path, tmp_path: Path
) -> None:
    wanted = run_and_read(trimodal, exchanged.work, run, tmp_path / "whole")
    (tmp_path / "begun").mkdir()
    shutil.copy(tmp_path / "whole" / "embed.json", tmp_path / "begun")
    assert run_and_read(trimodal, exchanged.work, run, tmp_path / "begun") == wanted


def test_status_verify_and_inspect_read_it(
    trimodal, make_exchanged, run: Path, tmp_path: Path
) -> None:
    work, out = make_exchanged(tmp_path / "work").work, tmp_path / "out"
    assert trimodal("embed", work, run, out, "--shards", "1:").exit_code == 0

    def stage() -> dict:
        return json.loads(trimodal("status", out, "--json").stdout)["stages"][-1]

    assert stage()["stage"] == "embeddings" and stage()["pending"] == 4
    assert trimodal("embed", work, run, out).exit_code == 0
    told = stage()
    assert (told["in"], told["done"], told["rejected"], told["pending"]) == (12, 10, 2, 0)
    assert "no damage" in trimodal("verify", out).output
    shard = out / "features" / "shard-00001.embeddings.h5"
    shown = trimodal("inspect", shard)
    assert shown.exit_code == 0 and "embeddings features" in shown.output, shown.output
    whole = outputs(out)
    content = bytearray(shard.read_bytes())
    with ShardReader(shard) as reader:
        content[reader.places["features"][0][1]] ^= 1
    shard.write_bytes(content)
    damaged = trimodal("verify", out)
    assert damaged.exit_code == 1 and f"{shard}: 1 of " in damaged.output
    command = next(line for line in damaged.output.splitlines() if "trimodal embed" in line)
    assert command.split() == ["trimodal", "embed", str(work), str(run), str(out), "--shards", "1"]
    assert trimodal(*command.split()[1:]).exit_code == 0
    assert outputs(out) == whole
    manifest = out / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    told_how = trimodal("verify", out).output
    command = next(line for line in told_how.splitlines() if "trimodal embed" in line)
    assert command.endswith("--redo") and trimodal(*command.split()[1:]).exit_code == 0
    assert outputs(out) == whole
    shutil.rmtree(work)  # the embeddings stand by themselves
    assert stage() == told and trimodal("verify", out).exit_code == 0


def test_other_features_count_as_still_to_do(
    trimodal, make_exchanged, run: Path, tmp_path: Path
) -> None:
    work, out = make_exchanged(tmp_path / "work").work, tmp_path / "out"
    options = ["--modalities", "audio,video", "--jobs", 1]
    assert trimodal("embed", work, run, out, *options).exit_code == 0
    make_exchanged(work, audio={"hop_s": 0.02})
    assert "embeddings" in trimodal("status", out).output
    assert json.loads(trimodal("status", out, "--json").stdout)["stages"][-1]["pending"] == 12
    stale = trimodal("embed", work, run, out, *options)
    assert stale.exit_code == 2 and "hop_s=0.05, now 0.1" in stale.output
    assert trimodal("embed", work, run, out, *options, "--redo").exit_code == 0
    assert json.loads(trimodal("status", out, "--json").stdout)["stages"][-1]["pending"] == 0


def test_other_weights_or_settings_are_refused_by_name(
    trimodal, exchanged, tiny_model, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert trimodal("embed", exchanged.work, run, out, "--jobs", 1).exit_code == 0
    before = outputs(out) | {"embed.json": (out / "embed.json").read_bytes()}
    other = save_run(tmp_path / "other", tiny_model, seed=1)
    for arguments, named in (
        ([other, out], "weights_xxh3="),
        ([run, out, "--pool", "mean"], "pool='sequence', now 'mean'"),
        ([run, out, "--modalities", "video"], "modalities="),
        ([run, exchanged.work], "workspace with features of its own"),
        ([run, tmp_path / "x", "--modalities", "audio,smell"], "name some of"),
        ([run, tmp_path / "x", "--modalities", "audio,audio"], "each once"),
    ):
        result = trimodal("embed", exchanged.work, *arguments)
        assert result.exit_code == 2 and named in result.output, result.output
        assert outputs(out) | {"embed.json": (out / "embed.json").read_bytes()} == before
    assert not (tmp_path / "x").exists()
    assert trimodal("embed", exchanged.work, other, out, "--redo", "--jobs", 1).exit_code == 0
    assert outputs(out) != before
    shutil.copytree(other, tmp_path / "moved")
    again = trimodal("embed", exchanged.work, tmp_path / "moved", out)
    assert again.exit_code == 0 and "3 of them already there" in again.output


def test_a_fine_tuned_run_stands_for_its_best_seed(
    trimodal, exchanged, tiny_model, tmp_path: Path
) -> None:
    root = tmp_path / "finetuned"
    for seed, score in ((0, 0.5), (1, 0.7), (2, 0.7)):
        folder = save_run(root / f"seed-{seed:02d}", tiny_model, kind="crossmodal", seed=seed)
        if seed < 2 or score:
            line = {"dev_wa": score, "dev_f1": None if seed else score}
            checkpoint.write_json(folder / checkpoint.DONE, {"best": line})
    unfinished = save_run(root / "seed-03", tiny_model, kind="crossmodal", seed=3)
    checkpoint.write_json(root / "run.json", {"kind": "crossmodal", "seeds": [0, 1, 2, 3]})
    embedded = {
        path.name: run_and_read(trimodal, exchanged.work, path, tmp_path / f"out-{path.name}")
        for path in (root, root / "seed-01", unfinished)
    }
    assert embedded["finetuned"] == embedded["seed-01"] != embedded["seed-03"]
    late = save_run(tmp_path / "late", tiny_model, kind="late-fusion")
    refused = trimodal("embed", exchanged.work, late, tmp_path / "out-late")
    assert refused.exit_code == 2 and "late fusion has no encoder" in refused.output
    nothing = trimodal("embed", exchanged.work, tmp_path, tmp_path / "out-nothing")
    assert nothing.exit_code == 1 and "not a training run" in nothing.output


def run_and_read(trimodal: Callable, work: Path, run: Path, out: Path) -> dict[str, bytes]:
    result = trimodal("embed", work, run, out, "--jobs", 1)
    assert result.exit_code == 0, result.output
    return {name: array.tobytes() for name, array in embeddings(out).items()}
