"""The decode stage: words with their times, and how well English explains the sound."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from featurize.errors import MediaError, TrimodalError, UsageError
from pipelines.acoustic_model import (
    DEMO_MODEL,
    AcousticModelInfo,
    check_model_dir,
    model_digest,
    model_folder,
)
from pipelines.manifest import (
    Reject,
    Table,
    Utterance,
    existing_folder,
    fingerprint,
    safe_path,
    write_table,
)
from pipelines.runner import Outcome, Unit, reason_of
from pipelines.vosk_decoder import LIKELIHOOD_DEFINITION, VoskDecoder
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class DecodeSettings:
    """``model``: a Kaldi or Vosk model directory, or ``demo`` for the shipped one."""

    model: str | None = None


def decode_shard(
    utterances: Sequence[Utterance], root: Path, settings: DecodeSettings
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Decodes the utterances of one shard: their rows, and those that could not be decoded.

    A row is {"id", "text", "words": [[word, start_s, end_s, confidence], ...],
    "log_likelihood_per_frame", "n_frames"}. Raises ModelError when the model cannot be used.
    """
    decoder = VoskDecoder(_chosen_model(settings))
    rows, rejects = [], []
    for utterance in utterances:
        try:
            rows.append(_row(decoder, root, utterance))
        except (TrimodalError, OSError) as error:
            rejects.append(Reject(utterance.id, "decode", reason_of(error, root, utterance)))
    return rows, rejects


def decode_units(
    workspace: Workspace, shards: Iterable[int], settings: DecodeSettings
) -> list[Unit]:
    """One unit a shard. Raises ModelError for a model directory that cannot be used."""
    existing_folder(workspace.corpus_root, "the corpus that was prepared; is its disk mounted?")
    info = check_model_dir(_chosen_model(settings))
    config = decoding_config(settings, info)
    return [_unit(workspace, number, config) for number in shards]


def model_warnings(settings: DecodeSettings) -> tuple[str, ...]:
    """What the user should know of the chosen model before decoding with it."""
    toy = ("the demo model reads synthesised speech only; for people, give --model DIR",)
    warnings = check_model_dir(_chosen_model(settings)).warnings
    return (toy if settings.model == DEMO_MODEL else ()) + warnings


def decode_work(settings: DecodeSettings, unit: Unit) -> Outcome:
    """Decodes one shard and writes its table."""
    rows, rejects = decode_shard(unit.utterances, unit.root, settings)
    write_table(unit.output, Table("decode", unit.config, unit.fingerprint, rows, rejects))
    return Outcome(len(rows), [reject.reason for reject in rejects])


def decoding_config(settings: DecodeSettings, info: AcousticModelInfo) -> dict[str, Any]:
    """What decides the results. The model counts by content: moving it changes nothing."""
    is_demo = settings.model == DEMO_MODEL
    return {
        "model_name": DEMO_MODEL if is_demo else info.path.resolve().name,
        "model_digest": model_digest(info),
        "engine": f"vosk {version('vosk')}",
        "likelihood": LIKELIHOOD_DEFINITION,
    }


def _unit(workspace: Workspace, number: int, config: dict[str, Any]) -> Unit:
    return Unit(
        shard=number,
        output=workspace.decode_path(number),
        fingerprint=fingerprint("decode", config, workspace.inputs("decode", number)),
        config=config,
        root=workspace.corpus_root,
        utterances=workspace.shard(number),
    )


def _row(decoder: VoskDecoder, root: Path, utterance: Utterance) -> dict[str, Any]:
    from featurize.media import read_audio

    if utterance.audio is None:
        raise MediaError("no audio file")
    samples = read_audio(
        safe_path(Path(root), utterance.audio),
        start_s=utterance.start_s,
        end_s=utterance.end_s,
        sample_rate_hz=decoder.info.sample_rate_hz,
    )
    decoded = decoder.decode(samples)
    return {
        "id": utterance.id,
        "text": decoded.text,
        "words": [list(word) for word in decoded.words],
        "log_likelihood_per_frame": decoded.log_likelihood_per_frame,
        "n_frames": decoded.n_frames,
    }


def _chosen_model(settings: DecodeSettings) -> Path:
    if settings.model is None:
        raise UsageError(
            "no acoustic model: give --model DIR, a Kaldi or Vosk model directory of English"
        )
    return model_folder(settings.model)
