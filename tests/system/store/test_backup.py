"""A backup of PostgreSQL's own programs: restored, it is the same database."""

import subprocess
from pathlib import Path

import pytest
from postgres import Server, programs
from store.examples import TASK

from journey_mcp.store import open_store


@pytest.fixture
def tools(server: Server, request: pytest.FixtureRequest) -> Path:
    """Return the folder of the server's programs."""
    assert server
    return programs(request.node.callspec.params["server"])


async def test_a_restored_dump_is_the_same_database(server: Server, tools: Path, tmp_path: Path) -> None:
    """With its tasks and its identity; the server opens it without a migration."""
    before, after, dump = server.new_database(), server.new_database(), tmp_path / "dump"
    async with open_store(before) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
    subprocess.run([tools / "pg_dump", "--format=custom", f"--file={dump}", before], check=True)
    subprocess.run([tools / "pg_restore", "--exit-on-error", f"--dbname={after}", dump], check=True)
    async with open_store(after) as store:
        assert await store.tasks.find(TASK.id) == TASK
    for statement in ("SELECT id FROM identity", "SELECT max(version) FROM schema_version"):
        assert server.execute(statement, after.rpartition("/")[2]) == server.execute(
            statement, before.rpartition("/")[2]
        )
