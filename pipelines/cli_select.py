"""``trimodal select``: which decoded utterances are kept as English."""

from pathlib import Path

import click

from pipelines import launch
from pipelines.decoding.scores import NAMES, PER_FRAME
from pipelines.options import FILE, FOLDER, settings_options
from pipelines.screen import printable_lines


@click.command()
@click.argument("work", type=FOLDER)
@click.option("--score", type=click.Choice(NAMES), help=f"Go by this one [default: {PER_FRAME}].")
@click.option("--threshold", type=float, help="Keep from this score on.")
@click.option("--keep-fraction", type=click.FloatRange(0, 1), help="Keep this best share.")
@click.option(
    "--calibrate",
    metavar="CSV",
    type=FILE,
    help="Learn from utterances of known language (id,language): logistic regression over all "
    "scores; keeps what is English from the point with the best F1 on.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --calibrate: the lowest point of this precision instead.",
)
@click.option(
    "--languages",
    metavar="CSV",
    type=FILE,
    help="Known languages (id,language) that score the choice and every score.",
)
@click.option(
    "--compare",
    metavar="LIST",
    type=FILE,
    help="Published ids, one a line, such as AV-HuBERT's English ones: how far both agree.",
)
@settings_options
def select(
    work: Path, score: str | None, threshold: float | None, keep_fraction: float | None,
    calibrate: Path | None, precision: float | None, languages: Path | None, compare: Path | None,
    preset: str, config_file: Path | None,
) -> None:  # fmt: skip
    """Keep the utterances whose decoding says English.

    Without a threshold or a share, Otsu's threshold on the scores. Look at
    WORK/select/histogram.png before you trust it.

    \b
    Example: trimodal select work/voxceleb2 --keep-fraction 0.9
    Example: trimodal select work/voxceleb2 --calibrate labelled.csv --precision 0.99
    """
    from pipelines.progress import progress_bar
    from pipelines.select import Wish
    from pipelines.select import select as run
    from pipelines.settings import SelectSettings, Settings

    given = (threshold, keep_fraction, calibrate)
    settings = SelectSettings(score, threshold, keep_fraction)
    if all(one is None for one in given):  # one flag beats the settings of a file
        settings = Settings(preset, config_file).section("select", SelectSettings, score=score)
    wish = Wish(settings.score, settings.threshold, settings.keep_fraction, calibrate, precision)
    with (
        launch.alone(work, "select", makes_it=False),
        progress_bar("select", None, "shards") as advance,
    ):
        lines = run(work, wish, languages=languages, compare=compare, progress=advance)
    for line in lines:
        click.echo(printable_lines(line))
