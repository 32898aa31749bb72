"""Every reader that is fuzzed, by name."""

from functools import lru_cache

from benchmarks.fuzz_corpora import corpora_targets
from benchmarks.fuzz_decoding import decoding_targets
from benchmarks.fuzz_runs import runs_targets
from benchmarks.fuzz_target import Target
from benchmarks.fuzz_workspace import workspace_targets


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    made = [*corpora_targets(), *decoding_targets(), *workspace_targets(), *runs_targets()]
    return {target.name: target for target in made}
