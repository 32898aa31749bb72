"""The engine ``import``: takes transcripts and scores that were decoded elsewhere."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurize.errors import TextError, TrimodalError, UsageError
from pipelines.decoding.engine import Decoded
from pipelines.decoding.imported_files import DecodedFiles, decoded_files
from pipelines.manifest import Utterance

if TYPE_CHECKING:
    from pipelines.decoding.imported_index import Places
    from pipelines.decoding.imported_scores import Ids, Likelihoods

LIKELIHOOD = "log_likelihood_per_frame"
NO_DEFINITION = "as given with the transcripts"


@dataclasses.dataclass(frozen=True)
class _Transcripts:
    """All that the files say, opened once a process."""

    places: tuple["Places", ...]
    has_text: bool
    likelihoods: "Likelihoods"
    ids: "Ids"


class ImportEngine:
    """Reads what stands in ``path``, a file or folder as ``imported_files`` describes it.

    Raises:
        UsageError: no transcripts are there.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.files = decoded_files(self.path)

    def config(self) -> dict[str, Any]:
        """The files count by content: moving them changes nothing. Checks every line of them."""
        transcripts = self._transcripts(check=True)
        return {
            "decoded_name": str(self.path),
            "decoded_digest": _digest(self.files),
            "engine": "import",
            "likelihood": transcripts.likelihoods.definition or NO_DEFINITION,
        }

    def notes(self, utterance_ids: Sequence[str]) -> list[str]:
        notes = [self._coverage(utterance_ids)]
        if not (self.files.json_lines or self.files.logs):
            notes.append(
                f"{self.path} has no likelihoods, by which English is selected: add the decoder's "
                "logs"
            )
        return notes

    def _coverage(self, utterance_ids: Sequence[str]) -> str:
        """How many of the manifest's utterances have a transcript, and how many are others'."""
        import numpy as np

        transcripts = self._transcripts(check=True)
        theirs = np.unique(np.concatenate([places.digests for places in transcripts.places]))
        ours = np.array([transcripts.ids.digest_of(i) for i in utterance_ids], np.uint64)
        n_found = int(np.count_nonzero(np.isin(ours, theirs)))
        if n_found == 0:
            raise UsageError(
                f"--decoded {self.path}: none of its {len(theirs)} ids is in the manifest; put a "
                "file utt2id beside it, `its-id our-id` a line, as `trimodal export kaldi` writes"
            )
        n_foreign = len(theirs) - n_found
        foreign = f"; {n_foreign} others are not in the manifest" if n_foreign else ""
        return f"{self.path}: has {n_found} of {len(ours)} utterances{foreign}"

    def decode(
        self, utterances: Sequence[Utterance], root: Path
    ) -> Iterator[tuple[Utterance, Decoded | TrimodalError | OSError]]:
        transcripts = self._transcripts()
        for utterance in utterances:
            found = _found(transcripts, utterance.id)
            yield utterance, found or TextError("no transcript in what was decoded elsewhere")

    def _transcripts(self, *, check: bool = False) -> _Transcripts:
        return _opened(self.files, self.files.state(), check)


def _found(transcripts: _Transcripts, utterance_id: str) -> Decoded | None:
    wanted = transcripts.ids.digest_of(utterance_id)
    heard = next(filter(None, (places.find(wanted) for places in transcripts.places)), None)
    scored = transcripts.likelihoods.find(wanted)
    if scored is None:
        return heard
    likelihood, n_frames = scored
    if heard is None and transcripts.has_text:
        return None
    heard = heard or Decoded([], n_frames, {})  # a CTM has no line for one without a word
    return dataclasses.replace(
        heard, n_frames=n_frames, scores=heard.scores | {LIKELIHOOD: likelihood}
    )


@lru_cache(maxsize=1)
def _opened(files: DecodedFiles, state: object, check: bool) -> _Transcripts:
    """``state`` is of the files: changed ones are read again."""
    from pipelines.decoding.imported_index import Places
    from pipelines.decoding.imported_scores import Ids, Likelihoods

    kinds = {"json_lines": files.json_lines, "ctm": files.ctm, "text": files.text}
    places = [Places(kind, paths, check=check) for kind, paths in kinds.items() if paths]
    return _Transcripts(tuple(places), bool(files.text), Likelihoods(files.logs), Ids(files.utt2id))


def _digest(files: DecodedFiles) -> str:
    import xxhash

    whole = xxhash.xxh3_128()
    for path in files.all:
        content = xxhash.xxh3_128()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        whole.update(f"{path.name}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()
