"""espeak-ng through ctypes: what it says, when, and always the same."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurize.errors import UsageError
from pipelines.demo.speech import SAMPLE_RATE_HZ, Voice, pronounce, synthesise

pytest.importorskip("espeakng_loader")

SENTENCE = "she sells sea shells near the house"
LANGUAGES = ("gmw/en-US", "gmw/de", "roa/fr", "roa/es", "roa/it", "gmw/nl")


def bare(symbols):
    return [symbol.lstrip("',%=") for symbol in symbols if symbol.strip("_:;|")]


@pytest.mark.parametrize("name", [*LANGUAGES, "gmw/en-US+f3", "gmw/en-GB-x-rp+klatt2"])
def test_every_voice_speaks_at_a_sane_rate_and_level(name):
    speech = synthesise(SENTENCE, Voice(name, rate_wpm=165))
    assert speech.sample_rate_hz == SAMPLE_RATE_HZ == 22050
    assert speech.samples.dtype == np.int16 and speech.samples.ndim == 1
    assert 1.5 < speech.duration_s < 5.0  # seven words at 165 words a minute take 2.5 s
    assert 500 < np.std(speech.samples.astype(float)) < 15_000


@given(
    before=st.lists(st.sampled_from(["ah", "one two three", "ssh sixty six", ""]), max_size=3),
    voice_before=st.sampled_from(["gmw/en-US+croak", "roa/fr", "gmw/en+klatt2"]),
    voice=st.sampled_from(["gmw/en-US+whisper", "gmw/en-US", "gmw/de+f2"]),
)
@settings(max_examples=15, deadline=None)
def test_the_past_is_never_heard(before, voice_before, voice):
    fresh = synthesise(SENTENCE, Voice(voice))
    for text in before:
        synthesise(text, Voice(voice_before, rate_wpm=300, pitch=80, volume=50))
    again = synthesise(SENTENCE, Voice(voice))
    assert np.array_equal(fresh.samples, again.samples)
    assert fresh.phonemes == again.phonemes and fresh.words == again.words


def test_another_process_says_the_same():
    code = (
        "import zlib; from pipelines.demo.speech import Voice, synthesise;"
        f"print(zlib.crc32(synthesise({SENTENCE!r}, Voice()).samples.tobytes()))"
    )
    answers = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1


def test_times_rise_and_lie_within_the_speech():
    speech = synthesise(SENTENCE, Voice())
    for starts_s in ([t for t, _ in speech.phonemes], [t for t, _, _ in speech.words]):
        assert starts_s == sorted(starts_s)
        assert starts_s[0] >= 0 and starts_s[-1] <= speech.duration_s + 1 / SAMPLE_RATE_HZ
    words = [SENTENCE[offset : offset + n] for _, offset, n in speech.words]
    assert words[:5] == ["she", "sells", "sea", "shells", "near"] and words[-1] == "house"


def test_fricatives_are_where_the_events_say():
    # A hissing s has most of its energy above 3 kHz, a vowel below: an independent clock.
    speech = synthesise("see saw", Voice("gmw/en-US", rate_wpm=120))
    starts_s = [t for t, _ in speech.phonemes] + [speech.duration_s]

    def high_share(i):
        a, b = (int(t * SAMPLE_RATE_HZ) for t in starts_s[i : i + 2])
        power = np.abs(np.fft.rfft(speech.samples[a:b].astype(float))) ** 2
        hz = np.fft.rfftfreq(b - a, 1 / SAMPLE_RATE_HZ)
        return power[hz > 3000].sum() / power.sum()

    symbols = [symbol for _, symbol in speech.phonemes]
    assert bare(symbols) == ["s", "i:", "s", "O:"]
    shares = [high_share(i) for i, symbol in enumerate(symbols) if bare([symbol])]
    assert min(shares[0], shares[2]) > 0.5 > 0.2 > max(shares[1], shares[3])


@given(
    st.lists(st.sampled_from(["house", "window", "yellow", "seven", "garden", "music"]), min_size=1)
)
@settings(max_examples=20, deadline=None)
def test_pronounce_agrees_with_the_events_spoken(words):
    text = " ".join(words[:5])
    spoken = bare(symbol for _, symbol in synthesise(text, Voice()).phonemes)
    [read] = pronounce([text], Voice())
    assert bare(symbol for word in read for symbol in word) == spoken


def test_rate_pitch_and_volume_do_what_they_say():
    slow, fast = (synthesise(SENTENCE, Voice(rate_wpm=r)).duration_s for r in (110, 260))
    assert slow > 1.6 * fast
    loud, soft = (np.std(synthesise(SENTENCE, Voice(volume=v)).samples) for v in (100, 25))
    assert loud > 2 * soft

    def fundamental_hz(pitch):  # the peak of the cepstrum between 45 and 300 Hz
        speech = synthesise("ah", Voice("gmw/en-US", rate_wpm=80, pitch=pitch, pitch_range=0))
        x = speech.samples[2000:6096] * np.hanning(4096)
        cepstrum = np.fft.irfft(np.log(np.abs(np.fft.rfft(x)) + 1e-3))
        shortest, longest = SAMPLE_RATE_HZ // 300, SAMPLE_RATE_HZ // 45
        return SAMPLE_RATE_HZ / (shortest + np.argmax(cepstrum[shortest:longest]))

    assert fundamental_hz(50) > 1.3 * fundamental_hz(10)


def test_silence_is_empty_but_well_formed():
    speech = synthesise("", Voice())
    assert speech.samples.dtype == np.int16 and speech.words == []


@pytest.mark.parametrize("name", ["zz/zz", "gmw/en-US+nosuch", "../../etc/passwd", "gmw/en;ls", ""])
def test_unknown_voices_are_refused(name):
    with pytest.raises(UsageError, match="voice"):
        synthesise("hello", Voice(name))


def test_settings_out_of_range_are_named():
    with pytest.raises(UsageError, match="pitch must lie in 0..99, not 100"):
        Voice(pitch=100)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UsageError, match=r"pip install trimodal\[demo\]"):
        synthesise("hello", Voice())
