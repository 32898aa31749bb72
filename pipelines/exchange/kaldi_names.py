"""Names of utterances, speakers and recordings as Kaldi can take them; another id, another name.

Kaldi's names hold no white space, and sorting by utterance (as bytes) has to sort by speaker too,
as it does when names begin with their speaker's. Ids that are so already, such as those of a valid
data directory, stay. Others become ``SPEAKER-REST``: REST is the id without the speaker in front,
``/`` is ``-`` as in Kaldi's recipe for VoxCeleb2 (``id00012-21Uxsk56VDQ-00001``), and what is not
plain is written ``=2D``, its bytes in hexadecimal. In a speaker ``-`` itself is written so: every
character of a speaker then sorts behind the ``-`` that ends it, or a speaker ``a`` and one ``a-b``
would come in the wrong order.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.manifest import Utterance

_PLAIN = re.compile(r"[A-Za-z0-9._]+")
_NAME = re.compile(r"[^\s/]+")  # what is good enough to stay
FULL = "=."  # begins the long form of a name; the short ones hold "=" before hexadecimals only


@dataclass(frozen=True)
class KaldiNames:
    """Id of an utterance -> its Kaldi name, and the same of speakers."""

    utterances: Mapping[str, str]
    speakers: Mapping[str, str]


def kaldi_names(utterances: Sequence[Utterance]) -> KaldiNames:
    """Names for the utterances of a whole manifest; a part of it then has the same ones."""
    if _are_kaldis_own(utterances):
        return KaldiNames(
            {u.id: u.id for u in utterances}, {u.speaker: u.speaker for u in utterances}
        )
    speakers = {u.speaker: _escaped(u.speaker) or FULL for u in utterances}
    named = [
        (u.id, f"{speakers[u.speaker]}-", u.id.removeprefix(f"{u.speaker}/")) for u in utterances
    ]
    return KaldiNames(unique_names(named), speakers)


def unique_names(items: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Id -> prefix + a short form of what is to be told, or of the whole id where short ones meet.

    ``items`` are (id, prefix, what is to be told of it).
    """
    items = list(items)
    short = {key: prefix + _escaped(told, keep="-", slash="-") for key, prefix, told in items}
    n = Counter(short.values())
    full = {key: f"{prefix}{FULL}{_escaped(key)}" for key, prefix, _ in items}
    return {key: name if n[name] == 1 else full[key] for key, name in short.items()}


def _are_kaldis_own(utterances: Sequence[Utterance]) -> bool:
    """Whether all ids and speakers are names already that sort in step."""
    ordered = sorted(utterances, key=lambda u: u.id.encode(errors="replace"))
    return all(
        _NAME.fullmatch(u.id) and _NAME.fullmatch(u.speaker) and u.speaker.isprintable()
        for u in ordered
    ) and all(a.speaker.encode() <= b.speaker.encode() for a, b in pairwise(ordered))


def _escaped(text: str, keep: str = "", slash: str = "=2F") -> str:
    """``text`` in plain characters and those of ``keep``; others as ``=`` and two hexadecimals."""
    return "".join(
        char if _PLAIN.fullmatch(char) or char in keep
        else slash if char == "/"
        else "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in text
    )  # fmt: skip
