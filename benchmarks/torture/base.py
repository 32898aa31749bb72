"""What the stages are tortured on: two tiny corpora, and every stage once, unbroken."""

import sys
from pathlib import Path

from joblib.externals.loky import get_reusable_executor

from benchmarks.torture.cases import base_commands
from benchmarks.torture.child import Child, warm_up
from pipelines.demo.corpora import DemoSize, make_mosei, make_voxceleb2

SIZE = DemoSize(n_speakers=5, utterances_per_speaker=2, n_mosei_videos=6, segments_per_video=2)


def make_base(folder: Path, seed: int) -> None:
    """FOLDER/corpora and FOLDER/base; what is there already is not made again.

    In a process that does nothing else before, as it forks.
    """
    warm_up()
    make_voxceleb2(folder / "corpora" / "voxceleb2", SIZE, seed, lambda *_: None)
    make_mosei(folder / "corpora" / "mosei", SIZE, seed, lambda *_: None)
    get_reusable_executor().shutdown()  # its workers keep this process for five idle minutes
    for words in base_commands(folder / "corpora", folder / "base"):
        child = Child.forked(words)
        child.wait(600)
        said = child.output
        child.clear(10)
        if child.exit_code != 0:
            sys.exit(f"trimodal {' '.join(words)}: exit {child.exit_code}\n{said}")
