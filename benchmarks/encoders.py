"""The encoders that are compared: ours and the peer's, of one size, and a pass over batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from benchmarks.multimodal_transformer import Dropouts, PeerEncoder
from benchmarks.peak import synchronise
from benchmarks.timing import Options
from benchmarks.training_data import PAPER_DIMS
from model.config import ModelConfig, TrainConfig
from model.data import Batch
from model.encoder import Encoder
from model.step import autocast
from model.train import compile_layers

PAPER = ModelConfig()
AT_FOUR_D = replace(PAPER, d_ff=4 * PAPER.d_model)  # the peer's feed-forward cannot be chosen
WIDTHS = {"audio": PAPER_DIMS.audio, "video": PAPER_DIMS.video, "text": PAPER_DIMS.text}


def encoders(options: Options, device: torch.device, dropouts: Dropouts) -> dict[str, nn.Module]:
    """Both at feed-forward 4 D, training."""
    torch.manual_seed(0)
    encoders: dict[str, nn.Module] = {"ours": our_encoder(AT_FOUR_D, device)}
    if options.peer:
        peer = PeerEncoder(options.peer, AT_FOUR_D, WIDTHS, dropouts)
        encoders["peer"] = peer.to(device).train()
    return encoders


def our_encoder(config: ModelConfig, device: torch.device) -> Encoder:
    """Training; on a GPU with the layers compiled, as ``[pretrain] compile`` does it."""
    encoder = Encoder(config, PAPER_DIMS).to(device).train()
    if device.type == "cuda":
        compile_layers(encoder)
    return encoder


def forward_backward(
    model: nn.Module, batches: Sequence[Batch], precision: str, device: torch.device
) -> None:
    """Of each batch, with a loss that every output bears on."""
    arguments = (PAPER.pretrain_weights,) if isinstance(model, Encoder) else ()
    for batch in batches:
        model.zero_grad(set_to_none=True)
        with autocast(device, TrainConfig(precision=precision)):
            loss = model(batch, *arguments).float().square().mean()
        loss.backward()
    synchronise(device)
