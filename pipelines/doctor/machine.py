"""All that is looked at of a machine, in the order told; what takes longest begins first."""

import os
import shlex
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipelines.doctor import accelerator, disks, limits, models, packages, stack
from pipelines.doctor.finding import Check, Finding
from pipelines.doctor.probe import Answers, Probe

TEMPORARY = "temporary files"
Group = tuple[str, list[Check]]


def machine_checks() -> list[Group]:
    """The groups of checks; two probes run from now on."""
    torch, libraries = Probe("probe_torch"), Probe("probe_stack")
    seen: dict[str, Answers] = {}

    def of_torch() -> Answers:
        return seen.setdefault("torch", seen.get("torch") or torch.answers())

    def trio() -> Iterator[Finding]:
        yield from packages.trio_findings(of_torch())

    def gpus() -> Iterator[Finding]:
        yield from accelerator.gpu_findings(of_torch())

    def stack_findings() -> Iterator[Finding]:
        yield from stack.stack_findings(libraries.answers())

    return [
        ("Python and packages", [
            Check("Python", packages.python_findings),
            Check("packages", packages.required_findings),
            Check("torch, torchvision, torchaudio", trio),
            Check("GPUs", gpus),
            Check("optional packages", packages.extra_findings),
        ]),
        ("Media, decoder and models", [
            Check("media, shards, decoder", stack_findings),
            Check("Kaldi", stack.kaldi_findings),
            Check("VGG-16", models.vgg_findings),
            Check("word vectors", models.vector_findings),
            Check("acoustic models", models.vosk_findings),
        ]),
        ("Limits and disks", [
            Check("limits", limits.limit_findings),
            Check("memory", lambda: limits.memory_findings(_n_jobs())),
            Check("cores", lambda: limits.core_findings(_n_jobs())),
            Check("shared memory", limits.shared_memory_findings),
            Check("locale", limits.text_findings),
            Check("clock", limits.clock_findings),
            Check(TEMPORARY, partial(_folder, TEMPORARY, _temporary())),
            Check("cache", partial(_cache, "cache")),
        ]),
    ]  # fmt: skip


def _folder(what: str, folder: Path) -> Iterator[Finding]:
    named = os.environ.get("TMPDIR")
    if what == TEMPORARY and named and not Path(named).is_dir():
        seen = f"TMPDIR={named} is no folder; {folder} is used"
        yield Finding(what, "warning", seen, f"mkdir -p {shlex.quote(named)}")
    yield from disks.space_findings(what, folder)
    yield from (f for f in disks.writing_findings(what, folder) if f.level != "ok")


def _cache(what: str) -> Iterator[Finding]:
    from featurize.glove_cache import cache_folder

    folder = cache_folder()
    yield from _folder(what, folder)
    there = disks.existing(folder)
    if not os.access(there, os.W_OK):
        seen = f"{folder} cannot be made: {there} is closed to you"
        yield Finding(what, "problem", seen, "export TRIMODAL_CACHE=/a/folder/of/yours")


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # no folder at all can be written
        return Path("/tmp")


def _n_jobs() -> int:
    """How many jobs a stage starts by itself: cores, as far as this process may use them."""
    from joblib import cpu_count

    return cpu_count()
