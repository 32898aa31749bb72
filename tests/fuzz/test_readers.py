"""Every reader of what strangers hand over: it reads, or raises one line of the project's.

``HYPOTHESIS_PROFILE=long`` tries 20,000 files a reader; ``python -m benchmarks.fuzz`` does
so faster, without shrinking.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.readers import targets
from benchmarks.fuzz.target import Target, complaint, content, lay_out
from featurize.errors import TrimodalError

N_EXAMPLES = {"long": 20_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 15)
MODEL_FILES = "VGG-16's weights"  # whose good file has 500 MB
# Reader -> "SEED/NUMBER" of files of ``python -m benchmarks.fuzz`` that it once fell over.
ONCE_FAILED = {
    "word vectors, g.txt": ["7/960"],
    "settings, TOML": ["7/1748"],
    "Kaldi's logs": ["7/497", "7/2529"],
    "labels, csd": ["7/1688"],
    "a run's settings": ["7/1224", "7/2795", "8/2409"],
    "evaluation": ["7/1744", "7/2384"],
}


@pytest.fixture(scope="module", params=list(targets()))
def laid_out(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Target, Path, Sequence]:
    target = targets()[request.param]
    folder = tmp_path_factory.mktemp("fuzz")
    return target, folder, lay_out(target, folder)


def test_good_files_are_read(laid_out) -> None:
    """Or the other test would say nothing."""
    target, folder, seeds = laid_out
    for seed in seeds:
        (folder / target.file).write_bytes(seed)
        if target.name == MODEL_FILES:
            with pytest.raises(TrimodalError, match="Missing key"):
                target.read(folder)
        else:
            target.read(folder)


@settings(
    max_examples=N_EXAMPLES, deadline=None, derandomize=N_EXAMPLES < 100,
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink],
)  # fmt: skip
@given(rng=st.randoms(use_true_random=False))
def test_bad_files_are_read_or_refused_in_one_line(laid_out, rng: Random) -> None:
    target, folder, seeds = laid_out
    assert complaint(target, folder, content(target, seeds, rng)) is None


def test_what_once_failed_is_read_or_refused(laid_out) -> None:
    target, folder, seeds = laid_out
    for number in ONCE_FAILED.get(target.name, ()):
        rng = Random(f"{target.name}/{number}")
        assert complaint(target, folder, content(target, seeds, rng)) is None, number


def test_what_once_failed_is_of_known_readers() -> None:
    assert ONCE_FAILED.keys() <= targets().keys()
