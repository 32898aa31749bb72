"""Where the face is in each picture: not asked, where a detector finds it, or listed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurize.errors import CorpusError
from featurize.shards import ShardIndex
from pipelines.manifest import Utterance, existing_folder, safe_path


@dataclass(frozen=True)
class FaceSettings:
    """``source``: "none" (whole pictures), "detect", or a folder of box lists, named by id.

    ``scale``: side of the square that is cut out, in longer sides of the face's box.
    """

    source: str
    scale: float

    @property
    def kind(self) -> str:
        """none, detect or boxes."""
        return self.source if self.source in ("none", "detect") else "boxes"

    def of_corpus(self) -> dict[str, Any]:
        """What decides the cuts of all shards; nothing where there are none.

        Raises UsageError when the detector or the folder is not there.
        """
        if self.kind == "none":
            return {}
        made: dict[str, Any] = {"faces": self.kind, "face_scale": self.scale}
        if self.kind == "detect":
            from featurize.faces import detector_identity

            return made | detector_identity()
        existing_folder(Path(self.source), "none, detect or a folder of box lists")
        return made

    def of_shard(self, utterances: Iterable[Utterance]) -> dict[str, Any]:
        """What decides the cuts of one shard besides: its box lists' content."""
        if self.kind != "boxes":
            return {}
        digest = hashlib.sha256()
        for utterance in utterances:
            try:
                path = self.boxes_of(utterance)
                content = path.read_bytes() if path and path.is_file() else b""
            except (OSError, CorpusError):
                content = b""
            digest.update(f"{utterance.id} {len(content)}\n".encode() + content)
        return {"boxes": digest.hexdigest()}

    def boxes_of(self, utterance: Utterance) -> Path | None:
        """The box list of an utterance. Raises CorpusError when it leads out of the folder."""
        if self.kind != "boxes":
            return None
        return safe_path(Path(self.source), f"{utterance.id}.txt")


def coverage_line(video_shards: Iterable[Path]) -> str:
    """A line for the screen: how many pictures of these shards were cut to a face of their own.

    Raises ShardError for a damaged shard.
    """
    n_pictures = n_without = 0
    for path in video_shards:
        shard = ShardIndex(path)
        n_pictures += int(shard.lengths("features").sum())
        n_without += int(shard.columns["n_without_face"].sum())
    return f"{n_without:,} of {n_pictures:,} pictures without a face of their own"
