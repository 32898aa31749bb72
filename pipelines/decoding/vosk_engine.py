"""The engine ``vosk``: Kaldi's online nnet3 decoder as packed in libvosk, one sound at a time."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from featurize.errors import TrimodalError
from pipelines.decoding.acoustic_model import (
    DEMO_FOLDER,
    DEMO_MODEL,
    DEMO_NOTE,
    check_model_dir,
    model_identity,
)
from pipelines.decoding.engine import Decoded
from pipelines.decoding.named_model import is_name, named_model
from pipelines.decoding.vosk_decoder import LIKELIHOOD_DEFINITION
from pipelines.decoding.vosk_process import process_of_this_worker
from pipelines.manifest import Utterance


class VoskEngine:
    """Decodes with a Kaldi or Vosk model directory.

    ``model`` is its path, the name of one of the Vosk project's (see ``named_model``), or ``demo``
    for the shipped one. Raises ModelError when it cannot be used.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.info = check_model_dir(_folder(model))

    def config(self) -> dict[str, Any]:
        return {
            **model_identity(self.model, self.info),
            "engine": f"vosk {version('vosk')}",
            "likelihood": LIKELIHOOD_DEFINITION,
        }

    def notes(self, utterance_ids: Sequence[str]) -> list[str]:
        return [DEMO_NOTE] * (self.model == DEMO_MODEL) + list(self.info.warnings)

    def decode(
        self, utterances: Sequence[Utterance], root: Path
    ) -> Iterator[tuple[Utterance, Decoded | TrimodalError | OSError]]:
        return process_of_this_worker(self.info.path.resolve()).decode(utterances, root)


def _folder(model: str) -> Path:
    """A folder of that name comes before a model of that name."""
    if model == DEMO_MODEL:
        return DEMO_FOLDER
    return named_model(model) if is_name(model) and not Path(model).is_dir() else Path(model)
