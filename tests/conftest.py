"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings kept beside the checkout; skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real recordings at ../shared/data (looked for {SHARED_DATA.name})")
    return SHARED_DATA
