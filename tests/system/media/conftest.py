"""The object store of these tests: one server, and a prefix for each test."""

import secrets
from collections.abc import Iterator

import pytest
from object_stores import CREDENTIALS, ObjectStoreServer, running_object_store


@pytest.fixture(scope="session")
def server() -> Iterator[ObjectStoreServer]:
    """Run a server, which keeps running."""
    with running_object_store() as started:
        yield started


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a part of the bucket that is empty; this process has the credentials."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return f"test-{secrets.token_hex(4)}"
