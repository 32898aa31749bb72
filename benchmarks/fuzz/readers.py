"""Every reader that is fuzzed, by name."""

from functools import lru_cache

from benchmarks.fuzz.corpora import corpora_targets
from benchmarks.fuzz.decoding import decoding_targets
from benchmarks.fuzz.runs import runs_targets
from benchmarks.fuzz.target import Target
from benchmarks.fuzz.workspace import workspace_targets


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    made = [*corpora_targets(), *decoding_targets(), *workspace_targets(), *runs_targets()]
    return {target.name: target for target in made}
