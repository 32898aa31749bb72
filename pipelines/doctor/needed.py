"""How many bytes the stages that are begun, or come next, will still write."""

from collections.abc import Sequence

from pipelines.manifest import Utterance
from pipelines.workspace import Workspace

USUAL_LENGTH_S = 7.8  # of VoxCeleb2: 2,360 h of 1,092,009 utterances
# Of a second of an utterance, as the paper's preset stores it (docs/features.md): 100 frames of 40
# float16, a picture of 4096, 3 words of 300, the letters of 3 words; decoded, words with times.
BYTES_A_SECOND = {
    "decode": 600.0,
    "audio": 8000.0,
    "video": 8200.0,
    "text": 1900.0,
    "targets": 20.0,
}
LEAST_BYTES_A_SHARD = 20_000


def bytes_needed(workspace: Workspace) -> float:
    """About that many, going by the shards there are, else by how long utterances are."""
    return sum(_of_stage(workspace, stage) for stage in workspace.stages)


def _of_stage(workspace: Workspace, stage: str) -> float:
    sizes = []
    for number in range(workspace.n_shards):
        path = workspace.output_path(number, stage)
        sizes.append(path.stat().st_size if path.is_file() else None)
    there = [n for n in sizes if n is not None]
    n_missing = len(sizes) - len(there)
    if there:
        return n_missing * sum(there) / len(there)
    if stage not in BYTES_A_SECOND:
        return 0.0
    seconds = _seconds(workspace.utterances)
    return seconds * BYTES_A_SECOND[stage] + LEAST_BYTES_A_SHARD * n_missing


def _seconds(utterances: Sequence[Utterance]) -> float:
    return sum(
        USUAL_LENGTH_S if u.end_s is None else max(0.0, u.end_s - u.start_s) for u in utterances
    )
