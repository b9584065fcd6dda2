"""PostgreSQL for the tests of the store: one server of each version, and a database for each test."""

import os
from collections.abc import Iterator

import pytest
from postgres import SOURCES, Server, programs, running_server


@pytest.fixture(scope="session", params=SOURCES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server, which no test stops; on a developer's machine without one, the tests are skipped."""
    try:
        programs(request.param)
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with running_server(request.param) as started:
        yield started


@pytest.fixture
def url(server: Server) -> str:
    """Return the address of an empty database."""
    return server.new_database()
