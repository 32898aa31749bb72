"""What the line on the screen says while a run trains."""

import re

from pipelines.progress import epoch_bar


def line(epoch: int, share: float = 1.0, **figures) -> dict:
    told = {"train_loss": 1.5, "utterances_per_s": 512.3, "data_wait_share": 0.0123, "lr": 1e-3}
    return {"epoch": epoch, "epoch_share": share, **told, **figures}


def shown(capsys, lines: list[dict]) -> list[str]:
    with epoch_bar("pretrain") as progress:
        for one in lines:
            progress(one["epoch"], 4, one)
    return [text.strip() for text in re.split(r"[\r\n]+", capsys.readouterr().err) if text.strip()]


def test_a_line_has_the_figures_and_keeps_the_scores(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = [line(1, dev_loss=2.5, dev_cer=0.256), line(2, 0.5, partial=True)]
    last = shown(capsys, lines)[-1]
    assert last.startswith("pretrain, epoch 2/4:  38%|")
    assert "loss 1.5, 512 utt/s, data wait 1.2%, dev loss 2.5, CER 25.6%" in last
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", last)


def test_time_left_goes_by_what_was_done_since_the_start(capsys, monkeypatch) -> None:
    """A run that goes on from 3.5 of 4 epochs has done nothing yet, so no speed is known."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    first = shown(capsys, [line(4, 0.5, partial=True)])[-1]
    assert "88%" in first and "<?" in first


def test_each_seed_has_a_bar(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = [line(4, seed=0, dev_wa=0.75), line(1, 0.5, partial=True, seed=1)]
    last = shown(capsys, lines)[-1]
    assert last.startswith("pretrain, seed 1, epoch 1/4:  12%") and "WA" not in last


def test_of_several_processes_one_has_a_bar(capsys, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert shown(capsys, [line(1)]) == []
