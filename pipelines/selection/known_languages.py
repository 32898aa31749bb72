"""Languages of some utterances, known beforehand: they tell how good a selection is."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from featurize.errors import UsageError

ENGLISH = frozenset({"en", "eng", "english"})


def precision_recall(
    kept: Collection[str], languages: Mapping[str, str]
) -> tuple[float | None, float | None]:
    """Share of English among the kept, and share of the English that was kept.

    Only ids in ``languages`` (id -> language) count; None where there is nothing to divide by.
    """
    english = {utterance_id for utterance_id, name in languages.items() if is_english(name)}
    known = [utterance_id for utterance_id in kept if utterance_id in languages]
    n_right = sum(utterance_id in english for utterance_id in known)
    return (
        n_right / len(known) if known else None,
        n_right / len(english) if english else None,
    )


def is_english(language: str) -> bool:
    """Whether a name or code (en, eng, en-US, English) means English."""
    return language.strip().lower().replace("_", "-").partition("-")[0] in ENGLISH


def read_languages(path: Path) -> dict[str, str]:
    """Reads a CSV of two columns, id and language; a heading whose second is `language` is skipped.

    Raises UsageError for another form.
    """
    languages = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for number, cells in enumerate(csv.reader(lines), start=1):
                cells = [cell.strip() for cell in cells]
                if not any(cells) or (number == 1 and cells[1:2] == ["language"]):
                    continue
                if len(cells) != 2 or not all(cells):
                    raise UsageError(f"{path}: line {number} is not of the form id,language")
                languages[cells[0]] = cells[1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a readable CSV of id,language: {error}") from None
    return languages
