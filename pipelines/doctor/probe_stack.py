"""Probe: opens a media file, decodes sound with the shipped model, writes and reads a shard."""

import tempfile
import wave
from pathlib import Path
from typing import Any

from pipelines.doctor.probe import told

RATE_HZ = 16000


def _media() -> dict[str, Any]:
    """Through FFmpeg, as every stage opens media."""
    import av

    from featurize.media import read_audio

    with tempfile.TemporaryDirectory(prefix="trimodal-doctor-") as folder:
        path = Path(folder) / "second.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(bytes(2 * 8000))
        n_samples = len(read_audio(path, sample_rate_hz=RATE_HZ))
    if abs(n_samples - RATE_HZ) > RATE_HZ // 50:
        raise RuntimeError(f"1 s of sound became {n_samples} samples at {RATE_HZ} Hz")
    return {"version": av.__version__}


def _decoder() -> dict[str, Any]:
    """A second of faint noise, which the decoder has no words for, but frames."""
    from importlib.metadata import version

    import numpy as np

    from pipelines.decoding.acoustic_model import DEMO_FOLDER
    from pipelines.decoding.vosk_decoder import VoskDecoder

    noise = np.random.default_rng(0).normal(scale=100, size=RATE_HZ).astype(np.int16)
    decoded = VoskDecoder(DEMO_FOLDER).decode(noise)
    if decoded.n_frames < 1:
        raise RuntimeError("a second of sound gave no decoded frame")
    return {"version": version("vosk"), "n_frames": decoded.n_frames}


def _shards() -> dict[str, Any]:
    import h5py
    import numpy as np

    from featurize.shards import ShardReader, ShardWriter

    with tempfile.TemporaryDirectory(prefix="trimodal-doctor-") as folder:
        path = Path(folder) / "shard-00000.audio.h5"
        fields = {"features": ((2,), "float16")}
        with ShardWriter(
            path, modality="audio", fields=fields, config={}, fingerprint="f", tools={}
        ) as writer:
            writer.add("a", {"features": np.ones((3, 2), np.float16)})
        with ShardReader(path) as shard:
            if shard.read("a")["features"].sum() != 6:
                raise RuntimeError("a shard is not read as it was written")
    return {"version": f"{h5py.__version__} with HDF5 {h5py.version.hdf5_version}"}


if __name__ == "__main__":
    for step, look in (("media", _media), ("shards", _shards), ("decoder", _decoder)):
        told(step, look)
