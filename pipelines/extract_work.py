"""Extraction, done: what a worker process does with one shard of one modality.

Heavy objects (VGG-16, the word vectors) are loaded once a process. An utterance that cannot be
used is recorded in the shard with its reason.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from featurize.errors import MediaError, TextError, TrimodalError
from featurize.transcript import normalise_transcript
from pipelines.extract import ExtractSettings
from pipelines.freed_memory import keep_freed_memory
from pipelines.manifest import Utterance, read_table, safe_path
from pipelines.runner import Outcome, Unit
from pipelines.shard_work import Content, each, write_shard

if TYPE_CHECKING:
    from featurize.glove import Glove, Oov
    from featurize.shards import FieldSpec
    from featurize.shards.layout import ColumnSpec
    from pipelines.video_clips import ClipTask


def audio_work(settings: ExtractSettings, unit: Unit) -> Outcome:
    """Writes (T, 40) LFBE of each utterance, and their (2, 41) statistics for normalisation."""
    from featurize.cmvn import cmvn_statistics
    from featurize.lfbe import lfbe
    from featurize.shards.encodings import decode, encode
    from pipelines.sound import SoundTask, sounds

    keep_freed_memory()
    encoding, rate_hz = settings.store.audio, settings.lfbe.sample_rate_hz
    waves = sounds(SoundTask(unit.root, utterance, rate_hz) for utterance in unit.utterances)

    def content(_: Utterance) -> Content:
        wave = next(waves)
        if isinstance(wave, Exception):
            raise wave
        rows = lfbe(wave, rate_hz, settings.lfbe)
        stored, scale = encode(rows, encoding)
        as_read = decode(stored, scale, encoding)  # the statistics are of what is stored
        if scale is None:  # rounded once, they are stored as they are; a scale would change again
            rows = as_read
        return {"features": rows, "cmvn": cmvn_statistics(as_read)[None]}

    n_bins = settings.lfbe.n_bins
    fields = {"features": ((n_bins,), encoding), "cmvn": ((2, n_bins + 1), "float64")}
    tools = _versions("torch", "torchaudio", "av")
    found = each(unit.utterances, content)
    kept = settings.store.compression
    return write_shard(unit, "audio", fields, tools, found, compression=kept)


def video_work(settings: ExtractSettings, unit: Unit) -> Outcome:
    """Writes (F, 4096) VGG-16 vectors and their (F,) times in seconds.

    When pictures are cut to faces: also (F, 4) what was cut out, as fractions of the picture, and
    the column ``n_without_face``, how many pictures of the utterance had no face of their own.
    """
    from featurize.vgg import N_FEATURES
    from pipelines import video_vectors as video

    decoders = video.decoders_of_this_process(settings.decode_jobs)
    tasks = [_clip_task(settings, unit, utterance) for utterance in unit.utterances]
    network = video.network_of_this_process(settings.vgg, settings.device)
    fields: FieldSpec = {
        "features": ((N_FEATURES,), settings.store.video),
        "times_s": ((), "float32"),
    }
    columns: ColumnSpec = {}
    if settings.faces.kind != "none":
        fields = {**fields, "crops": ((4,), "float32")}
        columns = {"n_without_face": ((), "int32")}
    vectors = video.video_vectors(network, decoders, tasks)
    found = zip(unit.utterances, vectors, strict=True)
    tools = {**network.resolved, **_versions("av")}
    kept = settings.store.compression
    return write_shard(unit, "video", fields, tools, found, columns=columns, compression=kept)


def video_notes(settings: ExtractSettings) -> list[str]:
    """What a user should know of the network before it runs."""
    from featurize.vgg_weights import random_note

    note = random_note(settings.vgg.weights)
    return [] if note is None else [note]


def _clip_task(settings: ExtractSettings, unit: Unit, utterance: Utterance) -> "ClipTask":
    from pipelines.video_clips import ClipTask

    task = ClipTask(
        path=None,
        fps=settings.fps,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
        faces=settings.faces.kind,
        face_scale=settings.faces.scale,
    )
    try:
        path = _media_path(unit, utterance, utterance.video, "video")
        return replace(task, path=path, boxes=settings.faces.boxes_of(utterance))
    except TrimodalError as error:
        return replace(task, problem=error)


def text_work(settings: ExtractSettings, unit: Unit) -> Outcome:
    """Writes (W, D) GloVe vectors and (W, 2) start and end of each word in s, NaN if unknown.

    The column ``n_known`` says how many of the words have a vector.
    """
    import numpy as np

    glove = _glove(str(settings.text.glove), settings.text.oov)
    words_of = _words(unit)

    def content(utterance: Utterance) -> Content:
        spoken = words_of(utterance)
        if not spoken:
            raise TextError("no word in the transcript")
        words = [word for word, _, _ in spoken]
        return {
            "features": glove(words),
            "times_s": np.array([(start, end) for _, start, end in spoken], dtype=np.float32),
            "n_known": glove.n_known(words),
        }

    fields = {"features": ((glove.dimension,), settings.store.text), "times_s": ((2,), "float32")}
    columns = {"n_known": ((), "int32")}
    tools = {**glove.identity, **_versions("gensim")}
    found = each(unit.utterances, content)
    kept = settings.store.compression
    return write_shard(unit, "text", fields, tools, found, columns=columns, compression=kept)


def targets_work(_: ExtractSettings, unit: Unit) -> Outcome:
    """Writes what the trainer learns from: characters, speaker, fold and labels."""
    import numpy as np

    from featurize.shards import NO_LABELS, TARGET_COLUMNS, TARGET_FIELDS

    words_of = _words(unit)

    def content(utterance: Utterance) -> Content:
        text = " ".join(word for word, _, _ in words_of(utterance))
        return {
            "characters": np.frombuffer(text.encode(), dtype=np.uint8),
            "speaker": utterance.speaker,
            "fold": utterance.fold or "",
            "labels": NO_LABELS if utterance.labels is None else utterance.labels,
        }

    found = each(unit.utterances, content)
    return write_shard(unit, "targets", TARGET_FIELDS, {}, found, columns=TARGET_COLUMNS)


def _words(unit: Unit) -> Callable[[Utterance], list[tuple[str, float, float]]]:
    """Normalised words with start and end in seconds, from the corpus or from decoding.

    Words that one decoded word becomes ("21": twenty one) share its time.
    """
    if unit.source is None:

        def transcribed(utterance: Utterance) -> list[tuple[str, float, float]]:
            return [(word, nan, nan) for word in normalise_transcript(utterance.text or "")]

        return transcribed
    rows = {row["id"]: row["words"] for row in read_table(unit.source).rows}

    def decoded(utterance: Utterance) -> list[tuple[str, float, float]]:
        if utterance.id not in rows:
            raise TextError("decoded anew since the selection, and rejected")
        return [
            (word, start, end)
            for raw, start, end, _ in rows[utterance.id]
            for word in normalise_transcript(raw)
        ]

    return decoded


@functools.lru_cache(maxsize=1)
def _glove(source: str, oov: "Oov") -> "Glove":
    """The word vectors, opened once a worker process."""
    from featurize.glove import Glove

    return Glove.open(source, oov=oov)


def _media_path(unit: Unit, utterance: Utterance, path: str | None, kind: str) -> Path:
    if path is None:
        raise MediaError(f"no {kind} file")
    return safe_path(unit.root, path)


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
