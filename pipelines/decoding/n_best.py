"""Posteriors of words from a list of the best paths."""

from typing import Any


def with_posteriors(
    alternatives: list[dict[str, Any]],
) -> list[tuple[dict[str, Any], float]]:
    """The best path's words, each with the share of probability of the paths that hold it too.

    A path is {"confidence": log-likelihood, "result": [{"word", "start", "end"}, ...]}, with no
    "result" where it has no word.
    """
    import numpy as np

    scores = np.array([path["confidence"] for path in alternatives])
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    weighted = [
        (weight, path.get("result", []))
        for weight, path in zip(weights.tolist(), alternatives, strict=True)
    ]
    return [
        (word, round(sum(weight for weight, path in weighted if _holds(path, word)), 4))
        for word in weighted[0][1]
    ]


def _holds(path: list[dict[str, Any]], word: dict[str, Any]) -> bool:
    return any(
        other["word"] == word["word"]
        and other["start"] < word["end"]
        and other["end"] > word["start"]
        for other in path
    )
