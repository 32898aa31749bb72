"""What a run tells while it trains: ``log.jsonl``, one line an epoch, and TensorBoard's curves.

Both are made from the run's state. A run that is started again writes them anew from its
checkpoint, so that nothing is told twice, nor what a killed process did after its last checkpoint.
"""

import json
import shutil
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from featurize.atomic import write_text
from model import checkpoint
from model.run_state import Line, State

_AXES = ("epoch", "step")  # what the other figures are drawn over


class RunLog:
    """The log of one run; to be closed at the end."""

    def __init__(self, run: Path, state: State) -> None:
        self._run, self._state = run, state
        self._n_points = self._n_lines = 0  # drawn so far
        folder = run / checkpoint.CURVES
        shutil.rmtree(folder, ignore_errors=True)
        self._curves = SummaryWriter(str(folder))
        self.draw()
        self.write()

    def draw(self) -> None:
        """Draws what is new in the state; it is seen within two minutes."""
        for line in self._state.points[self._n_points :] + self._state.lines[self._n_lines :]:
            self._draw(line)
        self._n_points, self._n_lines = len(self._state.points), len(self._state.lines)

    def write(self) -> None:
        """Writes log.jsonl, all of it in one atomic step, and what was drawn."""
        lines = (json.dumps(line, sort_keys=True) + "\n" for line in self._state.lines)
        write_text(self._run / checkpoint.LOG, "".join(lines))
        self._curves.flush()

    def close(self) -> None:
        self._curves.close()

    def _draw(self, line: Line) -> None:
        """One point a figure, at ``line["step"]``."""
        for name, value in line.items():
            if name not in _AXES and value is not None:
                self._curves.add_scalar(_title(name), value, line["step"])


def _title(name: str) -> str:
    """Where TensorBoard shows a figure: "dev_loss" as dev/loss."""
    group, _, figure = name.partition("_")
    return f"{group}/{figure}" if group in ("train", "dev", "step") else f"epoch/{name}"
