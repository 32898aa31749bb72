"""Model FLOPs: those of the matrix products that the paper's networks need, by formula.

A product of (m, k) and (k, n) is 2 m k n. Norms, softmax, activations and dropout are not counted,
nor is anything computed twice. A training step counts three times the forward pass, since each
product has two gradients (Chowdhery et al. 2022, PaLM, appendix B). Model FLOP utilisation is these
FLOPs, over the seconds they took, over what the device can do:

    MFU = 3 * forward_flops / seconds / peak_flops_per_s

Padding counts as time, not as FLOPs: lengths are those of the utterances.
"""

from __future__ import annotations

from model.config import ALPHABET, InputDims, ModelConfig


def encoder_flops(
    config: ModelConfig, dims: InputDims, n_audio: int, n_video: int, n_text: int
) -> int:
    """Forward, one utterance of so many stacked audio frames, video frames and words."""
    d = config.d_model
    projections = n_audio * dims.audio + n_video * dims.video + n_text * dims.text
    layers = config.n_audio_layers * _layer(config, n_audio, n_audio)
    for n_keys in (n_video, n_text):
        layers += config.n_crossmodal_layers * _layer(config, n_audio, n_keys)
    return 2 * projections * d + layers


def head_flops(config: ModelConfig, n_audio: int, n_characters: int, n_speakers: int) -> int:
    """Forward, decoder and speaker head, one utterance; ``n_characters`` with <sos>.

    The causal half of the decoder's own attention is counted whole, as it is computed.
    """
    d = config.d_model
    attends = _attention(d, n_characters, n_characters) + _attention(d, n_characters, n_audio)
    layer = attends + _feed_forward(config, n_characters)
    output = 2 * n_characters * d * len(ALPHABET)
    return config.n_decoder_layers * layer + output + 2 * d * n_speakers


def _layer(config: ModelConfig, n_queries: int, n_keys: int) -> int:
    return _attention(config.d_model, n_queries, n_keys) + _feed_forward(config, n_queries)


def _attention(d: int, n_queries: int, n_keys: int) -> int:
    """Projections of queries and output, of keys and values; Q K^T and its product with V."""
    return 2 * d * d * (2 * n_queries + 2 * n_keys) + 4 * n_queries * n_keys * d


def _feed_forward(config: ModelConfig, n_steps: int) -> int:
    return 4 * n_steps * config.d_model * config.d_ff
