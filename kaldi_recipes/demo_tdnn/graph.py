"""The decoding graph: a loop over all words, as an OpenFst file of transition ids.

The pronunciations form a prefix tree whose arcs carry each word's cost as early as it is known.
Phones depend on their position in the word, which lets Kaldi find the words' borders; all
positions of a phone share one output of the network.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

POSITIONS = ("B", "E", "I", "S")  # begin, end, internal, singleton
_BORDER_KINDS = {"B": "begin", "E": "end", "I": "internal", "S": "singleton"}
SILENCE_PHONE = 1  # phone 0 is epsilon

_OPENFST_MAGIC = 2125659606
_EXPANDED_MUTABLE = 0x3


def phone_id(index: int, position: str) -> int:
    """Kaldi's phone of a network output: silence is 1, the others have four positions each."""
    return SILENCE_PHONE if index == 0 else 2 + 4 * (index - 1) + POSITIONS.index(position)


def pdf_of_phone(n_outputs: int) -> list[int]:
    """The network output of Kaldi's phone 1, 2, ..."""
    return [0] + [index for index in range(1, n_outputs) for _ in POSITIONS]


def word_boundaries(n_outputs: int) -> str:
    """Content of ``phones/word_boundary.int``."""
    lines = [f"{SILENCE_PHONE} nonword"]
    for index in range(1, n_outputs):
        lines += [f"{phone_id(index, p)} {_BORDER_KINDS[p]}" for p in POSITIONS]
    return "\n".join(lines) + "\n"


@dataclass
class Fst:
    """States with arcs (input label, output label, cost, next state)."""

    arcs: list[list[tuple[int, int, float, int]]] = field(default_factory=list)
    final_costs: dict[int, float] = field(default_factory=dict)
    start: int = 0

    def add_state(self) -> int:
        self.arcs.append([])
        return len(self.arcs) - 1

    def add_phone(self, source: int, phone: int, cost: float = 0.0, word: int = 0) -> int:
        """A new state that phone leads to, and stays in."""
        state = self.add_state()
        self.arcs[state].append((2 * phone - 1, 0, 0.0, state))
        self.arcs[source].append((2 * phone, word, cost, state))
        return state

    def to_bytes(self) -> bytes:
        """OpenFst's ``vector`` file, arc type ``standard``."""
        n_arcs = sum(map(len, self.arcs))
        out = [struct.pack("<i", _OPENFST_MAGIC), _string("vector"), _string("standard")]
        out.append(
            struct.pack("<iiQqqq", 2, 0, _EXPANDED_MUTABLE, self.start, len(self.arcs), n_arcs)
        )
        for state, arcs in enumerate(self.arcs):
            out.append(struct.pack("<fq", self.final_costs.get(state, math.inf), len(arcs)))
            out += [struct.pack("<iifi", *arc) for arc in arcs]
        return b"".join(out)


def _string(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


@dataclass
class _Node:
    children: dict[int, "_Node"] = field(default_factory=dict)
    words: list[tuple[int, int, float]] = field(default_factory=list)  # last phone, word, cost

    def best_cost(self) -> float:
        below = (child.best_cost() for child in self.children.values())
        return min([cost for _, _, cost in self.words] + list(below))


def word_loop(
    lexicon: Mapping[str, Iterable[Sequence[int]]],
    costs: Mapping[str, float],
    word_ids: Mapping[str, int],
    *,
    silence_cost: float,
) -> Fst:
    """Any number of words in any order, with silence allowed around each.

    ``lexicon`` gives each word's pronunciations as network outputs; ``costs`` its -log
    probability, which its pronunciations share evenly.
    """
    root = _Node()
    for word in sorted(lexicon):
        spoken = sorted(set(map(tuple, lexicon[word])))
        for phones in spoken:
            _insert(root, phones, word_ids[word], costs[word] + math.log(len(spoken)))
    fst = Fst()
    loop = fst.add_state()
    fst.final_costs[loop] = 0.0
    silence = fst.add_phone(loop, SILENCE_PHONE, silence_cost)
    fst.arcs[silence].append((0, 0, 0.0, loop))
    _add_tree(fst, root, loop, loop, {}, 0.0)
    return fst


def _insert(root: _Node, phones: Sequence[int], word_id: int, cost: float) -> None:
    node = root
    for i, index in enumerate(phones[:-1]):
        node = node.children.setdefault(phone_id(index, "B" if i == 0 else "I"), _Node())
    last = phone_id(phones[-1], "E" if len(phones) > 1 else "S")
    node.words.append((last, word_id, cost))


def _add_tree(
    fst: Fst, node: _Node, state: int, loop: int, ends: dict[int, int], paid: float
) -> None:
    """Arcs below a tree node; ``paid`` is the cost already on the way to it.

    All words that end in the same phone share its state: their labels are on the arcs into it.
    """
    for phone, word_id, cost in node.words:
        if phone in ends:
            fst.arcs[state].append((2 * phone, word_id, cost - paid, ends[phone]))
        else:
            ends[phone] = fst.add_phone(state, phone, cost - paid, word_id)
            fst.arcs[ends[phone]].append((0, 0, 0.0, loop))
    for phone, child in sorted(node.children.items()):
        best = child.best_cost()
        below = fst.add_phone(state, phone, best - paid)
        _add_tree(fst, child, below, loop, ends, best)
