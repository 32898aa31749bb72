"""Weights and models that trimodal fetches or makes once: which are there, and whether whole."""

import hashlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from featurize.plain_json import parse_json
from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.sizes import size

# File name and bytes of torchvision's VGG-16 weights; a test asks torchvision for the names. The
# digits in a name begin the file's SHA-256.
VGG_WEIGHTS = {
    "IMAGENET1K_V1": ("vgg16-397923af.pth", 553433881),
    "IMAGENET1K_FEATURES": ("vgg16_features-amdegroot-88682ab5.pth", 553412560),
}
USUAL = "IMAGENET1K_V1"


def vgg_findings(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """torchvision's weights in torch hub's cache."""
    folder = hub_folder(environment)
    for name, (file, n_bytes) in VGG_WEIGHTS.items():
        path, what = folder / file, f"VGG-16 {name}"
        if not path.is_file():
            if name == USUAL:
                yield Finding(
                    what, "note", f"not in {folder}; `extract video` fetches it", _fetch()
                )
            continue
        damage = _damage(path, n_bytes)
        if damage:
            mends = f"rm {shlex.quote(str(path))}   # extract video fetches it again"
            yield Finding(what, "problem", f"{path}: {damage}", mends)
        else:
            yield ok(what, f"{size(path.stat().st_size)} in {folder}, its SHA-256 is right")


def hub_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where torch.hub keeps weights."""
    base = environment.get("XDG_CACHE_HOME")
    usual = (Path(base) if base else Path.home() / ".cache") / "torch"
    return Path(environment.get("TORCH_HOME") or usual).expanduser() / "hub" / "checkpoints"


def vector_findings() -> Iterator[Finding]:
    """Word vectors in trimodal's cache, by their sizes; `extract text` checks their digests."""
    from featurize.glove_cache import cache_folder

    folder, what = cache_folder(), "word vectors"
    notes = sorted(path for path in folder.glob("*.json") if not path.name.endswith(".digest.json"))
    if not notes:
        seen = f"none in {folder} yet; `extract text` reads them into it once"
        yield Finding(what, "note", seen, "trimodal extract WORK text --glove glove.6B.300d.txt")
    for note in notes:
        yield _vectors(folder, note, what)


def vosk_findings(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Models of the Vosk project in vosk's caches, for `--model NAME`."""
    from featurize.errors import ModelError
    from pipelines.decoding.acoustic_model import check_model_dir

    named = environment.get("VOSK_MODEL_PATH")
    caches = [Path(named)] if named else []
    caches += [Path("/usr/share/vosk"), Path.home() / ".cache/vosk"]
    found = [path for cache in caches for path in sorted(cache.glob("vosk-model-*"))]
    for path in (path for path in found if path.is_dir()):
        try:
            check_model_dir(path)
            yield ok("acoustic model", str(path))
        except ModelError as error:
            mends = (
                f"rm -r {shlex.quote(str(path))}   # decode --model {path.name} fetches it again"
            )
            yield Finding("acoustic model", "problem", str(error), mends)
    if not found:
        seen = f"none in {caches[-1]}; `decode` takes a directory, or fetches one by name"
        mends = "trimodal decode WORK --model vosk-model-small-en-us-0.15"
        yield Finding("acoustic model", "note", seen, mends)


def _vectors(folder: Path, note: Path, what: str) -> Finding:
    mends = f"rm {shlex.quote(str(folder / note.stem))}.*   # extract text reads them in again"
    try:
        facts = parse_json(note.read_text(encoding="utf-8"))
        source, files = str(facts["source"]), dict(facts["files"])
        for name, (n_bytes, _) in files.items():
            path = folder / f"{note.stem}.{name}.npy"
            if not path.is_file() or path.stat().st_size != n_bytes:
                return Finding(what, "problem", f"{source}: {path} is not whole", mends)
        total = sum(n_bytes for n_bytes, _ in files.values())
    except (OSError, ValueError, KeyError, TypeError):
        return Finding(what, "problem", f"{note}: not readable", mends)
    return ok(what, f"{source}, {size(total)} in {folder}")


def _damage(path: Path, n_bytes: int) -> str | None:
    """What is wrong with a file of weights; its name ends in the first digits of its digest."""
    found = path.stat().st_size
    wanted = path.stem.rpartition("-")[2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest.startswith(wanted):
        return None
    if found != n_bytes:
        return f"holds {size(found)} of {size(n_bytes)}: its download was cut short"
    return f"its SHA-256 is {digest[:8]}..., not {wanted}...: damaged"


def _fetch() -> str:
    code = f"from torchvision.models import VGG16_Weights as w; w.{USUAL}.get_state_dict("
    return shlex.join([sys.executable, "-c", f"{code}check_hash=True)"])
