"""``trimodal doctor``: what is wrong, and what mends it."""

import json
import sys
from pathlib import Path

import click

from pipelines.options import FOLDER


@click.command()
@click.argument("work", type=FOLDER, required=False)
@click.option(
    "--all-media",
    is_flag=True,
    help="Of a workspace: look for every media file, not for a sample of them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(work: Path | None, all_media: bool, as_json: bool) -> None:
    """Look at this machine, and at a workspace, and tell the command that mends each problem.

    Exit code 1 when there is a problem, 0 when there are warnings alone. Nothing is changed: a
    small file is made and deleted where trimodal writes.

    \b
    Example: trimodal doctor
    Example: trimodal doctor work/voxceleb2
    """
    from pipelines.doctor.machine import machine_checks
    from pipelines.doctor.report import as_object, final_line, has_problems, look
    from pipelines.screen import new_console

    console = None if as_json else new_console()
    groups = machine_checks()
    if work is not None:
        from pipelines.doctor.workspace import workspace_checks

        groups += workspace_checks(work, all_media=all_media)
    found = look(groups, console)
    if as_json:
        click.echo(json.dumps(as_object(found), indent=2, ensure_ascii=False))
    else:
        click.echo("")
        style = "red" if has_problems(found) else "green"
        click.secho(final_line(found), fg=style, bold=True)
    if has_problems(found):
        sys.exit(1)
