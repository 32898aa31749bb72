"""Inspect: what one shard says of itself, without its features."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurize.shards import ShardIndex


def shard_facts(path: Path) -> dict[str, Any]:
    """What a shard says of itself, as JSON can hold it; features are not read.

    Bytes of a field are those of its numbers; ``stored_bytes`` those they take in the file. ``ids``
    are {"id", and the rows of each field}.

    Raises:
        ShardError: not a shard, or a damaged one.
    """
    from featurize.shards import ShardIndex

    shard = ShardIndex(path)
    names = sorted(shard.fields)
    lengths = {name: shard.lengths(name).tolist() for name in names}
    reasons = Counter(reject["reason"] for reject in shard.rejects)
    return {
        "path": str(path),
        "version": shard.version,
        "modality": shard.modality,
        "fingerprint": shard.fingerprint,
        "n_bytes": path.stat().st_size,
        "n_utterances": len(shard),
        "n_rejects": len(shard.rejects),
        "compression": shard.compression,
        "config": shard.config,
        "tools": shard.tools,
        "fields": {name: _field_facts(shard, name) for name in names},
        "columns": shard.column_names,
        "rejects": [{"reason": reason, "n": n} for reason, n in reasons.most_common()],
        "ids": [
            {"id": utterance_id, **{name: lengths[name][i] for name in names}}
            for i, utterance_id in enumerate(shard.ids)
        ],
    }


def _field_facts(shard: "ShardIndex", name: str) -> dict[str, Any]:
    row_shape, encoding = shard.fields[name]
    rows = shard.lengths(name)
    n_rows = int(rows.sum())
    value_bytes, stored_bytes = _stored(shard, name)
    return {
        "row_shape": list(row_shape),
        "encoding": encoding,
        "n_rows": n_rows,
        "n_bytes": n_rows * math.prod(row_shape) * value_bytes,
        "stored_bytes": stored_bytes,
        "rows_min": int(rows.min()) if len(rows) else 0,
        "rows_mean": n_rows / len(rows) if len(rows) else 0.0,
        "rows_max": int(rows.max()) if len(rows) else 0,
    }


def _stored(shard: "ShardIndex", name: str) -> tuple[int, int]:
    """Bytes of a number, and of the field in the file; its scales, if any, are not counted."""
    from featurize.shards.layout import damaged, first_line, open_file, open_plain

    file = open_file(shard.path)
    try:
        dataset = open_plain(file, shard.path, name if shard.version > 1 else f"{name}/data")
        return dataset.dtype.itemsize, dataset.get_storage_size()
    except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise damaged(shard.path, first_line(error)) from None
    finally:
        file.close()
