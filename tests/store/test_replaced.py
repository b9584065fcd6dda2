"""A database that is emptied or replaced while it is open: nothing is stored in it, until it is back."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from support import created, database_of_version, make_environment_without_copies, make_request, statements

from journey_mcp.core.errors import OverBudget, SetupError, StoreUnavailable
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.store import Store, migrations, open_store, schema
from store.examples import TASK


def emptied(file: Path) -> None:
    """Empty the file as `: > tasks.db` does."""
    file.write_bytes(b"")


def emptied_with_its_log(file: Path) -> None:
    """Empty the file and delete those beside it."""
    emptied(file)
    for name in ("tasks.db-wal", "tasks.db-shm"):
        file.with_name(name).unlink()


def written_over(file: Path) -> None:
    """Overwrite the file with another database as `cp other.db tasks.db` does."""
    file.write_bytes(file.with_name("other.db").read_bytes())


def garbled(file: Path) -> None:
    """Overwrite the file with something that is not a database."""
    file.write_bytes(b"no database at all, " * 2000)


def exchanged(file: Path) -> None:
    """Replace the file as `mv other.db tasks.db` does."""
    shutil.copy(file.with_name("other.db"), file.with_name("third.db"))
    file.with_name("third.db").rename(file)


def deleted(file: Path) -> None:
    """Delete the file and those beside it."""
    for path in file.parent.glob("tasks.db*"):
        path.unlink()


def without_tables(file: Path) -> None:
    """Drop the tables: the file stays a database."""
    with closing(sqlite3.connect(file)) as connection:
        for table in schema.metadata.tables:
            connection.execute(f"DROP TABLE {table}")
        connection.commit()


def created_anew(file: Path) -> None:
    """Drop the tables and create new ones, as the next server does."""
    without_tables(file)
    create_tables(file)


def create_tables(file: Path) -> None:
    """Create the tables as a server does when it starts."""
    engine = sa.create_engine(f"sqlite:///{file}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        migrations.migrate(connection, 0.0)
    engine.dispose()


def without_identity(file: Path) -> None:
    """Delete the row of the identity."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM identity")
        connection.commit()


HARMS: list[Callable[[Path], None]] = [
    *(emptied, emptied_with_its_log, written_over, garbled, exchanged, deleted),
    *(without_tables, created_anew, without_identity),
]
harms = pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)


@cache
def _other() -> bytes:
    """Return the content of a second database."""
    with TemporaryDirectory() as folder:
        create_tables(Path(folder, "other.db"))
        return Path(folder, "other.db").read_bytes()


def create_other_database(folder: Path) -> None:
    """Create a second database beside the one of the test."""
    (folder / "other.db").write_bytes(_other())


def fill(file: Path) -> None:
    """Store 300 tasks as another process does, at once, and move everything from the log into the file."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT * FROM tasks")
        at, task = [name for name, *_ in found.description].index("id"), found.fetchone()
        rows = [(*task[:at], f"tsk_filling_{number}", *task[at + 1 :]) for number in range(300)]
        connection.executemany(f"INSERT INTO tasks VALUES ({', '.join('?' * len(task))})", rows)
        connection.commit()
        assert connection.execute("PRAGMA wal_checkpoint").fetchone()[0] == 0


def is_known(file: Path, task_id: str) -> bool:
    """Return whether a database that can be read has such a task."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            return bool(connection.execute("SELECT 1 FROM tasks WHERE id = ?", (task_id,)).fetchone())
    except sqlite3.DatabaseError:
        return False


@harms
@pytest.mark.parametrize(("is_filled", "is_read"), [(False, False), (False, True), (True, True)])
async def test_nothing_is_stored_in_a_database_that_is_not_the_one_that_was_opened(
    tmp_path: Path, harm: Callable[[Path], None], *, is_filled: bool, is_read: bool
) -> None:
    """Whether its content is in the file or in the log beside it, and was read before or not; again and again."""
    create_other_database(tmp_path)
    file = tmp_path / "tasks.db"
    async with open_store(f"sqlite:///{file}") as store:
        await store.tasks.add(replace(TASK, id="tsk_0"), worker_id="me", lease_until=200)
        if is_filled:
            fill(file)
            await store.tasks.add(replace(TASK, id="tsk_1"), worker_id="me", lease_until=200)
        if is_read:
            await store.tasks.get(["tsk_0"], principal="local")
        harm(file)
        for _ in range(2):
            for write in (add_another, save_the_first):
                with pytest.raises(StoreUnavailable, match=r"tasks\.db was deleted or replaced") as raised:
                    await write(store)
                assert "restart the server" in (raised.value.failure.next_step or "")
            with pytest.raises(StoreUnavailable):
                await store.tasks.get(["tsk_0"], principal="local")
    assert not is_known(file, "tsk_another")
    assert not is_known(tmp_path / "other.db", "tsk_another")


async def add_another(store: Store) -> None:
    """Store a task as a new call does."""
    await store.tasks.add(replace(TASK, id="tsk_another"), worker_id="me", lease_until=200)


async def save_the_first(store: Store) -> None:
    """Change the task of an earlier call."""
    await store.tasks.save(replace(TASK, id="tsk_0").sent(101), worker_id="me")


async def test_a_server_that_is_started_again_goes_on_with_what_is_there(tmp_path: Path) -> None:
    """A new database in an empty file; what is not a database is named, with what helps, and left as it is."""
    file = tmp_path / "tasks.db"
    emptied(file)
    async with open_store(f"sqlite:///{file}") as store:
        await add_another(store)
    garbled(file)
    with pytest.raises(SetupError, match="file is not a database") as raised:
        async with open_store(f"sqlite:///{file}"):
            pass
    assert "move it away" in (raised.value.failure.next_step or "")
    assert file.read_bytes().startswith(b"no database")


@pytest.mark.parametrize("harm", [emptied, written_over, garbled], ids=lambda harm: harm.__name__)
async def test_a_database_that_is_put_back_goes_on(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """With its content: nothing was written into it meanwhile."""
    create_other_database(tmp_path)
    file = tmp_path / "tasks.db"
    async with open_store(f"sqlite:///{file}") as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        before = file.read_bytes()
        harm(file)
        with pytest.raises(StoreUnavailable):
            await add_another(store)
        with pytest.raises(StoreUnavailable):
            await store.tasks.get([TASK.id], principal="local")
        file.write_bytes(before)
        assert await store.tasks.get([TASK.id], principal="local") == {TASK.id: TASK}
        await add_another(store)
    assert is_known(file, "tsk_a")
    assert is_known(file, "tsk_another")


async def test_a_database_whose_log_is_replaced_needs_a_restart(tmp_path: Path) -> None:
    """Others have written into it, and then all files are put back: SQLite has the index of the other log in memory."""
    file = tmp_path / "tasks.db"
    async with open_store(f"sqlite:///{file}") as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        files = {path: path.read_bytes() for path in tmp_path.glob("tasks.db*")}
        created_anew(file)
        with pytest.raises(StoreUnavailable):
            await add_another(store)
        for path, content in files.items():
            beside = path.with_suffix(".restored")
            beside.write_bytes(content)
            if path == file:
                file.write_bytes(content)  # another file would be refused anyway
            else:
                beside.replace(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="deleted or replaced") as raised:
                await add_another(store)
        assert raised.value.failure.next_step == "Ask the person to restart the server, which then uses the file there."
    assert not is_known(file, "tsk_another")


@harms
async def test_a_budget_is_not_spent_twice_on_a_database_that_was_emptied(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Calls are refused at no cost; a running task is delivered all the same, also to a later fetch."""
    create_other_database(tmp_path)
    more = {"JOURNEY_MCP_BUDGET": "12credits/day", "JOURNEY_MCP_KEEP_IMAGES": "off"}
    async with make_environment_without_copies(tmp_path, "fetch:delay=30,times=3", plan="enterprise", **more) as here:
        for number in range(2):
            await here.made(model="midjourney", prompt=f"kite {number}")
        running = await here.accepted(model="midjourney", prompt="a third")
        with pytest.raises(OverBudget):
            await created(here.studio, make_request(model="midjourney", prompt="a fourth"))
        harm(tmp_path / "tasks.db")
        for number in range(2):
            with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                await created(here.studio, make_request(model="midjourney", prompt=f"one more {number}"))
        fetched = (await here.studio.fetch([running.id], LOCAL, seconds=300))[running.id]
        assert (fetched.status, len(here.created)) == (Status.SUCCEEDED, 3)
        assert (await here.studio.fetch([running.id], LOCAL))[running.id] == fetched
        for ids, principal in (([running.id, "tsk_another"], "local"), ([running.id], "another")):
            with pytest.raises(StoreUnavailable):
                await here.studio.fetch(ids, Principal(principal))


async def test_two_databases_never_have_one_identity(tmp_path: Path) -> None:
    """Also one of an earlier version gets an identity, and keeps it."""
    with database_of_version(tmp_path / "old.db", 8):
        pass
    found = []
    for name in ("old.db", "new.db", "old.db"):
        async with open_store(f"sqlite:///{tmp_path / name}"):
            with closing(sqlite3.connect(tmp_path / name)) as connection:
                found += connection.execute("SELECT id FROM identity").fetchall()
    assert found[0] == found[2] != found[1]
    assert all(len(identity) == 32 for (identity,) in found)


async def test_a_database_that_no_other_process_has_changed_is_not_checked_again(tmp_path: Path) -> None:
    """Three statements for each one would make every call slower."""
    async with (
        open_store(f"sqlite:///{tmp_path / 'tasks.db'}") as store,
        open_store(f"sqlite:///{tmp_path / 'tasks.db'}") as other,
    ):
        with statements("") as seen:
            await store.tasks.add(replace(TASK, id="tsk_0"), worker_id="me", lease_until=200)
            await save_the_first(store)
            assert first_words(seen) == ["INSERT", "UPDATE"]
            await other.tasks.add(replace(TASK, id="tsk_other"), worker_id="other", lease_until=200)
            seen.clear()
            await save_the_first(store)
            assert first_words(seen) == ["PRAGMA", "SELECT", "UPDATE"]


def first_words(seen: list[tuple[str, Any]]) -> list[str]:
    """Return the first word of each statement, without those that ask for no page of the database."""
    quick = ("PRAGMA data_version", "PRAGMA busy_timeout")
    return [statement.split(maxsplit=1)[0] for statement, _ in seen if not statement.startswith(quick)]
