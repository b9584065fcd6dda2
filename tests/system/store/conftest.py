"""PostgreSQL for the tests of the store: one server of each version, and a database for each test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from postgres import SOURCES, Server, running_pgbouncer, running_server


@contextmanager
def needs_programs() -> Iterator[None]:
    """Skip the test if a program of the block is not installed; in CI, fail."""
    try:
        yield
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def bouncer(server: Server) -> Iterator[int]:
    """Run PgBouncer before the server; return its port."""
    with needs_programs(), running_pgbouncer(server) as port:
        yield port


@pytest.fixture(scope="session", params=SOURCES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server, which no test stops; on a developer's machine without one, the tests are skipped."""
    with needs_programs(), running_server(request.param) as started:
        yield started


@pytest.fixture
def url(server: Server) -> str:
    """Return the address of an empty database."""
    return server.new_database()
