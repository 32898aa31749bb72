"""Synthetic speech for the demo: espeak-ng through ctypes, with its phoneme and word times.

espeak-ng is GPL-3, so it is no part of the base install: ``pip install trimodal[demo]`` brings
it. It is free of any service, speaks a hundred languages, and tells when each phoneme starts,
which is what makes it useful here: no alignment is ever needed.
"""

import _ctypes
import ctypes
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featurize.errors import UsageError

SAMPLE_RATE_HZ = 22050

# Numbers from espeak-ng's speak_lib.h (API revision 12).
_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CHARS_UTF8 = 1
_ENDPAUSE = 0x1000
_POS_CHARACTER = 1
_EVENT_LIST_TERMINATED, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7

# The separator asked of espeak_TextToPhonemes, in bits 8 to 23 of its mode.
_SEPARATOR = "|"

_unload = _ctypes.dlclose if hasattr(_ctypes, "dlclose") else _ctypes.FreeLibrary  # type: ignore
_VOICE_NAME = re.compile(r"^[A-Za-z]+(/[A-Za-z0-9-]+)*(\+[A-Za-z0-9]+)?$")


@dataclass(frozen=True)
class Voice:
    """How to speak. ``name`` is espeak-ng's path of a language, a variant behind a plus sign."""

    name: str = "gmw/en-US"
    rate_wpm: int = 165
    pitch: int = 50  # 0 (low) .. 99
    pitch_range: int = 50  # 0 (monotone) .. 99
    volume: int = 100  # 0 .. 200, 100 is normal

    def __post_init__(self) -> None:
        ranges = {
            "rate_wpm": (80, 450),
            "pitch": (0, 99),
            "pitch_range": (0, 99),
            "volume": (0, 200),
        }
        for field, (low, high) in ranges.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise UsageError(f"Voice.{field} must lie in {low}..{high}, not {value}")
        if not _VOICE_NAME.match(self.name):
            raise UsageError(f"voice {self.name!r} is not of the form gmw/en-US or gmw/en-US+f3")


@dataclass(frozen=True)
class Speech:
    """Synthesised samples and when its phonemes and words begin.

    ``samples`` int16 (n,); ``phonemes`` holds (start_s, symbol) in espeak's ASCII notation,
    stress marks included, where a leading underscore is a pause; ``words`` holds (start_s,
    text_offset, n_characters), the offset counted from 0. espeak-ng joins some pairs ("in the")
    in one word.
    """

    samples: np.ndarray
    sample_rate_hz: int
    phonemes: list[tuple[float, str]]
    words: list[tuple[float, int, int]]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Recorder:
    """Collects what espeak-ng hands to its callback."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.phonemes: list[tuple[float, str]] = []
        self.words: list[tuple[float, int, int]] = []
        self.callback = _CALLBACK(self._receive)

    def _receive(self, wav, n_samples: int, events) -> int:
        if wav and n_samples:
            self.blocks.append(np.ctypeslib.as_array(wav, (n_samples,)).copy())
        position = 0
        while events[position].type != _EVENT_LIST_TERMINATED:
            self._keep(events[position])
            position += 1
        return 0  # go on

    def _keep(self, event: _Event) -> None:
        start_s = event.sample / SAMPLE_RATE_HZ
        if event.type == _EVENT_PHONEME:
            self.phonemes.append((start_s, event.id.string.decode("utf-8", "replace")))
        elif event.type == _EVENT_WORD:
            self.words.append((start_s, event.text_position - 1, event.length))


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """Load espeak-ng, initialised, and unload it afterwards.

    Its static variables (flutter, echo, wave phase) survive espeak_Terminate and change what is
    said next; only loading the library anew, which takes about a millisecond, forgets them.
    """
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise UsageError(
            f"the demo's speech needs espeak-ng: run `pip install trimodal[demo]` ({error})"
        ) from error
    options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT
    data_path = espeakng_loader.get_data_path().encode()
    try:
        rate = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data_path, options)
        if rate != SAMPLE_RATE_HZ:
            raise UsageError(f"espeak-ng did not start ({rate}); reinstall trimodal[demo]")
        library.espeak_ng_SetRandSeed(1)
        yield library
        library.espeak_Terminate()
    finally:
        _unload(library._handle)


def _set_voice(library: ctypes.CDLL, voice: Voice) -> None:
    import espeakng_loader

    # espeak-ng falls back to the plain voice, without a word, when it lacks a variant.
    variant = voice.name.partition("+")[2]
    if variant and not (Path(espeakng_loader.get_data_path()) / "voices/!v" / variant).is_file():
        raise UsageError(f"espeak-ng has no voice variant {variant!r}; try +f3 or +m1")
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise UsageError(f"espeak-ng has no voice {voice.name!r}; try gmw/en-US or roa/fr")
    library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)
    library.espeak_SetParameter(_VOLUME, voice.volume, 0)
    library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)


def synthesise(text: str, voice: Voice) -> Speech:
    """Speak ``text``; the same text and voice always give the same samples.

    Raises UsageError when espeak-ng is not installed or has no such voice.
    """
    recorder = _Recorder()
    encoded = text.encode("utf-8") + b"\0"
    with _fresh_library() as library:
        _set_voice(library, voice)
        library.espeak_SetSynthCallback(recorder.callback)
        failed = library.espeak_Synth(
            encoded,
            ctypes.c_size_t(len(encoded)),
            0,
            _POS_CHARACTER,
            0,
            _CHARS_UTF8 | _ENDPAUSE,
            None,
            None,
        )
    if failed:
        raise UsageError(f"espeak-ng could not speak (error {failed}) in voice {voice.name!r}")
    samples = np.concatenate([*recorder.blocks, np.zeros(0, np.int16)])
    return Speech(samples, SAMPLE_RATE_HZ, recorder.phonemes, recorder.words)


def pronounce(texts: Sequence[str], voice: Voice) -> list[list[list[str]]]:
    """Phonemes of each text: for each of its words (some pairs joined) the list of symbols.

    The symbols are those of ``Speech.phonemes``, stress marks included, without any silence.
    Only the first clause of a text is read: give no punctuation.
    """
    with _fresh_library() as library:
        _set_voice(library, voice)
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        return [_pronounce_one(library, text) for text in texts]


def _pronounce_one(library: ctypes.CDLL, text: str) -> list[list[str]]:
    buffer = ctypes.create_string_buffer(text.encode("utf-8"))
    remaining = ctypes.c_void_p(ctypes.addressof(buffer))
    mode = ord(_SEPARATOR) << 8
    answer = library.espeak_TextToPhonemes(ctypes.byref(remaining), _CHARS_UTF8, mode) or b""
    return [word.split(_SEPARATOR) for word in answer.decode("utf-8").split()]
