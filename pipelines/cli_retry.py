"""``trimodal retry``: what was rejected, once more."""

from pathlib import Path
from typing import Any

import click

from featurize.errors import UsageError
from pipelines import launch
from pipelines.options import FOLDER, StageOptions


@click.command()
@click.argument("work", type=FOLDER)
@click.option("--reason", metavar="TEXT", help="Those whose reason has this text in it.")
@click.option(
    "--stage",
    type=click.Choice(["decode", "audio", "video", "text", "targets"]),
    help="Those of this stage.",
)
@click.option("--all", "all_of_them", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Only show what would be run.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes [default: all cores].")
def retry(
    work: Path, reason: str | None, stage: str | None, all_of_them: bool, dry_run: bool,
    jobs: int | None,
) -> None:  # fmt: skip
    """Run rejected utterances again, with the settings that their shards were made with.

    Without --reason, --stage or --all it lists them. Whole shards are made again, so that the
    result is that of a run without the fault; rejects of other reasons in them are tried as well.

    \b
    Example: trimodal retry work/voxceleb2
    Example: trimodal retry work/voxceleb2 --stage decode --reason "permission denied"
    """
    from pipelines.embedded import Embedded, open_workspace
    from pipelines.retry.changed import refuse_changed
    from pipelines.retry.rejected import find_rejected, prepare_rejects
    from pipelines.retry.report import print_rejects
    from pipelines.retry.settings import is_imported, of_imported

    workspace = open_workspace(work)
    if isinstance(workspace, Embedded):
        command = " ".join(["trimodal", *workspace.command(), "--redo"])
        raise UsageError(f"{work}: was made by embed; `{command}` tries its rejects again")
    found = find_rejected(workspace, stage, reason)
    unlisted = prepare_rejects(workspace, reason) if stage is None else []
    is_chosen = all_of_them or reason is not None or stage is not None
    if dry_run or not is_chosen or not found:
        print_rejects(workspace, found, unlisted)
        for line in _advice(workspace, found, unlisted, is_chosen):
            click.echo(line)
        return
    refuse_changed(workspace, found)
    if imported := [one for one in found if is_imported(one)]:
        found = [one for one in found if not is_imported(one)]
        launch.notes([of_imported(imported)])
    if found:
        _run(workspace, found, jobs)
    if unlisted:
        click.echo(_of_prepare(workspace, unlisted))


def _run(workspace: Any, found: Any, jobs: int | None) -> None:
    from pipelines.retry.report import later_commands, print_outcome, still_rejected
    from pipelines.retry.settings import again

    groups = again(workspace, found)  # all of them are checked before the first is run
    stage = StageOptions(jobs, None, None, None, "loky", None, redo=True, max_reject_share=1.0)
    for group in groups:
        n_jobs = _prepared_jobs(group)
        name = group.stage  # of the lock too: no other command makes these shards meanwhile
        launch.run_data_stage(
            workspace.root, name, group.units, group.work, stage, default_jobs=n_jobs
        )
    still = still_rejected(workspace, found)
    print_outcome(found, still)
    mended = {one.stage for one in found for r in one.rejects if (one.stage, r.id) not in still}
    if later := later_commands(workspace, mended):
        click.echo("what stands on these words is of before; to bring it up:")
        for command in later:
            click.echo(f"  {command}")


def _prepared_jobs(group: Any) -> int | None:
    """Does what the stage's own command does before its workers start; how many of them."""
    if group.stage == "text":
        from pipelines.word_vectors import make_ready

        make_ready(str(group.settings.text.glove))
    if group.stage == "video":
        from pipelines.extract import n_devices

        return n_devices(group.settings.device)
    return None


def _advice(workspace: Any, found: Any, unlisted: Any, is_chosen: bool) -> list[str]:
    shards = {(one.stage, one.shard) for one in found}
    n = sum(len(one.rejects) for one in found)
    if not found and not unlisted:
        return [f"{workspace.root}: no reject{' of these' if is_chosen else ''}"]
    lines = []
    if found:
        what = f"{n:,} rejects in {len(shards):,} shards, which would be made again"
        how = "leave out --dry-run" if is_chosen else "add --all, or choose by --stage or --reason"
        lines.append(f"nothing was run: {what}; {how}")
    return lines + ([_of_prepare(workspace, unlisted)] if unlisted else [])


def _of_prepare(workspace: Any, unlisted: Any) -> str:
    from pipelines.retry.report import prepare_command

    return (
        f"rejected by prepare, which alone can list them: {len(unlisted):,}; mend them and run "
        f"`{prepare_command(workspace)}`; more utterances are another shuffle, so that all shards "
        "are then made again"
    )
