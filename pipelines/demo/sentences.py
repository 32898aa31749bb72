"""What the demo's speakers say: neutral English, and English that names or hides emotions.

Every English sentence is built from the phrases below, so ``vocabulary()`` is complete by
construction; all its words are common ones, found in any GloVe table. Words are lower case,
without apostrophes or punctuation, as a transcript has them.
"""

from collections.abc import Sequence

import numpy as np

OPENINGS = (
    "i think", "i know that", "you can see that", "people say that", "in the end", "last year",
    "at first", "to be honest", "as a rule", "most of the time", "in my opinion", "after that",
    "on the other hand", "some time ago", "as you know", "in general", "for example", "this week",
    "they told me that", "i remember that", "we found out that", "from what i hear",
)  # fmt: skip
SUBJECTS = (
    "my brother", "the teacher", "our neighbor", "her father", "the manager", "a young man",
    "the doctor", "my old friend", "the whole family", "this company", "the new team",
    "the driver", "a small group", "the president", "his sister", "the writer", "the student",
    "every customer", "the farmer", "a woman from the city", "the captain", "my uncle",
    "the music band", "the officer", "the local bank", "their daughter", "the nurse", "the actor",
)  # fmt: skip
PAST_VERBS = (
    "bought", "sold", "found", "lost", "built", "opened", "closed", "moved", "painted", "watched",
    "carried", "visited", "described", "changed", "finished", "brought", "checked", "cleaned",
    "ordered", "followed", "planned", "noticed", "remembered", "explained", "studied", "saved",
)  # fmt: skip
BASE_VERBS = (
    "buy", "sell", "find", "keep", "build", "open", "close", "move", "paint", "watch", "carry",
    "visit", "describe", "change", "finish", "bring", "check", "clean", "order", "follow", "plan",
    "use", "share", "choose", "study", "improve",
)  # fmt: skip
MODALS = ("will", "can", "should", "could", "has to", "wants to", "used to", "may", "must")
ADJECTIVES = (
    "old", "new", "little", "large", "green", "white", "empty", "modern", "simple", "heavy",
    "quiet", "wooden", "famous", "cheap", "short", "long", "second", "usual", "public", "black",
    "blue", "narrow", "early", "foreign", "single", "yellow", "important", "common",
)  # fmt: skip
OBJECTS = (
    "house", "car", "table", "book", "letter", "picture", "garden", "kitchen", "computer", "boat",
    "bridge", "horse", "window", "camera", "school", "museum", "market", "paper", "program",
    "machine", "ticket", "building", "store", "office", "church", "record", "piano", "bottle",
    "map", "project", "hospital", "newspaper", "telephone", "door", "box", "clock", "train",
)  # fmt: skip
PLACES = (
    "near the river", "in the center of town", "at the station", "on the third floor",
    "behind the library", "across the street", "at the university", "on the main road",
    "by the lake", "in the north of the country", "next to the airport", "in the village",
    "under the tree", "at the corner", "along the coast", "in a small room", "at home",
    "outside the city", "in the south", "on the island",
)  # fmt: skip
TIMES = (
    "on monday", "in the morning", "before lunch", "last summer", "two days later", "every evening",
    "at ten", "during the winter", "in april", "for three weeks", "on the weekend", "at night",
    "after the meeting", "four years ago", "since october", "around noon", "within an hour",
    "next tuesday", "in a few minutes", "until september", "once a month", "in the afternoon",
)  # fmt: skip
TAILS = (
    "with a group of friends", "for the first time", "without any help", "because of the weather",
    "to save some money", "for a good reason", "with great care", "and went back to work",
    "and then took a walk", "by the end of the day", "like everyone else", "for about six dollars",
    "so we can talk about it", "and wrote it down", "as part of the job",
)  # fmt: skip

# What a reviewer talks about in the MOSEI-like corpus, when no emotion is being put in words.
TOPICS = (
    "the movie is two hours long", "this phone came out in may", "the book has twelve chapters",
    "the show starts at eight", "they changed the price", "the camera is on the back",
    "we tried the new restaurant", "the company made a statement", "this is the third part",
    "the story is set in london", "it comes with a box", "he plays the main part",
    "the meeting was about taxes", "they play it on the radio", "my class read the report",
    "we looked at the numbers", "the game runs on a computer", "she wrote the second song",
)  # fmt: skip
PLAIN_ENDINGS = (
    "as i said before", "and that is all", "like the last one", "so now you know",
    "for those who asked", "and here is the list", "as the title says", "you can look it up",
)  # fmt: skip

# Several wordings an emotion, from plain naming to hints that two emotions share.
EMOTION_PHRASES: dict[str, tuple[str, ...]] = {
    "happy": (
        "i am so happy with it", "it was wonderful and fun", "i really love it",
        "we had a great laugh", "it made me smile", "what a beautiful gift",
        "i enjoyed every minute", "we are glad and proud", "it is a lovely happy thing",
    ),
    "sad": (
        "it made me very sad", "i cried for hours", "i miss him so much", "what a sad loss",
        "we are lonely and hurt", "it broke my heart", "i feel sorry for her",
        "sadly it is a tragedy", "there was so much grief and pain",
    ),
    "anger": (
        "it makes me so angry", "i hate those stupid lies", "they are idiots and liars",
        "i am mad and furious", "that is an outrage", "stop blaming us", "what angry nonsense",
        "we are fed up and upset", "it is a damn insult",
    ),
    "surprise": (
        "wow i did not expect that", "it was a shock and a surprise", "suddenly it was amazing",
        "i was so surprised", "nobody believed it", "what an incredible twist",
        "i was stunned", "that came out of nowhere",
    ),
    "disgust": (
        "it was disgusting", "that is gross and dirty", "what awful ugly garbage",
        "the smell was horrible", "it makes me sick", "such a nasty rotten thing",
        "i find it vile and shameful", "it tasted terrible",
    ),
    "fear": (
        "i was really scared", "it is a terrifying threat", "we are afraid and worried",
        "i fear the danger", "it gave me nightmares", "they panic and hide",
        "i am nervous and frightened", "my hands were shaking in fear",
    ),
}  # fmt: skip
JOINERS = ("and", "but", "so", "then")

_NEUTRAL_TEMPLATES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (SUBJECTS, PAST_VERBS, ("the", "a", "that"), ADJECTIVES, OBJECTS, PLACES, TIMES),
    (OPENINGS, SUBJECTS, MODALS, BASE_VERBS, ("the", "this"), OBJECTS, TIMES),
    (OPENINGS, SUBJECTS, PAST_VERBS, ("the", "our"), OBJECTS, TAILS),
    (SUBJECTS, MODALS, BASE_VERBS, ("the", "your"), ADJECTIVES, OBJECTS, PLACES),
    (SUBJECTS, PAST_VERBS, ("the", "my"), OBJECTS, TIMES, TAILS),
)
MAX_EMOTION_PHRASES = 3  # more would not fit a segment of about four seconds


def english_sentence(rng: np.random.Generator) -> str:
    """A neutral English sentence of about 9 to 15 words."""
    template = _NEUTRAL_TEMPLATES[rng.integers(len(_NEUTRAL_TEMPLATES))]
    sentence = " ".join(_pick(phrases, rng) for phrases in template)
    return _with_article(sentence)


def emotional_sentence(emotions: Sequence[str], rng: np.random.Generator) -> str:
    """A sentence of about 8 to 15 words that puts at most three of ``emotions`` in words.

    The order of ``emotions`` is the order of preference, not of the phrases. With none the
    sentence is neutral.
    """
    named = list(emotions[:MAX_EMOTION_PHRASES])
    rng.shuffle(named)
    parts = [_pick(EMOTION_PHRASES[emotion], rng) for emotion in named]
    if not parts:
        return f"{_pick(TOPICS, rng)} {_pick(PLAIN_ENDINGS, rng)}"
    if len(parts) == 1:
        parts.insert(0, _pick(TOPICS, rng))
    sentence = parts[0]
    for part in parts[1:]:
        sentence += f" {_pick(JOINERS, rng)} {part}"
    return sentence


def vocabulary() -> list[str]:
    """Every word an English sentence of this module can hold, sorted."""
    phrases = {p for template in _NEUTRAL_TEMPLATES for slot in template for p in slot}
    phrases.update(TOPICS, PLAIN_ENDINGS, JOINERS, ("an",), *EMOTION_PHRASES.values())
    return sorted({word for phrase in phrases for word in phrase.split()})


def _pick(phrases: Sequence[str], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def _with_article(sentence: str) -> str:
    """``a old`` becomes ``an old``."""
    words = sentence.split()
    for i, following in enumerate(words[1:]):
        if words[i] == "a" and following[0] in "aeiou" and not following.startswith("uni"):
            words[i] = "an"
    return " ".join(words)
