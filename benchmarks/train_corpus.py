"""Utterances of VoxCeleb2's lengths: each encoder as it would be run, packing, and the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.encoders import PAPER, encoders, forward_backward
from benchmarks.flops import encoder_flops, head_flops
from benchmarks.multimodal_transformer import Dropouts, shuffled_batches
from benchmarks.packed import packed_forward
from benchmarks.peak import synchronise
from benchmarks.timing import Line, Options, Report, alternate
from benchmarks.training_data import CHARACTERS_PER_WORD, PAPER_DIMS, durations_s, steps_of
from model.attention import Transformer
from model.config import TrainConfig
from model.data import WINDOW_SHARDS, Batch, Loader, shuffled_groups
from model.encoder import Encoder
from model.store import FeatureStore
from pipelines.pretrain import pretrain

TARGET = {"cpu": 3.0, "cuda": 6.0}
FRAMES_PER_BATCH = {"cpu": 4000, "cuda": 25_000}  # stacks; on a GPU the trainer's default
WINDOW_UTTERANCES = WINDOW_SHARDS * 512

Work = Callable[[], None]


def add_as_run(report: Report, options: Options, device: torch.device, store: FeatureStore) -> None:
    """All utterances once: ours bucketed in bfloat16, the peer's padded batches in float32."""
    loader = Loader(store, np.arange(len(store)), FRAMES_PER_BATCH[device.type], {})
    ours = [batch.to(device) for batch in loader.shuffled(seed=0, epoch=1)]
    theirs = [batch.to(device) for batch in shuffled_batches(store)]
    padding = [
        (who, len(batches), f"{_padding_share(batches):.1%}")
        for who, batches in (("ours", ours), ("peer", theirs))
    ]
    title = f"{len(store)} utterances, mean {store.n_stacks.mean() / 20:.1f} s"
    report.table(title, ("who", "batches", "padding of the audio"), padding)
    half, single = torch.bfloat16, torch.float32
    paper = Encoder(PAPER, PAPER_DIMS).to(device)
    compared = encoders(options, device, Dropouts())
    runs: dict[str, Work] = {
        "ours": partial(forward_backward, paper, ours, half, device),
        "ours, feed-forward 2,048": partial(forward_backward, compared["ours"], ours, half, device),
    }
    if "peer" in compared:
        runs["peer"] = partial(forward_backward, compared["peer"], theirs, single, device)
    rounds = 1 if options.quick else 3
    per_s = {who: len(store) / seconds for who, seconds in alternate(runs, rounds).items()}
    rows = [(who, f"{speed:.2f}") for who, speed in per_s.items()]
    report.table("As each would be run, forward and backward", ("who", "utterances/s"), rows)
    target = TARGET[device.type]
    lines = [
        Line(
            f"train_as_run_{key}_over_peer",
            f"as run, {who}",
            f"{per_s[who]:.2f} utterances/s",
            f"Multimodal Transformer: {per_s['peer']:.2f}",
            per_s[who] / per_s["peer"],
            target if who == "ours" else None,
        )
        for key, who in (("paper", "ours"), ("equal_d_ff", "ours, feed-forward 2,048"))
        if "peer" in per_s
    ]
    report.lines("Against the Multimodal Transformer, as each would be run", lines)


def add_packing(report: Report, options: Options, device: torch.device) -> None:
    """The audio transformer, packed and padded, same weights, on some batches of a whole window.

    A shuffle window is 16 shards of 512 utterances; the more there are, the less padding.
    """
    lengths = np.array([steps_of(duration)[0] for duration in durations_s(WINDOW_UTTERANCES)])
    rows = np.arange(len(lengths))
    rng = np.random.default_rng(0)
    groups = shuffled_groups(rows, rows // 512, lengths, FRAMES_PER_BATCH[device.type], rng)
    batches = [lengths[batch] for (batch,) in groups]
    n_real, n_all = lengths.sum(), sum(len(batch) * batch.max() for batch in batches)
    some = batches[: 1 if options.quick else 4]
    inputs = [_random_steps(batch, device) for batch in some]
    encoder = Encoder(PAPER, PAPER_DIMS).to(device)
    transformer = cast(Transformer, encoder.transformer["audio"])

    def over(forward: Callable[[Tensor, Tensor], Tensor]) -> None:
        for x, mask in inputs:
            with torch.autocast(device.type, torch.bfloat16):
                loss = forward(x, mask).float().square().mean()
            loss.backward()
        synchronise(device)

    runs: dict[str, Work] = {
        "packed": partial(over, partial(packed_forward, transformer)),
        "padded": partial(over, lambda x, mask: transformer(x, None, mask)),
    }
    median_s = alternate(runs, options.rounds)
    n = sum(map(len, some))
    line = Line(
        "train_packed_over_padded",
        "audio transformer, bfloat16, packed",
        f"{n / median_s['packed']:.1f} utterances/s",
        f"padded: {n / median_s['padded']:.1f}",
        median_s["padded"] / median_s["packed"],
    )
    report.lines(f"Sequence packing, {1 - n_real / n_all:.1%} padding in such a window", [line])


def waiting_lines(
    options: Options, device: torch.device, work: Path, peaks: dict[str, float]
) -> Iterator[Line]:
    """One epoch of the paper's model by ``trimodal pretrain``: waiting, and utilisation."""
    config = TrainConfig(
        max_epochs=1, frames_per_batch=FRAMES_PER_BATCH[device.type], dev_fraction=0.1
    )
    pretrain(work, work / "run", model=PAPER, train=config, device=device.type)
    line = json.loads((work / "run" / "log.jsonl").read_text().splitlines()[-1])
    yield Line(
        "train_data_wait_share",
        "waiting for data, share of the epoch",
        f"{line['data_wait_share']:.3%}",
        "the whole epoch",
        line["data_wait_share"],
        0.02,
        more_is_better=False,
    )
    store = FeatureStore(work / "features", n_stacked_frames=PAPER.n_stacked_frames)
    flops = 3 * np.mean([_flops_of(int(n), len(store.speakers)) for n in store.n_stacks])
    yield Line(
        "train_mfu",
        f"model FLOPs, {PAPER.d_model}-d, bfloat16",
        f"{line['utterances_per_s']:.2f} utterances/s",
        f"the best rate, {peaks['bfloat16'] / 1e12:.3g} TFLOP/s",
        float(flops) * line["utterances_per_s"] / peaks["bfloat16"],
    )


def _flops_of(n_audio: int, n_speakers: int) -> int:
    """Forward, of one utterance of so many stacks of ``write_features``."""
    n_video, n_text = n_audio // 4, n_audio // 8
    encoder = encoder_flops(PAPER, PAPER_DIMS, n_audio, n_video, n_text)
    return encoder + head_flops(PAPER, n_audio, CHARACTERS_PER_WORD * n_text, n_speakers)


def _random_steps(lengths: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs (B, T, D) of an audio transformer and their mask (B, T)."""
    ends = torch.from_numpy(lengths)[:, None]
    mask = (torch.arange(int(lengths.max())) < ends).to(device)
    return torch.randn(*mask.shape, PAPER.d_model, device=device), mask


def _padding_share(batches: Sequence[Batch]) -> float:
    n_real = sum(int(batch.audio_mask.sum()) for batch in batches)
    return 1 - n_real / sum(batch.audio_mask.numel() for batch in batches)
