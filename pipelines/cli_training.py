"""The commands that train and score: pretrain, finetune and evaluate."""

from pathlib import Path

import click

from pipelines import launch
from pipelines.options import FOLDER, device_option, redo_option, settings_options


@click.command()
@click.argument("work", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--max-epochs", type=int)
@click.option("--seed", type=int)
@click.option(
    "--unseen-speakers",
    "unseen",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the speakers to hold out: the character error rate is theirs.",
)
@device_option
@settings_options
@redo_option
def pretrain(
    work: Path, run: Path, max_epochs: int | None, seed: int | None, unseen: float, device: str,
    preset: str, config_file: Path | None, redo: bool,
) -> None:  # fmt: skip
    """Train the multitask model: character recognition and speaker.

    SIGTERM and Ctrl-C save a checkpoint and end with exit code 75; the same command goes on.
    On several GPUs it is started by torchrun: see docs/training.md.

    \b
    Example: trimodal pretrain work/voxceleb2 runs/pretrained
    """
    from pipelines.pretrain import pretrain as train_model
    from pipelines.progress import epoch_bar, tell

    model, train = launch.training_settings(
        work, "pretrain", preset, config_file, max_epochs=max_epochs, seed=seed
    )
    with launch.alone(run, "train"), epoch_bar("pretrain") as progress:
        summary = train_model(
            work, run, model=model, train=train, unseen=unseen, redo=redo, device=device,
            progress=progress, tell=tell,
        )  # fmt: skip
    tell(launch.run_line(summary))


@click.command()
@click.argument("work", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--init", type=FOLDER, help="Pretraining run to start from [default: from scratch].")
@click.option(
    "--model",
    "kind",
    type=click.Choice(["crossmodal", "late-fusion"]),
    default="crossmodal",
    show_default=True,
)
@click.option(
    "--task", type=click.Choice(["emotion", "sentiment"]), default="emotion", show_default=True
)
@click.option(
    "--weights",
    metavar="A,V,T|learned",
    help="Of audio, video and text in the encoder's sum: numbers such as 0.4,0.4,0.2, "
    "or learned [default: equal].",
)
@click.option(
    "--train-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    help="Train on this share of the labelled segments [default: all].",
)
@click.option(
    "--fraction-seed",
    type=click.IntRange(0),
    help="Which share: of one seed a smaller one is part of a larger [default: 0].",
)
@click.option(
    "--n-seeds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Random initialisations, seeds 0 to N-1.",
)
@click.option("--max-epochs", type=int)
@device_option
@settings_options
@redo_option
def finetune(
    work: Path, run: Path, init: Path | None, kind: str, task: str, weights: str | None,
    train_fraction: float | None, fraction_seed: int | None, n_seeds: int, max_epochs: int | None,
    device: str, preset: str, config_file: Path | None, redo: bool,
) -> None:  # fmt: skip
    """Train models of emotions, or of sentiment, on CMU-MOSEI: one a seed.

    \b
    Example: trimodal finetune work/mosei runs/embeddings --init runs/pretrained
    """
    from pipelines.finetune import finetune as train_models
    from pipelines.progress import epoch_bar, tell

    model, train = launch.training_settings(
        work, "finetune", preset, config_file, max_epochs=max_epochs,
        train_fraction=train_fraction, fraction_seed=fraction_seed,
    )  # fmt: skip
    if weights is not None:
        model = launch.with_weights(model, kind, weights)
    with launch.alone(run, "train"), epoch_bar(f"finetune {kind}") as progress:
        summary = train_models(
            work, run, kind=kind, task=task, init=init, seeds=range(n_seeds), model=model,
            train=train, redo=redo, device=device, progress=progress, tell=tell,
        )  # fmt: skip
    tell(
        f"{run}: {summary['status']}; {n_seeds} runs on {summary['n_train']} segments"
        + launch.left_out(summary)
    )


@click.command()
@click.argument("work", type=FOLDER)
@click.argument("run", type=FOLDER)
@device_option
@redo_option
def evaluate(work: Path, run: Path, device: str, redo: bool) -> None:
    """Choose thresholds and the best run on dev, then score test, with ablations.

    \b
    Example: trimodal evaluate work/mosei runs/embeddings
    """
    from pipelines.evaluate import evaluate as score
    from pipelines.progress import step_bar

    with launch.alone(run, "evaluate", makes_it=False), step_bar("evaluate") as progress:
        result = score(work, run, device=device, redo=redo, progress=progress)
    click.echo(f"{run}: best seed {result['best_seed']}; {launch.on_test(result)}")
