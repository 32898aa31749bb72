"""The HDF5 shard: the one contract between extraction and training.

A shard holds one modality of a few hundred utterances. The rows of all utterances lie end to end
in one dataset a field, and the table ``/utterances`` says which rows are whose, with a digest that
is checked whenever they are read. ``docs/shard-format.md`` is the format's description.
"""

from featurize.shards.compression import COMPRESSIONS
from featurize.shards.encodings import ENCODINGS
from featurize.shards.layout import (
    MODALITIES,
    NO_LABELS,
    TARGET_COLUMNS,
    TARGET_FIELDS,
    VERSION,
    FieldSpec,
)
from featurize.shards.placed import PlacedReader, PlacedShard
from featurize.shards.reader import ShardIndex, ShardReader
from featurize.shards.writer import ShardWriter

__all__ = [
    "COMPRESSIONS",
    "ENCODINGS",
    "MODALITIES",
    "NO_LABELS",
    "TARGET_COLUMNS",
    "TARGET_FIELDS",
    "VERSION",
    "FieldSpec",
    "PlacedReader",
    "PlacedShard",
    "ShardIndex",
    "ShardReader",
    "ShardWriter",
]
