"""Where statements run: in the event loop while the disk is quick, else in the connection's thread."""

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.store.connection import Connection
from journey_mcp.store.prepared import Prepared
from journey_mcp.store.sqlite import Sqlite

_NAMES = sa.table("names", sa.column("name"))
_CREATE = sa.text("CREATE TABLE names (name TEXT PRIMARY KEY)")
_ADD = Prepared(sa.insert(_NAMES).values(name=sa.bindparam("new_name")))
_COUNT = sa.select(sa.func.count().label("names")).select_from(_NAMES)
QUICK = "event loop"
SLOW = "thread"


@asynccontextmanager
async def connection_to(folder: Path, *, quick_s: float = math.inf) -> AsyncIterator[Connection]:
    """Connect to a new database with one table, and run a first statement, which takes some time."""
    url = make_url(f"sqlite:///{folder / 'names.db'}?timeout=7")
    connection = Connection(Sqlite(url, lambda: 0.0), quick_s=quick_s)
    try:
        await connection.open()
        await connection.count(_CREATE)
        yield connection
    finally:
        await connection.close()


async def where(adding: Coroutine[Any, Any, int]) -> str:
    """Return where a statement that adds a row runs: in the event loop it has run before anything is awaited."""
    try:
        adding.send(None)
    except StopIteration:
        return QUICK
    adding.close()  # a canceled caller; the statement runs all the same
    return SLOW


@pytest.mark.parametrize(("quick_s", "expected"), [(math.inf, QUICK), (0.0, SLOW)])
async def test_a_statement_runs_in_the_event_loop_if_the_last_one_was_quick(
    quick_s: float, expected: str, tmp_path: Path
) -> None:
    """On a slow disk the event loop does not wait for a flush."""
    async with connection_to(tmp_path, quick_s=quick_s) as connection:
        assert await where(connection.count(_ADD, {"new_name": "a"})) == expected
        assert await connection.count(_ADD, {"new_name": "b"}) == 1
        assert [dict(row) for row in await connection.rows(_COUNT)] == [{"names": 2}]


async def test_the_event_loop_never_waits_for_a_lock(tmp_path: Path) -> None:
    """A statement that meets one waits in the thread, as long as the URL says, and so does the next one after it."""
    async with connection_to(tmp_path) as connection:
        with closing(sqlite3.connect(tmp_path / "names.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            adding = [asyncio.create_task(connection.count(_ADD, {"new_name": name})) for name in "ab"]
            await asyncio.sleep(0)
            assert connection.pending == 2  # the event loop is here, while the lock is held
            other.execute("COMMIT")
            assert await asyncio.gather(*adding) == [1, 1]
        assert [dict(row) for row in await connection.rows(sa.text("PRAGMA busy_timeout"))] == [{"timeout": 7000}]


async def test_a_statement_does_not_overtake_those_that_wait(tmp_path: Path) -> None:
    """They run in the order in which they were given."""
    async with connection_to(tmp_path) as connection:
        slow = asyncio.create_task(connection.count(sa.insert(_NAMES).values(name="a")))
        await asyncio.sleep(0)
        assert await where(connection.count(_ADD, {"new_name": "b"})) == SLOW
        await slow


async def test_an_error_in_the_event_loop_is_that_of_the_thread(tmp_path: Path) -> None:
    """A row that is there, and a database that was deleted."""
    async with connection_to(tmp_path) as connection:
        await connection.count(_ADD, {"new_name": "a"})
        with pytest.raises(StoreUnavailable, match=r"refuses a row: UNIQUE constraint failed: names\.name\."):
            await connection.count(_ADD, {"new_name": "a"})
        assert await connection.count(_ADD, {"new_name": "b"}) == 1
        (tmp_path / "names.db").unlink()
        with pytest.raises(StoreUnavailable, match="was deleted or replaced while the server runs"):
            await connection.count(_ADD, {"new_name": "c"})
