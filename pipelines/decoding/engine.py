"""What a decoder is to the decode stage, whichever it is.

A Kaldi decoder takes a list of recordings, and libvosk one after the other; so an engine is given
the utterances of a shard, and yields what it heard in them as it comes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from featurize.errors import TrimodalError
from pipelines.manifest import Utterance

Word = tuple[str, float, float, float]  # what was said, start and end in s, posterior


@dataclass(frozen=True)
class Decoded:
    """What was heard in one utterance.

    ``words`` lie in order; times are seconds from the utterance's start; a time or posterior that
    is not known is NaN. ``n_frames`` are those that were decoded, after the model's subsampling; 0
    when that is not known. ``scores`` hold what the engine itself knows of how well the words fit,
    by the names of ``pipelines.decoding.scores``; larger is better.
    """

    words: list[Word]
    n_frames: int
    scores: dict[str, float]

    @property
    def text(self) -> str:
        return " ".join(word for word, *_ in self.words)


class Engine(Protocol):
    """A decoder, made from settings alone: it is made again in every worker process.

    Making one checks all that can be checked without decoding, and loads nothing large.
    """

    def config(self) -> dict[str, Any]:
        """What decides the results, for the fingerprint: the same here and in each worker."""
        ...

    def notes(self, utterance_ids: Sequence[str]) -> list[str]:
        """What the user should know before it decodes these, a line each.

        Raises:
            UsageError: it can decode none of them.
        """
        ...

    def decode(
        self, utterances: Sequence[Utterance], root: Path
    ) -> Iterator[tuple[Utterance, Decoded | TrimodalError | OSError]]:
        """Every utterance once, in the order given, with what was heard or why nothing was.

        ``root`` is the corpus's folder. An utterance that cannot be decoded, or that ends the
        decoder, costs no other.

        Raises:
            ModelError: the model, or the decoder's program, cannot be used at all.
        """
        ...
