"""`migrate`: the tables are brought up to this version, and nothing else happens."""

import sqlite3
from contextlib import closing

from support import database_of_version

from cli.command import CommandLine
from journey_mcp.store import Store


async def test_an_older_database_is_migrated(journey: CommandLine) -> None:
    """Once; a new one is created, and one of a newer version is left alone."""
    file = journey.home / "tasks.db"
    file.unlink()
    with database_of_version(file, 13):
        pass
    for _ in range(2):
        done = await journey.run("migrate")
        assert (done.code, done.out) == (0, f"sqlite:///{file} has version {Store.version}.\n")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
        connection.commit()
    refused = await journey.run("migrate")
    assert (refused.code, refused.out) == (2, "")
    assert "version 99" in refused.err


async def test_a_database_that_is_away_is_named_without_its_password(journey: CommandLine) -> None:
    """The command can be repeated."""
    away = journey.given(JOURNEY_MCP_DATABASE_URL="postgresql://kim:s3cret-word@127.0.0.1:9/tasks")
    done = await away.run("migrate")
    assert (done.code, done.out) == (2, "")
    assert "postgresql://kim:***@127.0.0.1:9/tasks cannot be opened" in done.err
    assert "s3cret" not in done.err
