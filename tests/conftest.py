"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

PLACES = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[2:4]]
SHARED_DATA = next((place for place in PLACES if place.is_dir()), PLACES[0])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings kept beside the checkout, or beside the folder of its worktrees;
    skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real recordings at ../shared/data (looked for {SHARED_DATA.name})")
    return SHARED_DATA
