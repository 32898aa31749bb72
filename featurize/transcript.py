"""Transcripts -> words: the same for the characters that the ASR head learns and for GloVe.

The rules, with examples, are the table in docs/features.md, "Text", which a test reads. What comes
out is lower-case words of a-z and apostrophe, which is the model's alphabet. Clitics stay whole
here (``don't``); ``featurize.glove`` cuts them for the look-up alone.
"""

import html
import re
import unicodedata

from featurize.spoken_numbers import say_numbers

# Stored in shards of text and targets: another value makes the older ones stale. Change it with
# every change of a rule.
NORMALISER = "2: numbers, times and money as words (docs/features.md, Text)"

CHARACTERS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bb\u02bc\u2032\u00b4`\uff07", "'")
    | dict.fromkeys("\u2010\u2011\u2212", "-")
    | dict.fromkeys("\u2012\u2014\u2015", " ")
    | dict.fromkeys("\u2122\u00ae\u00a9\u2120", "")
    | {"\u00df": "ss", "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe", "\u0152": "OE"}
    | {"\u00f8": "o", "\u00d8": "O", "\u0142": "l", "\u0141": "L", "\u0111": "d", "\u0110": "D"}
    | {"\u00f0": "d", "\u00d0": "D", "\u00fe": "th", "\u00de": "Th", "\u0131": "i"}
    | {"\u00bd": " 1/2 ", "\u00bc": " 1/4 ", "\u00be": " 3/4 ", "\u2116": " number "}
)
RANGE = re.compile(r"(?<=[0-9])\s?\u2013\s?(?=[0-9])")

# Symbols of decoders and annotators. Sources: the lexicons of Kaldi's recipes for LibriSpeech, WSJ
# (<UNK>, !SIL), Switchboard ([laughter], [laughter-yeah]), TED-LIUM ({SMACK}), Vosk's [unk], and
# IBM's %HESITATION.
NO_WORD = re.compile(
    r"<[^<>\s]{1,40}>|\[[^\[\]]{0,80}\]|\{[^{}]{0,80}\}|(?<!\S)(?:![A-Za-z_]+|%HESITATION)(?!\S)"
)
LAUGHED = re.compile(r"\[laughter-([^\[\]\s]+)\]", re.IGNORECASE)
UNSAID = re.compile(r"(?<=[A-Za-z])\[[\w']+\](?=-)|(?<=-)\[[\w']+\](?=[A-Za-z])")
ASIDE = re.compile(r"\(([^()]{0,80})\)|\*([^*]{1,80})\*")
EVENTS = frozenset([
    "applause", "background", "breath", "breathes", "breathing", "breaths", "chatter",
    "cheering", "cheers", "chuckle", "chuckles", "chuckling", "clapping", "clears", "cough",
    "coughing", "coughs", "cries", "cross", "crosstalk", "crying", "gasp", "gasps", "inaudible",
    "indiscernible", "laugh", "laughing", "laughs", "laughter", "music", "noise", "noises",
    "pause", "sigh", "sighing", "sighs", "sil", "silence", "smack", "sneeze", "sneezes",
    "sniff", "sniffs", "speech", "spoken", "stutter", "stutters", "talk", "throat",
    "unintelligible", "unk", "unknown",
])  # fmt: skip

ENDS_CUT = re.compile(
    r"(?<!\S)(?:[A-Za-z'][A-Za-z']*-)+(?=[,.;:?!]*(?:\s|$))(?!\s+(?:and|or|to)\b)", re.IGNORECASE
)
BEGINS_CUT = re.compile(r"(?<!\S)-(?![A-Z](?:[a-z'\s]|$))[A-Za-z][\w'-]*")

SHORT_FORMS = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "prof": "professor", "vs": "versus",
    "etc": "et cetera",
}  # fmt: skip
SIGNS = {"%": "percent", "&": "and", "@": "at", "+": "plus", "=": "equals", "\u00b0": "degrees"}
SIGN = re.compile("|".join(map(re.escape, SIGNS)))
NUMBER_SIGN = re.compile(r"#(?=[0-9])")
PLAIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
CLITICS = frozenset(["n't", "'s", "'m", "'re", "'ve", "'ll", "'d"])


def normalise_transcript(text: str) -> list[str]:
    """Words of a transcript, or of one word of it, in a-z and apostrophe.

    >>> normalise_transcript("Don't STOP: it's 21% [noise] off!")
    ["don't", 'stop', "it's", 'twenty', 'one', 'percent', 'off']

    Normalising the result again changes nothing. It has at most 20 times the characters of
    ``text`` (one that stands for "three quarters").
    """
    if PLAIN_WORD.fullmatch(text):  # as most decoded words are: 20 times as fast
        return SHORT_FORMS.get(text, text).split()
    text = _without_no_words(_plain(text))
    text = BEGINS_CUT.sub(" ", ENDS_CUT.sub(" ", text)).lower()
    text = say_numbers(NUMBER_SIGN.sub(" number ", text))
    text = SIGN.sub(lambda m: f" {SIGNS[m[0]]} ", text)
    words = _words(re.sub(r"[^a-z']", " ", text).split())
    return [said for word in words for said in SHORT_FORMS.get(word, word).split()]


def is_no_word(symbol: str) -> bool:
    """Whether a decoder's word is a symbol for something else: <UNK>, [noise], (laughter), !SIL.

    >>> [is_no_word(symbol) for symbol in ("<eps>", "[laughter-yeah]", "yes")]
    [True, False, False]
    """
    return not _without_no_words(symbol).strip()


def _plain(text: str) -> str:
    """Letters without accents or HTML's names; apostrophes, hyphens and digits of one shape."""
    text = RANGE.sub(" to ", html.unescape(text)).replace("\u2013", " ").translate(CHARACTERS)
    letters = unicodedata.normalize("NFKD", text).translate(CHARACTERS)
    return "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Cf"))


def _without_no_words(text: str) -> str:
    text = LAUGHED.sub(r" \1 ", UNSAID.sub("", text))
    return ASIDE.sub(_aside, NO_WORD.sub(" ", text))


def _aside(match: re.Match[str]) -> str:
    """Nothing for an event, such as (clears throat); else what stands in the brackets."""
    content = match[1] if match[1] is not None else match[2]
    said = re.findall(r"[^\W\d_]+", content.lower())
    return " " if said and EVENTS.issuperset(said) else f" {content} "


def _words(raw: list[str]) -> list[str]:
    """Without outer apostrophes, and with the clitics of a tokeniser joined on: do n't, it 's."""
    words: list[str] = []
    for word in raw:
        word = word if word in CLITICS else word.strip("'")
        if word in CLITICS and words:
            words[-1] += word
        elif word.strip("'"):
            words.append(word.strip("'"))
    return words
