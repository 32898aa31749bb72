"""Export to lhotse: a manifest of cuts, and features that lhotse itself stores and reads.

OUT/cuts.jsonl.gz holds one MonoCut an utterance that has sound; OUT/shard-00042.h5 its arrays,
written by lhotse's ``NumpyHdf5Writer``: the only one of lhotse's writers that keeps every bit
(lilcom's are lossy) without a file an array. The audio is the cut's Features. Video and text are
custom Arrays, not TemporalArrays: their rows come at times of their own, not at a constant shift.
"""

import functools
import gzip
import json
import os
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.atomic import atomic_path, write_bytes
from featurize.errors import CorpusError, MediaError, UsageError
from pipelines.aside import aside
from pipelines.exchange.export_shards import Exported, export_shards
from pipelines.exchange.joined import Joined, joined_shard, settings_of
from pipelines.manifest import Utterance, safe_path
from pipelines.mosei_labels import SCORES
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from lhotse import Features, MonoCut, NumpyHdf5Writer, Recording, SupervisionSegment
    from lhotse.array import Array

VERSION = 1  # of what is written of an utterance
CUTS = "cuts.jsonl.gz"
LEAST_RATE_HZ = 16000  # of imported features, which know no sampling rate


def export_lhotse(
    work: Path, out: Path, *, redo: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Exported:
    """Writes OUT/cuts.jsonl.gz and OUT/shard-00042.h5 for every shard; raises as
    ``export_shards``, and UsageError when lhotse is not installed or audio has no constant shift.

    Paths in the manifest are absolute, as lhotse resolves others against the working directory.
    """
    if find_spec("lhotse") is None:
        raise UsageError("lhotse is not installed: pip install 'trimodal[lhotse]'")
    place = str(out.absolute())
    settings = {"version": VERSION, "place": place, "media": str(Workspace(work).corpus_root)}
    exported = export_shards(
        work, Path(place), "lhotse", (".h5", ".cuts.jsonl.gz"), _write_shard, settings=settings,
        redo=redo, progress=progress,
    )  # fmt: skip
    with atomic_path(out / CUTS) as temporary, temporary.open("wb") as whole:
        for part in sorted(out.glob("shard-*.cuts.jsonl.gz")):  # gzip files joined are one
            with part.open("rb") as cuts:
                shutil.copyfileobj(cuts, whole)
    return exported


def _write_shard(workspace: Workspace, number: int, files: Sequence[Path]) -> int:
    from lhotse import NumpyHdf5Writer

    storage, manifest = files
    shard = _Shard(workspace, storage, settings_of(workspace, number).get("audio", {}))
    cuts = []
    with atomic_path(storage, suffix=".h5") as temporary, NumpyHdf5Writer(temporary) as writer:
        for joined in joined_shard(workspace, number):
            if joined.audio is not None and len(joined.audio["features"]):
                cuts.append(shard.cut(joined, writer).to_dict())
    lines = "".join(json.dumps(cut, sort_keys=True, ensure_ascii=False) + "\n" for cut in cuts)
    write_bytes(manifest, gzip.compress(lines.encode(), mtime=0))
    return len(cuts)


class _Shard:
    """Makes the cuts of one shard, whose arrays go to ``storage``."""

    def __init__(self, workspace: Workspace, storage: Path, audio: dict[str, Any]) -> None:
        self._root, self._storage = workspace.corpus_root, storage
        if not audio.get("hop_s"):
            raise UsageError(
                "the audio features have no constant shift (hop_s), which lhotse needs; import "
                "them with --hop-s, or export to webdataset"
            )
        self._hop_s = audio["hop_s"]
        self._sampling_rate = audio.get("sample_rate_hz") or _sampling_rate(self._hop_s)

    def cut(self, joined: Joined, writer: "NumpyHdf5Writer") -> "MonoCut":
        from lhotse import MonoCut

        utterance, features = joined.utterance, self._features(joined, writer)
        return MonoCut(
            id=utterance.id,
            start=features.start,
            duration=features.duration,
            channel=0,
            supervisions=[_supervision(joined, features)],
            features=features,
            recording=self._recording(utterance),
            custom=self._custom(joined, writer),
        )

    def _features(self, joined: Joined, writer: "NumpyHdf5Writer") -> "Features":
        from lhotse import Features

        assert joined.audio is not None
        array = joined.audio["features"]
        return Features(
            type="trimodal",
            num_frames=len(array),
            num_features=array.shape[1],
            frame_shift=self._hop_s,
            sampling_rate=self._sampling_rate,
            start=joined.utterance.start_s,
            duration=round(len(array) * self._hop_s, 9),
            storage_type=writer.name,
            storage_path=str(self._storage),
            storage_key=writer.write(_key(joined.utterance, "audio"), array),
            recording_id=_recording_id(joined.utterance),
            channels=0,
        )

    def _custom(self, joined: Joined, writer: "NumpyHdf5Writer") -> "dict[str, Array]":
        from lhotse.array import Array

        custom = {}
        for modality, arrays in (("video", joined.video), ("text", joined.text)):
            for field, array in (arrays or {}).items():
                custom[f"{modality}_{field}"] = Array(
                    storage_type=writer.name,
                    storage_path=str(self._storage),
                    storage_key=writer.write(_key(joined.utterance, f"{modality}_{field}"), array),
                    shape=list(array.shape),
                )
        return custom

    def _recording(self, utterance: Utterance) -> "Recording | None":
        """The media file, resampled to the features' rate; None where it cannot be opened."""
        from lhotse import AudioSource, Recording

        if utterance.audio is None:
            return None
        try:
            path = safe_path(self._root, utterance.audio)
            rate_hz, n_channels, n_samples = _probe(path)
        except (CorpusError, MediaError):
            return None
        recording = Recording(
            id=_recording_id(utterance),
            sources=[AudioSource("file", list(range(n_channels)), os.fspath(path))],
            sampling_rate=rate_hz,
            num_samples=n_samples,
            duration=n_samples / rate_hz,
        )
        return recording.resample(self._sampling_rate)


def _supervision(joined: Joined, features: "Features") -> "SupervisionSegment":
    from lhotse import SupervisionSegment

    utterance, labels = joined.utterance, joined.utterance.labels
    custom = {
        "fold": utterance.fold,
        "labels": None if labels is None else dict(zip(SCORES, labels, strict=True)),
        "raw_text": utterance.text,
    }
    return SupervisionSegment(
        id=utterance.id,
        recording_id=_recording_id(utterance),
        start=0.0,  # counted from the cut's start
        duration=features.duration,
        channel=0,
        text=joined.transcript,
        speaker=utterance.speaker,
        custom={name: value for name, value in custom.items() if value is not None},
    )


def _recording_id(utterance: Utterance) -> str:
    return utterance.audio or utterance.id


def _key(utterance: Utterance, what: str) -> str:
    """Name of an array in the HDF5 file: one dataset each, never a group of another."""
    return f"{what}/{utterance.id.replace('%', '%25').replace('/', '%2F')}"


def _sampling_rate(hop_s: float) -> int:
    """A rate of at least 16 kHz of which the shift is a whole number of samples, as lhotse asks."""
    denominator = Fraction(hop_s).limit_denominator(LEAST_RATE_HZ).denominator
    return denominator * -(-LEAST_RATE_HZ // denominator)


@functools.lru_cache(maxsize=1024)
def _probe(path: Path) -> tuple[int, int, int]:
    """Of segments of one recording only the first opens it."""
    from featurize.media import probe_audio

    return aside(probe_audio, path)
