"""The formula of the FLOPs against PyTorch's counter, which sees the products themselves."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import encoder_flops, head_flops
from benchmarks.training_data import made_up_batch
from model.build import build_multitask
from model.config import InputDims, ModelConfig

DIMS = InputDims(audio=14, video=22, text=6)


def counted(run) -> int:
    # The fused kernels of a CPU are unknown to the counter; the plain products are not.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("n_utterances", [1, 3])
def test_flops_are_those_that_pytorch_counts(n_utterances: int) -> None:
    config = ModelConfig(
        d_model=16, n_heads=2, d_ff=24, n_audio_layers=3, n_crossmodal_layers=2, n_decoder_layers=2
    )
    model = build_multitask(config, DIMS, n_speakers=9)
    batch = made_up_batch(DIMS, n_utterances, n_audio=21, n_video=5, n_text=4, n_characters=12)
    encoder = encoder_flops(config, DIMS, n_audio=21, n_video=5, n_text=4)
    heads = head_flops(config, n_audio=21, n_characters=12, n_speakers=9)
    weights = config.pretrain_weights
    with torch.no_grad():
        assert counted(lambda: model.encoder(batch, weights)) == n_utterances * encoder
        assert counted(lambda: model(batch)) == n_utterances * (encoder + heads)

    def train() -> None:
        model.encoder(batch, weights).sum().backward()

    # Three times as many, but for the gradient of the inputs, which nobody asks for.
    inputs = 2 * (21 * 14 + 5 * 22 + 4 * 6) * 16
    assert counted(train) == n_utterances * (3 * encoder - inputs)
