"""PostgreSQL for the tests of the store: one server of each version, and a database for each test."""

from collections.abc import Iterator

import pytest
from postgres import SOURCES, Server, running_pgbouncer, running_server


@pytest.fixture(scope="session")
def bouncer(server: Server) -> Iterator[int]:
    """Run PgBouncer before the server; return its port."""
    with running_pgbouncer(server) as port:
        yield port


@pytest.fixture(scope="session", params=SOURCES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server, which no test stops."""
    with running_server(request.param) as started:
        yield started


@pytest.fixture
def url(server: Server) -> str:
    """Return the address of an empty database."""
    return server.new_database()
