"""Writing one shard of one modality from what was found of its utterances, or why it was not."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from featurize.errors import MediaError, TrimodalError
from pipelines.manifest import Utterance
from pipelines.runner import Outcome, Unit, reason_of

if TYPE_CHECKING:
    from featurize.shards import FieldSpec
    from featurize.shards.layout import ColumnSpec

# Fields (arrays) and columns (values) of an utterance by name; more than are stored may be there.
Content = dict[str, Any]
# An utterance with its content, or with the error that rejects it.
Found = tuple[Utterance, Content | TrimodalError]


def each(
    utterances: Iterable[Utterance], content_of: Callable[[Utterance], Content]
) -> Iterator[Found]:
    """Yields each utterance with its content, or with the error of one that cannot be used."""
    for utterance in utterances:
        try:
            yield utterance, content_of(utterance)
        except TrimodalError as error:
            yield utterance, error
        except OSError as error:  # one unreadable file; the shard itself is written elsewhere
            yield utterance, MediaError(error.strerror or str(error))


def write_shard(
    unit: Unit,
    modality: str,
    fields: "FieldSpec",
    tools: Mapping[str, Any],
    found: Iterable[Found],
    *,
    columns: "ColumnSpec | None" = None,
    compression: str = "none",
) -> Outcome:
    """Writes ``unit.output``; an utterance that is not usable is recorded with its reason."""
    from featurize.shards import ShardWriter

    n_done, reasons = 0, []
    with ShardWriter(
        unit.output,
        modality=modality,
        fields=fields,
        config=unit.config,
        fingerprint=unit.fingerprint,
        tools=tools,
        columns=columns,
        compression=compression,
    ) as writer:
        for utterance, content in found:
            try:
                if isinstance(content, TrimodalError):
                    raise content
                writer.add(utterance.id, content, content)
                n_done += 1
            except TrimodalError as error:
                reasons.append(reason_of(error, unit.root, utterance))
                writer.reject(utterance.id, reasons[-1])
    return Outcome(n_done, reasons)
