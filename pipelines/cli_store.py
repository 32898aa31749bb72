"""The commands that look into the shard store: verify and inspect."""

import json
from pathlib import Path

import click

from featurize.errors import ShardError
from featurize.printable import printable
from pipelines import launch
from pipelines.options import FILE, FOLDER, parallel_options


@click.command()
@click.argument("work", type=FOLDER)
@parallel_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every damaged utterance.")
def verify(work: Path, jobs: int | None, shards: str | None, as_json: bool) -> None:
    """Read every file again and check it; name what is damaged, and how to mend it.

    Exit code 0 when all is sound, 1 when something is damaged. Nothing is written.

    \b
    Example: trimodal verify work/voxceleb2 --jobs 8
    """
    from joblib import cpu_count

    from pipelines.embedded import open_workspace
    from pipelines.progress import progress_bar
    from pipelines.verify.check import verify as check
    from pipelines.verify.mending import commands
    from pipelines.verify.report import as_object, final_line, lines
    from pipelines.verify.workspace_files import list_files

    found = list_files(open_workspace(work))
    chosen = frozenset(launch.chosen_shards(found.n_shards, shards))
    n_bytes = sum(file.n_bytes for file in found.chosen(chosen))
    with progress_bar("verify", n_bytes, "B") as advance:
        result = check(found, chosen, jobs=jobs or cpu_count(), progress=advance)
    mending = commands(work, result)
    if as_json:
        click.echo(json.dumps(as_object(result, mending), indent=2, ensure_ascii=False))
    else:
        for line in lines(result, mending):
            click.echo(printable(line))
    if not result.is_sound:
        raise ShardError(final_line(result))
    if not as_json:
        click.echo(final_line(result))


@click.command()
@click.argument("shard", type=FILE)
@click.option("--utterance", metavar="ID", help="Whose values to show [default: the first one].")
@click.option(
    "--picture", type=FILE, help="Where to draw it [default: inspect.png in this folder]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the ids of all utterances.")
def inspect(shard: Path, utterance: str | None, picture: Path | None, as_json: bool) -> None:
    """Show what a shard holds, and draw one utterance: LFBE, frames' norms, words over time.

    SHARD is one file; the shards of the same number beside it are looked at as well. Embeddings are
    told, not drawn.

    \b
    Example: trimodal inspect work/mosei/features/shard-00042.audio.h5 --utterance -3g5yACwYnA/4
    """
    from pipelines.inspect.report import print_shard, print_utterance
    from pipelines.inspect.shard import shard_facts
    from pipelines.inspect.utterance import see, utterance_facts
    from pipelines.workspace import EMBEDDINGS

    facts = shard_facts(shard)
    if not as_json:
        print_shard(facts)
    seen = see(shard, utterance)
    told = utterance_facts(seen) if seen else None
    drawn = _picture_path(shard, picture) if seen and EMBEDDINGS not in seen.arrays else None
    if as_json:
        told = told and {**told, "picture": str(drawn) if drawn else None}
        click.echo(json.dumps({**facts, "utterance": told}, indent=2, ensure_ascii=False))
    elif told:
        print_utterance(told)
    if seen and drawn:
        from pipelines.inspect.picture import picture as draw

        draw(seen, drawn)
        click.echo(f"picture: {drawn}", err=as_json)
    elif seen and EMBEDDINGS not in seen.arrays:
        click.echo("no picture: this folder is inside the workspace; give --picture PATH", err=True)


def _picture_path(shard: Path, asked: Path | None) -> Path | None:
    """Where to draw; None when nobody asked and the current folder is the workspace's."""
    if asked is not None:
        return asked
    features = shard.resolve().parent
    workspace = features.parent if features.name == "features" else features
    return None if Path.cwd().is_relative_to(workspace) else Path("inspect.png")
