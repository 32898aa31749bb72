"""Which utterances an export to Kaldi holds, and the words of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurize.errors import ShardError
from pipelines.manifest import Utterance, read_table
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Choice:
    """``which`` says in words what they are; ``texts`` is id -> words, None where there are none.

    Utterances that decoding rejected are without words.
    """

    which: str
    utterances: Sequence[Utterance]
    texts: Mapping[str, str] | None


def choose(workspace: Workspace) -> Choice:
    """As far as the workspace has come: those that ``select`` kept, else all of them.

    Raises:
        UsageError: the selection is of another manifest.
    """
    if workspace.is_transcribed:
        texts = {u.id: u.text or "" for u in workspace.utterances}
        return Choice("all, with transcripts", workspace.utterances, texts)
    decoded = _decoded(workspace)
    words = "without words" if decoded is None else "as decoded"
    if workspace.selected_path.is_file():
        shards = map(workspace.selected_shard, range(workspace.n_shards))
        kept = [utterance for shard in shards for utterance in shard]
        return Choice(f"those selected, {words}", kept, decoded)
    return Choice(f"all, {words}", workspace.utterances, decoded)


def _decoded(workspace: Workspace) -> dict[str, str] | None:
    """Id -> words of a workspace that is decoded as a whole."""
    texts = {}
    for number in range(workspace.n_shards):
        try:
            table = read_table(workspace.decode_path(number))
        except ShardError:
            return None
        if not workspace.is_current("decode", number, table):
            return None
        texts.update({row["id"]: row["text"] for row in table.rows})
    return texts
