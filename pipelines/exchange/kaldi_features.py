"""The features of an export to Kaldi: one archive a shard, and what says how they were made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurize.atomic import atomic_path, write_text
from featurize.errors import ShardError, UsageError
from featurize.kaldi_io import write_ark
from pipelines.manifest import Table
from pipelines.runner import made_with
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Archive:
    """One shard's features, to be written to ``folder`` and found in ``final``."""

    number: int
    shard: Path
    names: Mapping[str, str]  # id -> Kaldi's
    folder: Path
    final: Path

    @property
    def path(self) -> Path:
        return self.folder / f"raw_fbank.{self.number:05d}.ark"

    @property
    def result(self) -> Path:
        return self.folder / f".raw_fbank.{self.number:05d}.json"


def write_archive(archive: Archive) -> dict[str, tuple[str, int]]:
    """Kaldi's name -> (line of ``feats.scp``, frames), kept so that a killed export goes on."""
    if archive.result.is_file() and archive.path.is_file():
        return {name: tuple(row) for name, row in json.loads(archive.result.read_text()).items()}
    from featurize.shards import ShardReader

    n_frames = {}
    with ShardReader(archive.shard) as reader, atomic_path(archive.path) as temporary:

        def matrices() -> Any:
            for utterance_id in reader.index:
                if utterance_id in archive.names:
                    matrix = reader.read(utterance_id)["features"]
                    if len(matrix):
                        n_frames[archive.names[utterance_id]] = len(matrix)
                        yield archive.names[utterance_id], matrix

        lines = write_ark(temporary, matrices(), named=archive.final / archive.path.name)
    found = {name: (line, n_frames[name]) for name, line in lines.items()}
    write_text(archive.result, json.dumps(found))
    return found


def audio_headers(workspace: Workspace) -> list[Table] | None:
    """Headers of all audio shards; None when there are no audio features.

    Raises:
        UsageError: there are some, but not all, or not of the input as it is now.
    """
    paths = [workspace.feature_path(number, "audio") for number in range(workspace.n_shards)]
    if not any(path.is_file() for path in paths):
        return None
    headers = [_current(workspace, number, path) for number, path in enumerate(paths)]
    made = [header for header in headers if header is not None]
    if len(made) < len(paths):
        raise UsageError(
            f"{workspace.root}: {len(paths) - len(made)} of {len(paths)} audio shards are missing, "
            f"damaged or made from other input; run `trimodal extract {workspace.root} audio` "
            "first, or move the features away to export without them"
        )
    return made


def settings_files(config: Mapping[str, Any]) -> dict[str, str]:
    """What Kaldi keeps beside features: ``frame_shift`` in seconds, ``conf/fbank.conf``.

    Features that were imported are no LFBE, and may have no constant shift; none, no settings.
    """
    files = {"frame_shift": f"{config['hop_s']}\n"} if config.get("hop_s") else {}
    if "n_bins" not in config:
        return files
    options = {
        "sample-frequency": config["sample_rate_hz"],
        "num-mel-bins": config["n_bins"],
        "frame-length": round(1000 * config["window_s"], 6),
        "frame-shift": round(1000 * config["hop_s"], 6),
        "window-type": config["window"],
        "preemphasis-coefficient": config["preemphasis"],
        "low-freq": config["low_hz"],
        "high-freq": config["high_hz"],
        "remove-dc-offset": str(config["remove_dc"]).lower(),
        "use-power": str(config["use_power"]).lower(),
        "snip-edges": str(config["snip_edges"]).lower(),
        "dither": 0,
        "use-energy": "false",
    }
    return files | {"conf/fbank.conf": "".join(f"--{k}={v}\n" for k, v in options.items())}


def _current(workspace: Workspace, number: int, path: Path) -> Table | None:
    try:
        header = made_with(path)
    except ShardError:
        return None
    return header if header and workspace.is_current("audio", number, header) else None
