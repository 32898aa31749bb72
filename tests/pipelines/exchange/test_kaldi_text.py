"""Words as a Kaldi text can hold them, by the tests that validate_data_dir.sh makes."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.exchange.kaldi_text import kaldi_text


def test_text() -> None:
    assert kaldi_text("It's  <s> Monday,\n\u00a0he \u200bsaid #0 </s>.") == "It's Monday, he said ."
    assert kaldi_text("a<s>b #00") == "a<s>b #00"


pieces = st.sampled_from(
    ["<s>", "</s>", "#0", "<", ">", "#", "0", "s", "-", " ", "\u2028", "\x07", "\u00e9"]
)


@given(st.lists(pieces).map("".join) | st.text())
@settings(deadline=None)
def test_any_text_becomes_one_that_kaldi_takes(text: str) -> None:
    found = kaldi_text(text)
    assert found == kaldi_text(found) == " ".join(found.split())
    assert found.isprintable()
    for symbol in ("<s>", "</s>", "#0"):
        if symbol in found:  # inside of a word
            grep = subprocess.run(["grep", "-w", "-q", symbol], input=found.encode())
            assert grep.returncode == 1
