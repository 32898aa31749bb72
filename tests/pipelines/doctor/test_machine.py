"""The machine: what is sound is called so, and what is really broken is found and told apart."""

import configparser
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.doctor import accelerator, models, packages
from pipelines.doctor.finding import Check, Finding
from pipelines.doctor.probe import Answers, Probe

ROOT = Path(__file__).resolve().parents[3]
NOBODY = "65534"


def fake(folder: Path, **modules: str) -> Path:
    """A folder of packages that stand in front of the real ones."""
    for name, code in modules.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(code)
    return folder


def probed(name: str, folder: Path, timeout_s: float = 60.0) -> Answers:
    return Probe(name, environment={**os.environ, "PYTHONPATH": str(folder)}).answers(timeout_s)


def of(findings: list[Finding], what: str) -> Finding:
    (found,) = [one for one in findings if one.what == what]
    return found


def test_this_machine_can_run_trimodal(doctor: Callable) -> None:
    """Whatever else it finds here: the libraries that the other tests use work."""
    status, found = doctor()
    findings = {one["what"]: one for group in found["groups"].values() for one in group}
    for what in ("Python", "packages", "torch", "media", "shards", "decoder"):
        assert findings[what]["level"] == "ok", findings[what]
    assert status == (1 if found["n_problems"] else 0)
    for one in findings.values():
        assert one["level"] == "ok" or one["mends"], one


def test_a_torch_that_cannot_be_imported_does_not_take_doctor_along(
    doctor: Callable, tmp_path: Path
) -> None:
    broken = fake(tmp_path, torch="raise SystemExit('libcudart.so.13: cannot open')")
    status, found = doctor(first_path=broken)
    torch = [one for one in found["groups"]["Python and packages"] if one["what"] == "torch"]
    assert status == 1 and torch[0]["level"] == "problem"
    assert "libcudart.so.13" in torch[0]["seen"]
    assert "pip install --force-reinstall" in torch[0]["mends"]


OTHERS_WORK = "__version__ = '2.11.0'\nclass version: cuda = None\n"
BROKEN = {
    "a missing symbol": ("raise OSError('undefined symbol: _ZN3c10')", "undefined symbol"),
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "absent": ("raise ModuleNotFoundError(\"No module named 'torchvision'\")", "not installed"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_torchvision_is_told_by_name(tmp_path: Path, how: str) -> None:
    code, seen = BROKEN[how]
    folder = fake(tmp_path, torch=OTHERS_WORK, torchvision=code)
    found = list(packages.trio_findings(probed("probe_torch", folder)))
    torchvision = of(found, "torchvision")
    assert torchvision.level == "problem" and seen in torchvision.seen
    assert torchvision.mends and "torchvision" in torchvision.mends
    assert ("--force-reinstall" in torchvision.mends) == (how != "absent")


def test_numpy_is_told_for_itself_and_with_its_cause(tmp_path: Path) -> None:
    text = "IMPORTANT: PLEASE READ THIS\\n\\nOriginal error was: libblas.so: no such file\\n"
    folder = fake(tmp_path, numpy=f"raise ImportError('{text}')", torch="import numpy")
    (found,) = packages.trio_findings(probed("probe_torch", folder))
    assert found.what == "numpy" and "libblas.so" in found.seen and "READ" not in found.seen
    assert str(found.mends).endswith(" numpy")
    assert list(accelerator.gpu_findings(probed("probe_torch", folder), True)) == []


def test_a_limit_of_memory_is_not_mended_by_pip() -> None:
    code = "from pipelines.doctor.packages import again; print(again(['torch']))"
    words = ["bash", "-c", f'ulimit -v 8000000; "{sys.executable}" -c "{code}"']
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.startswith("ulimit -v unlimited") and "pip" not in told
    assert packages.again(["torch"]).endswith("torch")


def test_a_temporary_folder_that_is_none(tmp_path: Path, monkeypatch) -> None:
    from pipelines.doctor.machine import TEMPORARY, _folder

    monkeypatch.setenv("TMPDIR", str(tmp_path / "no"))
    first, *_ = _folder(TEMPORARY, tmp_path)
    assert first.level == "warning" and first.mends == f"mkdir -p {tmp_path / 'no'}"


def test_a_library_that_hangs_is_given_up(tmp_path: Path) -> None:
    folder = fake(tmp_path, torch="import time; time.sleep(60)")
    (found,) = packages.trio_findings(probed("probe_torch", folder, timeout_s=2))
    assert found.level == "problem" and "within 2 s" in found.seen


def test_a_decoder_that_cannot_be_loaded(tmp_path: Path) -> None:
    from pipelines.doctor.stack import stack_findings

    folder = fake(tmp_path, vosk="raise OSError('libvosk.so: wrong ELF class')")
    found = list(stack_findings(probed("probe_stack", folder)))
    assert of(found, "media").level == of(found, "shards").level == "ok"
    assert "wrong ELF class" in of(found, "decoder").seen
    assert "install --force-reinstall" in str(of(found, "decoder").mends)


def three(**versions: str) -> Answers:
    usual = {"torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    found = {name: {"version": v, "cuda": None} for name, v in (usual | versions).items()}
    return Answers(found | {"gpus": {"gpus": [], "problem": None}})


def test_versions_that_do_not_fit_each_other() -> None:
    """Held against what the installed packages themselves require."""
    assert [one.level for one in packages.trio_findings(three())] == ["ok"]
    for versions, says in (
        ({"torch": "2.10.0"}, "torchvision 0.26.0 was built for torch 2.11.0"),
        ({"torchaudio": "2.9.1"}, "torchaudio 2.9.1 is for torch 2.9.1"),
        ({"torchvision": "0.26.0+cpu"}, "several builds (cpu, plain)"),
    ):
        (found,) = packages.trio_findings(three(**versions))
        assert found.level == "problem" and says in found.seen
    same = {"torch": "2.11.9", "torchvision": "0.26.0", "torchaudio": "2.11.0"}
    assert packages._untested(same) == ["torch 2.11.0"]


def test_the_tables_are_those_of_setup_cfg() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = setup["options"]["install_requires"].split()
    assert sorted([*packages.REQUIRED, *packages.TRIO]) == sorted(required)
    extras = dict(setup["options.extras_require"])
    known = {name: sorted(parts) for name, (parts, _) in packages.EXTRAS.items()}
    assert known == {n: sorted(v.split()) for n, v in extras.items() if n not in ("test", "dev")}


def test_a_package_that_is_missing_is_named_with_the_command() -> None:
    (found,) = packages.required_findings(["numpy", "no-such-package-here"])
    assert found.level == "problem" and found.seen == "not installed: no-such-package-here"
    assert str(found.mends).endswith("no-such-package-here")
    (old,) = packages.python_findings((3, 10, 1))
    assert old.level == "problem" and "3.11" in old.seen


def test_a_driver_that_pytorch_does_not_use(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert accelerator.driver_is_there()
    (cpu_build,) = accelerator.gpu_findings(three(), environment={})
    assert cpu_build.level == "warning" and "built for CPUs" in cpu_build.seen
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    (found,) = accelerator.gpu_findings(three(), environment=hidden)
    assert found.mends == "unset CUDA_VISIBLE_DEVICES"
    too_old = three()
    too_old.found["torch"]["cuda"] = "13.0"
    too_old.found["gpus"]["problem"] = "The NVIDIA driver on your system is too old"
    (found,) = accelerator.gpu_findings(too_old, environment={})
    assert found.level == "warning" and "too old" in found.seen
    (none,) = accelerator.gpu_findings(three(), has_driver=False)
    assert none.level == "ok" and none.seen.startswith("none")


def test_gpus_are_told_with_their_memory() -> None:
    answers = three()
    gpu = {"name": "H100", "total": 80e9, "free": 79e9, "is_right": True}
    answers.found["gpus"]["gpus"] = [gpu, gpu | {"free": 1e9}, gpu | {"is_right": False}]
    found = list(accelerator.gpu_findings(answers))
    assert [one.level for one in found] == ["ok", "warning", "problem"]
    assert "1.0 GB of 80.0 GB free" in found[1].seen


def test_weights_cut_short_or_damaged(tmp_path: Path) -> None:
    from torchvision.models import VGG16_Weights

    urls = {weights.name: weights.url.rpartition("/")[2] for weights in VGG16_Weights}
    assert {name: file for name, (file, _) in models.VGG_WEIGHTS.items()} == urls
    environment = {"TORCH_HOME": str(tmp_path)}
    (absent,) = models.vgg_findings(environment)
    assert absent.level == "note" and "get_state_dict" in str(absent.mends)
    folder = models.hub_folder(environment)
    folder.mkdir(parents=True)
    path = folder / urls["IMAGENET1K_V1"]
    path.write_bytes(b"half of it")
    (found,) = models.vgg_findings(environment)
    assert found.level == "problem" and "cut short" in found.seen and str(path) in str(found.mends)


def test_word_vectors_in_the_cache(tmp_path: Path, monkeypatch) -> None:
    from featurize.glove_cache import open_vocabulary

    monkeypatch.setenv("TRIMODAL_CACHE", str(tmp_path))
    assert [one.level for one in models.vector_findings()] == ["note"]
    source = tmp_path / "v.txt"
    source.write_text("the 1 2 3\nof 1 2 3\n")
    open_vocabulary(str(source))
    (found,) = models.vector_findings()
    assert found.level == "ok" and "v.txt" in found.seen
    vectors = next((tmp_path / "glove").glob("*.vectors.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1])
    (found,) = models.vector_findings()
    assert found.level == "problem" and str(vectors) in found.seen


def test_models_of_the_vosk_project(tmp_path: Path) -> None:
    (tmp_path / "vosk-model-small-xx-0.1" / "am").mkdir(parents=True)
    found = list(models.vosk_findings({"VOSK_MODEL_PATH": str(tmp_path)}))
    assert found[0].level == "problem" and "vosk-model-small-xx-0.1" in str(found[0].mends)


def test_kaldi_that_is_not_built(tmp_path: Path) -> None:
    from pipelines.doctor.stack import kaldi_findings

    assert [one.level for one in kaldi_findings({})] == ["note"]
    (found,) = kaldi_findings({"KALDI_ROOT": str(tmp_path)})
    assert found.level == "problem" and "make -C" in str(found.mends)
    (found,) = kaldi_findings({"KALDI_ROOT": str(tmp_path / "no")})
    assert "no such folder" in found.seen


def test_too_few_open_files_and_too_small_ones(look: Callable) -> None:
    from model.store import MAX_OPEN_SHARDS
    from pipelines.doctor.limits import NEEDED_FILES

    assert NEEDED_FILES > 3 * MAX_OPEN_SHARDS
    files, size = look("limits.limit_findings", before="ulimit -Sn 64; ulimit -f 1000")
    assert files["level"] == "problem" and files["mends"] == f"ulimit -n {NEEDED_FILES}"
    assert size["level"] == "problem" and "ulimit -f" in size["seen"]
    files, space = look("limits.limit_findings", before="ulimit -n 64; ulimit -v 4000000")
    assert files["mends"].startswith("sudo prlimit --pid $$") and space["level"] == "warning"


def test_names_that_are_not_utf_8(look: Callable) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (found,) = look("limits.text_findings", **plain)
    assert found["level"] in ("problem", "warning") and "export" in found["mends"]
    (found,) = look("limits.text_findings", LC_ALL="C.UTF-8", PYTHONIOENCODING="utf-8")
    assert found["level"] == "ok"


def test_threads_memory_and_clock(monkeypatch, tmp_path: Path) -> None:
    from pipelines.doctor import limits

    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [one.level for one in limits.core_findings(4)] == ["warning"]
    assert [one.level for one in limits.memory_findings(4, available=3e9)] == ["warning"]
    assert [one.level for one in limits.memory_findings(1, available=9e12)] == ["ok"]
    assert [one.level for one in limits.clock_findings(1e6)] == ["warning"]
    (tmp_path / "own").write_text("0::/docker/abc\n")
    (tmp_path / "docker/abc").mkdir(parents=True)
    (tmp_path / "docker/abc/memory.max").write_text("max\n")
    (tmp_path / "docker/memory.max").write_text("3000000000\n")
    assert limits.memory_limit(tmp_path, tmp_path / "own") == 3_000_000_000
    (tmp_path / "own").write_text("4:memory:/x\n")
    assert limits.memory_limit(tmp_path, tmp_path / "own") is None


def test_a_check_that_fails_itself_stops_no_other() -> None:
    def look() -> list[Finding]:
        raise RuntimeError("the library\nis odd")

    (found,) = Check("odd things", look).findings()
    assert (found.level, found.what) == ("warning", "odd things") and "the library" in found.seen


def test_a_folder_that_another_user_owns(look: Callable) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.getuid() == 0:
            folder.chmod(0o755)
            (found,) = look("disks.writing_findings", "writing", folder, AS_USER=NOBODY)
        else:
            folder.chmod(0o555)
            (found,) = look("disks.writing_findings", "writing", folder)
            folder.chmod(0o755)
    assert found["level"] == "problem" and "Permission denied" in found["seen"]
    assert "chmod u+rwx" in found["mends"]
