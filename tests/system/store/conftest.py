"""PostgreSQL for the tests of the store: one server of each version, and a database for each test."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from postgres import SOURCES, Server, running_pgbouncer, running_server


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """Return what starts the server of a source, if no test before has; all run until the end."""
    with ExitStack() as stack:
        yield functools.cache(lambda source: stack.enter_context(running_server(source)))


@pytest.fixture(scope="session")
def bouncers(servers: Callable[[str], Server]) -> Iterator[Callable[[Server], int]]:  # noqa: ARG001  # they end first
    """Return what starts PgBouncer before a server in the same way, and returns its port."""
    with ExitStack() as stack:
        yield functools.cache(lambda server: stack.enter_context(running_pgbouncer(server)))


@pytest.fixture(params=SOURCES)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Return a server, which no test stops."""
    return servers(request.param)


@pytest.fixture
def bouncer(server: Server, bouncers: Callable[[Server], int]) -> int:
    """Return the port of PgBouncer before the server."""
    return bouncers(server)


@pytest.fixture
def url(server: Server) -> str:
    """Return the address of an empty database."""
    return server.new_database()
