"""Utterances of VoxCeleb2's lengths: each encoder as it would be run, packing, and the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.encoders import PAPER, encoders, forward_backward, our_encoder
from benchmarks.flops import encoder_flops, head_flops
from benchmarks.multimodal_transformer import Dropouts, shuffled_batches
from benchmarks.packed import packed_forward
from benchmarks.peak import synchronise
from benchmarks.timing import Line, Options, Report, alternate
from benchmarks.training_data import CHARACTERS_PER_WORD, PAPER_DIMS, durations_s, steps_of
from model.attention import Transformer
from model.config import TrainConfig
from model.data import WINDOW_SHARDS, Batch, Loader, shuffled_groups
from model.step import autocast
from model.store import FeatureStore
from pipelines.pretrain import pretrain

TARGET = {"cpu": 3.0, "cuda": 6.0}
FRAMES_PER_BATCH = {"cpu": 4000, "cuda": 25_000}  # stacks; on a GPU the trainer's default
WINDOW_UTTERANCES = WINDOW_SHARDS * 512
MOST_AS_RUN = 2048  # utterances

Work = Callable[[], None]


def add_as_run(
    report: Report, options: Options, device: torch.device, store: FeatureStore, precision: str
) -> None:
    """Each utterance once: ours bucketed, in ``precision``; the peer's batches padded, float32."""
    rows = np.arange(len(store))[:MOST_AS_RUN]
    loader = Loader(store, rows, FRAMES_PER_BATCH[device.type], {})
    ours = [batch.to(device) for batch in loader.shuffled(seed=0, epoch=1)]
    theirs = [batch.to(device) for batch in shuffled_batches(store, rows)]
    padding = [
        (who, len(batches), f"{_padding_share(batches):.1%}")
        for who, batches in (("ours", ours), ("peer", theirs))
    ]
    title = f"{len(rows)} utterances, mean {store.n_stacks[rows].mean() / 20:.1f} s"
    report.table(title, ("who", "batches", "padding of the audio"), padding)
    paper, compared = our_encoder(PAPER, device), encoders(options, device, Dropouts())
    both = {"ours": paper, "ours, feed-forward 2,048": compared["ours"]}
    runs: dict[str, Work] = {
        who: partial(forward_backward, encoder, ours, precision, device)
        for who, encoder in both.items()
    }
    if "peer" in compared:
        runs["peer"] = partial(forward_backward, compared["peer"], theirs, "float32", device)
    rounds = 1 if options.quick else 3
    per_s = {who: len(rows) / seconds for who, seconds in alternate(runs, rounds).items()}
    speeds = [(who, f"{speed:.2f}") for who, speed in per_s.items()]
    title = f"As each would be run, forward and backward, ours in {precision}"
    report.table(title, ("who", "utterances/s"), speeds)
    target = TARGET[device.type]
    lines = [
        Line(
            f"train_as_run_{key}_over_peer",
            f"as run, {who}, {precision}",
            f"{per_s[who]:.2f} utterances/s",
            f"Multimodal Transformer: {per_s['peer']:.2f}",
            per_s[who] / per_s["peer"],
            target if who == "ours" else None,
        )
        for key, who in (("paper", "ours"), ("equal_d_ff", "ours, feed-forward 2,048"))
        if "peer" in per_s
    ]
    report.lines("Against the Multimodal Transformer, as each would be run", lines)


def add_packing(report: Report, options: Options, device: torch.device, precision: str) -> None:
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
    transformer = Transformer(PAPER, PAPER.n_audio_layers).to(device)
    config = TrainConfig(precision=precision)

    def over(forward: Callable[[Tensor, Tensor], Tensor]) -> None:
        for x, mask in inputs:
            with autocast(device, config):
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
        f"audio transformer, {precision}, packed",
        f"{n / median_s['packed']:.1f} utterances/s",
        f"padded: {n / median_s['padded']:.1f}",
        median_s["padded"] / median_s["packed"],
    )
    report.lines(f"Sequence packing, {1 - n_real / n_all:.1%} padding in such a window", [line])


def waiting_lines(device: torch.device, work: Path, precision: str, peak: float) -> Iterator[Line]:
    """An epoch of the paper's model by ``trimodal pretrain``: waiting, and utilisation.

    On a GPU it is the third, as the first compiles.
    """
    on_gpu = device.type == "cuda"
    config = TrainConfig(
        max_epochs=3 if on_gpu else 1,
        compile=on_gpu,
        frames_per_batch=FRAMES_PER_BATCH[device.type],
        dev_fraction=0.1,
        precision=precision,
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
        f"model FLOPs, {PAPER.d_model}-d, {precision}",
        f"{line['utterances_per_s']:.2f} utterances/s",
        f"the best rate, {peak / 1e12:.3g} TFLOP/s",
        float(flops) * line["utterances_per_s"] / peak,
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
