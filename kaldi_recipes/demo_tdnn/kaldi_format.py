"""Kaldi's binary model format: just what a ``final.mdl`` of affine layers takes.

Layouts follow Kaldi's own writers: base/io-funcs.cc (tokens, numbers), matrix/kaldi-matrix.cc and
compressed-matrix.h, hmm/hmm-topology.cc, hmm/transition-model.cc, nnet3/nnet-nnet.cc,
nnet3/nnet-simple-component.cc, nnet3/am-nnet-simple.cc.
"""

import struct
from collections.abc import Sequence

import numpy as np

BINARY = b"\0B"
LOG_HALF = float(np.log(0.5))


def token(text: str) -> bytes:
    return text.encode("ascii") + b" "


def int32(value: int) -> bytes:
    return b"\4" + struct.pack("<i", value)


def float32(value: float) -> bytes:
    return b"\4" + struct.pack("<f", value)


def float64(value: float) -> bytes:
    return b"\x08" + struct.pack("<d", value)


def int32_vector(values: Sequence[int]) -> bytes:
    return b"\4" + struct.pack(f"<i{len(values)}i", len(values), *values)


def vector(values: np.ndarray) -> bytes:
    return token("FV") + int32(len(values)) + values.astype("<f4").tobytes()


def matrix(values: np.ndarray) -> bytes:
    n_rows, n_columns = values.shape
    return token("FM") + int32(n_rows) + int32(n_columns) + values.astype("<f4").tobytes()


def compressed_matrix(values: np.ndarray) -> bytes:
    """Sixteen bits an element between the smallest and the largest; Kaldi's ``CM2``."""
    low = np.float32(values.min())
    span = np.float32(values.max() - low) or np.float32(1e-5)
    levels = np.rint((values - low) / span * 65535).clip(0, 65535).astype("<u2")
    return token("CM2") + struct.pack("<ffii", low, span, *values.shape) + levels.tobytes()


def transition_model(pdf_of_phone: Sequence[int]) -> bytes:
    """One emitting state a phone, left by a coin toss; phone p (from 1) has the given pdf.

    Transition ids: 2p - 1 stays in phone p, 2p leaves it.
    """
    n = len(pdf_of_phone)
    phones = range(1, n + 1)
    out = [token("<TransitionModel>"), token("<Topology>")]
    out += [int32_vector(phones), int32_vector([-1] + [0] * n), int32(1), int32(2)]
    out += [int32(0), int32(2), int32(0), float32(0.5), int32(1), float32(0.5)]
    out += [int32(-1), int32(0), token("</Topology>"), token("<Triples>"), int32(n)]
    for phone, pdf in zip(phones, pdf_of_phone, strict=True):
        out += [int32(phone), int32(0), int32(pdf)]
    log_probabilities = np.full(2 * n + 1, LOG_HALF)
    log_probabilities[0] = 0.0  # transition ids count from 1
    out += [token("</Triples>"), token("<LogProbs>"), vector(log_probabilities)]
    return b"".join([*out, token("</LogProbs>"), token("</TransitionModel>")])


def fixed_affine(weights: np.ndarray, bias: np.ndarray) -> bytes:
    name = "FixedAffineComponent"
    parts = [token(f"<{name}>"), token("<LinearParams>"), compressed_matrix(weights)]
    return b"".join([*parts, token("<BiasParams>"), vector(bias), token(f"</{name}>")])


def nonlinearity(
    name: str, dim: int, *, count: float = 0.0, self_repair_scale: float = 0.0
) -> bytes:
    """RectifiedLinearComponent or LogSoftmaxComponent without training statistics."""
    empty = np.zeros(0)
    parts = [token(f"<{name}>"), token("<Dim>"), int32(dim)]
    parts += [token("<ValueAvg>"), vector(empty), token("<DerivAvg>"), vector(empty)]
    parts += [token("<Count>"), float64(count), token("<OderivRms>"), vector(empty)]
    parts += [token("<OderivCount>"), float64(0.0)]
    parts += [token("<NumDimsSelfRepaired>"), float64(0.0)]
    parts += [token("<NumDimsProcessed>"), float64(0.0)]
    parts += [token("<SelfRepairScale>"), float32(self_repair_scale)]
    return b"".join([*parts, token(f"</{name}>")])


def nnet(
    affines: Sequence[tuple[np.ndarray, np.ndarray]], splices: Sequence[Sequence[int]], n_in: int
) -> bytes:
    """Affine layers with rectifiers between them and a log-softmax at the end."""
    lines = [f"input-node name=input dim={n_in}"]
    components: list[tuple[str, bytes]] = []
    below = "input"
    for i, ((weights, bias), splice) in enumerate(zip(affines, splices, strict=True), start=1):
        last = i == len(affines)
        activation = "LogSoftmaxComponent" if last else "RectifiedLinearComponent"
        for name, data, source in (
            (f"tdnn{i}.affine", fixed_affine(weights, bias), spliced(below, splice)),
            (f"tdnn{i}.out", nonlinearity(activation, len(bias)), f"tdnn{i}.affine"),
        ):
            lines.append(f"component-node name={name} component={name} input={source}")
            components.append((name, data))
        below = f"tdnn{i}.out"
    lines.append(f"output-node name=output input={below} objective=linear")
    head = token("<Nnet3>") + b"\n" + "\n".join(lines).encode() + b"\n\n"
    body = b"".join(token("<ComponentName>") + token(name) + data for name, data in components)
    return head + token("<NumComponents>") + int32(len(components)) + body + token("</Nnet3>")


def spliced(node: str, splice: Sequence[int]) -> str:
    """nnet3's descriptor of a node's frames at the given offsets, lowest first."""
    offsets = [f"Offset({node}, {offset})" if offset else node for offset in splice]
    return f"Append({', '.join(offsets)})" if len(offsets) > 1 else offsets[0]


def acoustic_model(transitions: bytes, network: bytes, context: int) -> bytes:
    """The content of ``final.mdl``; no priors: scores are the posteriors themselves."""
    tail = [token("<LeftContext>"), int32(context), token("<RightContext>"), int32(context)]
    tail += [token("<Priors>"), vector(np.zeros(0))]
    return b"".join([BINARY, transitions, network, *tail])
