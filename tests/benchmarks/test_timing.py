"""The harness itself: what takes turns, what is printed. No benchmark is run, nothing timed."""

import json
import pkgutil
from importlib import import_module

import pytest

import benchmarks
from benchmarks.timing import Line, Options, Report, alternate, in_fresh_process, run


@pytest.mark.parametrize("name", [m.name for m in pkgutil.iter_modules(benchmarks.__path__)])
def test_every_benchmark_can_be_imported(name: str) -> None:
    if name != "__main__":
        import_module(f"benchmarks.{name}")


def test_rivals_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    medians = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert set(medians) == {"a", "b"}


@pytest.mark.parametrize(
    ("ratio", "more_is_better", "verdict"),
    [
        (2.0, True, ">= 2: reached"),
        (1.99, True, ">= 2: MISSED"),
        (2.0, False, "<= 2: reached"),
        (2.01, False, "<= 2: MISSED"),
    ],
)
def test_a_line_says_whether_its_target_is_reached(
    ratio: float, more_is_better: bool, verdict: str
) -> None:
    assert Line("k", "what", "1", "2", ratio, 2.0, more_is_better).verdict == verdict


def test_a_line_without_target_has_no_verdict() -> None:
    assert Line("k", "what", "1", "2", 3.0).verdict == ""


def test_the_last_line_of_json_holds_every_ratio(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Options] = []

    def one(options: Options) -> Report:
        asked.append(options)
        report = Report()
        report.lines("A table", [Line("one", "something", "1 s", "2 s", 0.5, 0.8)])
        return report

    def other(options: Options) -> Report:
        return Report(ratios={"two": 2.0})

    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick", "--json"])
    run(one, other)
    printed = capsys.readouterr().out
    assert asked == [Options(quick=True, json=True)]
    assert "something" in printed and "MISSED" in printed
    assert json.loads(printed.splitlines()[-1]) == {"one": 0.5, "two": 2.0}


def test_a_fresh_process_gives_its_result_back() -> None:
    assert in_fresh_process(pow, 2, 10) == 1024
