"""The decode stage: words with their times, and how well English explains the sound."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any, Literal

from featurize.errors import UsageError
from pipelines.decoding.engine import Decoded, Engine
from pipelines.decoding.scores import word_list, word_scores
from pipelines.manifest import (
    Reject,
    Table,
    Utterance,
    existing_folder,
    fingerprint,
    write_table,
)
from pipelines.runner import Outcome, Unit, reason_of
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class DecodeSettings:
    """Which decoder, and what it needs.

    ``model``: a Kaldi or Vosk model directory, or ``demo`` for the shipped one; ``decoded``: what
    was decoded elsewhere, for the engine ``import``. The rest is of the engine ``kaldi``: see
    ``pipelines.decoding.kaldi_engine``.
    """

    model: str | None = None
    engine: Literal["vosk", "kaldi", "import"] = "vosk"
    decoded: str | None = None
    kaldi_root: str | None = None
    kaldi_cmd: str | None = None
    kaldi_program: str | None = None

    def __post_init__(self) -> None:
        if self.decoded is not None and self.engine != "import":
            raise UsageError(f"--decoded is for --engine import, not {self.engine}; leave one out")
        for name in ("kaldi_root", "kaldi_cmd", "kaldi_program"):
            if getattr(self, name) is not None and self.engine != "kaldi":
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} is for --engine kaldi, not {self.engine}; leave one out")


def engine_of(settings: DecodeSettings) -> Engine:
    """The decoder that the settings ask for.

    Raises:
        UsageError: they do not say enough.
        ModelError: its model, or its program, cannot be used.
    """
    if settings.engine == "import":
        from pipelines.decoding.import_engine import ImportEngine

        if settings.decoded is None:
            raise UsageError("--engine import: give --decoded PATH, the transcripts")
        return ImportEngine(settings.decoded)
    if settings.model is None:
        raise UsageError(
            "no acoustic model: give --model DIR, a Kaldi or Vosk model directory of English"
        )
    if settings.engine == "kaldi":
        from pipelines.decoding.kaldi_engine import KaldiEngine

        given = {"root": settings.kaldi_root, "command": settings.kaldi_cmd}
        return KaldiEngine(settings.model, **given, program=settings.kaldi_program)
    from pipelines.decoding.vosk_engine import VoskEngine

    return VoskEngine(settings.model)


def decode_shard(
    utterances: Sequence[Utterance], root: Path, engine: Engine
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Decodes the utterances of one shard: their rows, and those that could not be decoded.

    A row is {"id", "text", "words": [[word, start_s, end_s, confidence], ...], "n_frames",
    "scores": {name: number}}; a time or confidence that is not known is None. Raises ModelError
    when the model cannot be used.
    """
    rows, rejects = [], []
    for utterance, found in engine.decode(utterances, root):
        if isinstance(found, Decoded):
            rows.append(_row(utterance, found))
        else:
            rejects.append(Reject(utterance.id, "decode", reason_of(found, root, utterance)))
    return rows, rejects


def decode_units(workspace: Workspace, shards: Iterable[int], engine: Engine) -> list[Unit]:
    """One unit a shard."""
    existing_folder(workspace.corpus_root, "the corpus that was prepared; is its disk mounted?")
    config = engine.config() | {"word_list": word_list()}
    return [_unit(workspace, number, config) for number in shards]


def decode_work(settings: DecodeSettings, unit: Unit) -> Outcome:
    """Decodes one shard and writes its table."""
    rows, rejects = decode_shard(unit.utterances, unit.root, engine_of(settings))
    write_table(unit.output, Table("decode", unit.config, unit.fingerprint, rows, rejects))
    return Outcome(len(rows), [reject.reason for reject in rejects])


def _unit(workspace: Workspace, number: int, config: dict[str, Any]) -> Unit:
    return Unit(
        shard=number,
        output=workspace.decode_path(number),
        fingerprint=fingerprint("decode", config, workspace.inputs("decode", number)),
        config=config,
        root=workspace.corpus_root,
        utterances=workspace.shard(number),
    )


def _row(utterance: Utterance, decoded: Decoded) -> dict[str, Any]:
    scores = decoded.scores | word_scores(decoded.words)
    return {
        "id": utterance.id,
        "text": decoded.text,
        "words": [[word, *map(_known, numbers)] for word, *numbers in decoded.words],
        "n_frames": decoded.n_frames,
        "scores": {name: score for name, score in scores.items() if isfinite(score)},
    }


def _known(number: float) -> float | None:
    """JSON has no NaN."""
    return None if isnan(number) else number
