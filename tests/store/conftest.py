"""The database of the store's tests: SQLite; `tests/system/store` has the others."""

from pathlib import Path

import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the address of an empty database."""
    return f"sqlite:///{tmp_path / 'tasks.db'}"
