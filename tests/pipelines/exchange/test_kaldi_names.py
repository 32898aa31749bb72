"""Kaldi's names: one an id, none with a blank, and sorted in step with the speakers' by `sort`."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.exchange.kaldi_names import kaldi_names, unique_names
from pipelines.manifest import Utterance


def of(*pairs: tuple[str, str]) -> dict[str, str]:
    """(speaker, id) -> the names of the ids."""
    return dict(kaldi_names([made(*pair) for pair in pairs]).utterances)


def made(speaker: str, utterance_id: str) -> Utterance:
    return Utterance(id=utterance_id, speaker=speaker, audio=None, video=None)


def test_the_usual_ids() -> None:
    """As Kaldi's make_voxceleb2.pl names them, and plain ones."""
    assert of(("id00012", "id00012/21U-sk_6VDQ/00001")) == {
        "id00012/21U-sk_6VDQ/00001": "id00012-21U-sk_6VDQ-00001"
    }
    assert of(("-3g5", "-3g5/1"), ("81406", "81406/10")) == {
        "-3g5/1": "=2D3g5-1",
        "81406/10": "81406-10",
    }
    assert of(("s 1", "\u00fc")) == {"\u00fc": "s=201-=C3=BC"}


def test_kaldis_own_ids_stay_unless_they_sort_out_of_step() -> None:
    own = ("1272-128104", "1272-128104-0000"), ("1272-135031", "1272-135031-0000")
    assert of(*own) == {utterance_id: utterance_id for _, utterance_id in own}
    out_of_step = of(("a", "a-z"), ("a-b", "a-b-c"))
    assert out_of_step == {"a-z": "a-a-z", "a-b-c": "a=2Db-a-b-c"}


def test_two_ids_that_would_be_one_name() -> None:
    assert of(("s", "s/a/b-c"), ("s", "s/a-b/c"), ("s", "s/d")) == {
        "s/a/b-c": "s-=.s=2Fa=2Fb=2Dc",
        "s/a-b/c": "s-=.s=2Fa=2Db=2Fc",
        "s/d": "s-d",
    }
    assert len(set(of(("a", "a/x"), ("a", "x")).values())) == 2


tricky = st.text("ab-+/=._A\u00fc ", min_size=0, max_size=5)
pairs = st.lists(
    st.tuples(tricky, tricky) | st.tuples(tricky, tricky).map(lambda t: (t[0], f"{t[0]}/{t[1]}")),
    min_size=1, max_size=8, unique_by=lambda pair: pair[1],
)  # fmt: skip


@given(pairs)
@settings(deadline=None)
def test_names_are_unique_and_sort_in_step(speakers_and_ids: list[tuple[str, str]]) -> None:
    names = kaldi_names([made(*pair) for pair in speakers_and_ids])
    found = list(names.utterances.values())
    assert len(set(found)) == len(speakers_and_ids)
    assert len(set(names.speakers.values())) == len(names.speakers)
    lines = sorted(
        (
            f"{names.utterances[i]} {names.speakers[speaker]}".encode()
            for speaker, i in speakers_and_ids
        )
    )
    assert all(len(line.split()) == 2 for line in lines)
    content = b"".join(line + b"\n" for line in lines)
    for order in (["-k1,1", "-u"], ["-k2"]):  # as validate_data_dir.sh asks
        checked = ["sort", "-C", *order]
        assert subprocess.run(checked, input=content, env={"LC_ALL": "C"}).returncode == 0


@given(st.lists(st.tuples(tricky, st.just(""), tricky), unique_by=lambda item: item[0]))
def test_unique_names_are_unique(items: list[tuple[str, str, str]]) -> None:
    names = unique_names(items)
    assert len(set(names.values())) == len(items)


def test_the_names_of_a_part_are_those_of_the_whole() -> None:
    whole = [made("s", f"s/{i}-{j}/{k}") for i in "ab" for j in "ab" for k in "ab"]
    assert kaldi_names(whole).utterances == kaldi_names(list(reversed(whole))).utterances
