"""What the stages stand on: FFmpeg, HDF5, libvosk, and Kaldi where it is wanted."""

import os
import shlex
from collections.abc import Iterator, Mapping

from featurize.errors import TrimodalError
from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.packages import again
from pipelines.doctor.probe import Answers

# step of the probe -> what it is called, what it does, the package that carries it
STEPS = {
    "media": ("media", "PyAV {version} opens media", "av"),
    "shards": ("shards", "h5py {version} writes and reads them", "h5py"),
    "decoder": ("decoder", "vosk {version} decodes with the shipped model", "vosk"),
}


def stack_findings(answers: Answers) -> Iterator[Finding]:
    """Each of them, tried on a second of sound or a shard of one utterance."""
    for step, (what, does, package) in STEPS.items():
        if step in answers.found:
            yield ok(what, does.format(**answers.found[step]))
        elif error := answers.errors.get(step) or answers.errors.get("start"):
            yield Finding(what, "problem", error, again([package]))
        else:
            yield Finding(what, "problem", "not tried: a library before it ended the process")


def kaldi_findings(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Kaldi's programs, for `decode --engine kaldi`; nothing else needs them."""
    from pipelines.decoding.kaldi_programs import KaldiPrograms, kaldi_version
    from pipelines.decoding.kaldi_steps import PROGRAMS

    named = environment.get("KALDI_ROOT")
    if not named:
        seen = "KALDI_ROOT is not set; only `decode --engine kaldi` and the recipes need it"
        yield Finding("Kaldi", "note", seen, "export KALDI_ROOT=/path/to/kaldi")
        return
    try:
        programs = KaldiPrograms.of(named)
        found = [programs.program(name) for name in (*PROGRAMS, "lattice-best-path")]
        yield ok("Kaldi", f"{kaldi_version(found[0])} at {named}")
    except TrimodalError as error:
        yield Finding(
            "Kaldi", "problem", str(error), f"make -C {shlex.quote(named)}/src -j depend all"
        )
