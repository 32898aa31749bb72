"""A small corpus in VoxCeleb2's layout: several languages, one mp4 and one m4a an utterance.

Its speakers are moved as those of interviews are: faces, voices and half of what is said in English
show emotions (``emotion_traces``), of which, as in the real corpus, no label tells.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featurize.atomic import write_text
from pipelines.demo.broken_file import FAULTS, write_broken_video
from pipelines.demo.emotion_labels import random_labels, scores_of
from pipelines.demo.emotion_traces import expression_for, voice_for, words_for
from pipelines.demo.footage import footage
from pipelines.demo.foreign_sentences import foreign_sentence
from pipelines.demo.looks import Expression
from pipelines.demo.sentences import english_sentence
from pipelines.demo.sound import spoken
from pipelines.demo.speakers import Speaker, random_speaker, random_youtube_ids
from pipelines.demo.speech import Voice
from pipelines.demo.video_file import write_audio, write_video

FOREIGN_SHARE = 0.28  # of the speakers
FOREIGN_LANGUAGES = ("de", "fr", "es")
EMOTIONAL_SHARE = 0.5  # of the English sentences; the others are about nothing in particular
UTTERANCES_PER_VIDEO = 3
MP4_ONLY_EVERY = 13  # one utterance in so many has no m4a
_PLAN, _RENDER = 1, 2  # which of the seed's streams


@dataclass(frozen=True)
class Clip:
    """One utterance, before it is rendered."""

    id: str  # "id00012/21Uxsk56VDQ/00001"
    speaker: Speaker
    text: str
    voice: Voice
    expression: Expression
    seed: tuple[int, ...]
    has_m4a: bool = True
    fault: str | None = None


def plan_voxceleb2(n_speakers: int, utterances_per_speaker: int, seed: int) -> list[Clip]:
    """Who says what in which file; the broken ones last."""
    rng = np.random.default_rng((seed, _PLAN))
    numbers = np.sort(rng.choice(np.arange(12, 9273), n_speakers, replace=False))
    clips: list[Clip] = []
    extras: list[Clip] = []
    labels = random_labels(n_speakers, utterances_per_speaker + 1, rng)
    for index, (number, language) in enumerate(zip(numbers, _languages(n_speakers), strict=True)):
        speaker = random_speaker(index, language, rng)
        names = _utterance_names(f"id{number:05d}", utterances_per_speaker + 1, rng)
        for n, name in enumerate(names[:-1]):
            place = index * utterances_per_speaker + n
            has_m4a = place % MP4_ONLY_EVERY != MP4_ONLY_EVERY // 2
            said = _said(speaker, labels[index, n], rng)
            clips.append(Clip(name, speaker, *said, (seed, _RENDER, place), has_m4a))
        if language == "en" and len(extras) < len(FAULTS):
            extra_seed = (seed, _RENDER, n_speakers * utterances_per_speaker + len(extras))
            said = _said(speaker, labels[index, -1], rng)
            extras.append(Clip(names[-1], speaker, *said, extra_seed, False, FAULTS[len(extras)]))
    return clips + extras


def render_clip(root: Path, clip: Clip) -> None:
    """Writes the clip's files that are not there yet."""
    mp4 = root / "dev" / "mp4" / f"{clip.id}.mp4"
    m4a = root / "dev" / "aac" / f"{clip.id}.m4a"
    if mp4.exists() and (m4a.exists() or not clip.has_m4a):
        return
    rng = np.random.default_rng(clip.seed)
    samples = spoken(clip.text, clip.voice, rng)
    pictures = footage(clip.speaker.look, [(clip.expression, samples)], rng)
    if clip.fault:
        write_broken_video(mp4, clip.fault, pictures, samples)
        return
    if clip.has_m4a:
        write_audio(m4a, samples)
    write_video(mp4, pictures, samples)


def write_tables(root: Path, clips: list[Clip]) -> None:
    """vox2_meta.csv as the real one is, trailing spaces and all, and the demo's languages.csv."""
    genders = {clip.id.split("/")[0]: clip.speaker.gender for clip in clips}
    meta = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "]
    meta += [f"{name} ,n{int(name[2:]):06d} ,{gender} ,dev " for name, gender in genders.items()]
    write_text(root / "vox2_meta.csv", "\n".join(meta) + "\n")
    rows = [f"{clip.id},{clip.speaker.language}" for clip in clips if not clip.fault]
    write_text(root / "languages.csv", "\n".join(["utterance,language", *rows]) + "\n")


def _languages(n_speakers: int) -> list[str]:
    """One language a speaker, the foreign ones spread evenly among the English."""
    n_foreign = max(1, round(FOREIGN_SHARE * n_speakers))
    languages = ["en"] * n_speakers
    for k in range(n_foreign):
        place = int((k + 0.5) * n_speakers / n_foreign)
        languages[place] = FOREIGN_LANGUAGES[k % len(FOREIGN_LANGUAGES)]
    return languages


def _utterance_names(speaker: str, n: int, rng: np.random.Generator) -> list[str]:
    """Stems count from 00001 in each video, so they repeat across folders."""
    videos = random_youtube_ids(-(-n // UTTERANCES_PER_VIDEO), rng)
    return [
        f"{speaker}/{videos[k // UTTERANCES_PER_VIDEO]}/{k % UTTERANCES_PER_VIDEO + 1:05d}"
        for k in range(n)
    ]


def _said(
    speaker: Speaker, labels: np.ndarray, rng: np.random.Generator
) -> tuple[str, Voice, Expression]:
    """Words, voice and face of one utterance; ``labels`` are a row of ``random_labels``."""
    scores = scores_of(labels)
    if speaker.language != "en":
        text = foreign_sentence(speaker.language, rng)
    elif rng.random() < EMOTIONAL_SHARE:
        text = words_for(scores, rng)
    else:
        text = english_sentence(rng)
    return text, voice_for(scores, speaker.voice, rng), expression_for(scores, rng)
