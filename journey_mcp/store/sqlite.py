"""SQLite: the file, its identity, and how its errors are read."""

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.errors import JourneyError, SetupError, StoreUnavailable
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.store.address import file_of, without_password
from journey_mcp.store.connection import cause
from journey_mcp.store.migrations import identity_of, migrate
from journey_mcp.store.prepared import Prepared

_LOCK_WAIT_S = 10.0
"""How long a statement waits for a lock of another process, unless the URL says `?timeout=`."""

_LONGEST_LOCK_WAIT_S = 3600.0

_ELSEWHERE = "Set JOURNEY_MCP_DATA_DIR or JOURNEY_MCP_DATABASE_URL to a place that can be written."

_REPLACE = (
    "Put a copy of it in its place, or move it away together with the files -wal and -shm beside it: "
    "then a new one is created. Or set JOURNEY_MCP_DATA_DIR or JOURNEY_MCP_DATABASE_URL to another place."
)

_OPENED = "journey_mcp.opened"
"""The key of a connection's info."""


@dataclass(slots=True)
class _Opened:
    """What is known of one connection."""

    driver: sqlite3.Connection
    """The connection of Python's own driver, which raises `sqlite3.Error`."""
    waits: bool = True
    """Its statements wait for locks of other processes."""
    checked_state: object = None
    """The state of the file at the last check of the identity, which is slower than a small write."""
    log: list[tuple[int, int] | None] | None = None
    """The inodes of the files of the log beside the database, as the connection has them open."""

    @classmethod
    def of(cls, connection: sa.Connection) -> "_Opened":
        info = connection.info
        if _OPENED not in info:
            info[_OPENED] = cls(cast(sqlite3.Connection, connection.connection.driver_connection))
        return cast(_Opened, info[_OPENED])


class Sqlite:
    """The file and the identity of the database that was opened first: every connection must be to this one.

    No process ever reads what is written into a deleted file, and an emptied or replaced one knows neither the running
    tasks nor what was spent. This process creates nothing in its place.
    """

    next_step: str | NextStep | None = None

    def __init__(self, url: URL, now: Callable[[], float]) -> None:
        """Prepare, without opening anything.

        Raises:
            ValueError, SQLAlchemyError: the address is wrong.
        """
        self.lock_wait_s = float(str(url.query.get("timeout", _LOCK_WAIT_S)))
        if not 0 <= self.lock_wait_s <= _LONGEST_LOCK_WAIT_S:
            raise ValueError(f"timeout={self.lock_wait_s:g} must be 0 to {_LONGEST_LOCK_WAIT_S:g} seconds")
        self.engine = _new_engine(url.update_query_dict({"timeout": f"{self.lock_wait_s:g}"}))
        self._now = now
        self._address = without_password(url)
        self._file = file_of(url)
        self._inode: tuple[int, int] | None = None
        self._identity: str | None = None
        self._has_stale_log = False
        """The log that this process has open is not the one beside the file any more."""

    def prepare(self) -> None:
        """Create the file, readable by its owner only, if this process has not seen it yet."""
        if self._file is not None and self._inode is None:
            _make_private_file(self._file)
            self._inode = _inode_of(self._stat())
        self._check_file()

    def enter(self, connection: sa.Connection) -> None:
        """Set up a new connection; the first one creates or migrates the tables."""
        if self._identity is None:
            # it lasts for all connections of all processes; it changes the file, so no other file may get it
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            migrate(connection, self._now())
            self._identity = identity_of(connection)
        self._check(connection, _Opened.of(connection))

    def check(self, connection: sa.Connection) -> bool:
        """Verify that the database was not deleted, emptied or replaced; return True.

        Raises:
            StoreUnavailable: names the database.
        """
        opened = _Opened.of(connection)
        self._wait_for_locks(opened, wanted=True)
        self._check(connection, opened)
        return True

    def _check(self, connection: sa.Connection, opened: _Opened) -> None:
        state = _state(opened, self._check_file())
        if state == opened.checked_state:
            return
        try:
            # SQLite's cached pages say nothing about a file that another program has overwritten
            connection.exec_driver_sql("PRAGMA shrink_memory")
            found = identity_of(connection)
        except SQLAlchemyError as error:
            if not _is_unreadable(error):
                raise
            raise self._replaced(f" ({cause(error)})") from error
        # SQLite would read files that were put back with the index of the other log, which it has in memory
        log = self._log()
        if opened.log is None:
            opened.log = log
        self._has_stale_log |= opened.log != log
        if found != self._identity or self._has_stale_log:
            raise self._replaced()
        opened.checked_state = state

    def exclusive(self, _connection: sa.Connection, _locks: Collection[str]) -> AbstractContextManager[None]:
        """Do nothing: SQLite has one writer, and a statement sees all that was written before it."""
        return nullcontext()

    def count_at_once(self, connection: sa.Connection, statement: Prepared, values: Mapping[str, Any]) -> int | None:
        """Run a statement, without SQLAlchemy; return `None` at a lock of another process, or an error."""
        opened = _Opened.of(connection)
        try:
            self._wait_for_locks(opened, wanted=False)
            self._check(connection, opened)
            return opened.driver.execute(*statement.for_driver(connection.dialect, values)).rowcount
        except (sqlite3.Error, SQLAlchemyError, StoreUnavailable):
            return None

    def _wait_for_locks(self, opened: _Opened, *, wanted: bool) -> None:
        """Let the next statements wait for locks of other processes, or fail at once."""
        if opened.waits is not wanted:
            wait_s = self.lock_wait_s if wanted else 0
            opened.driver.execute(f"PRAGMA busy_timeout = {1000 * wait_s:.0f}")
            opened.waits = wanted

    def is_transient(self, error: Exception) -> bool:
        """Return whether SQLite finds the database locked, or the disk full."""
        return _code_of(error) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL} or (
            _has_no_room_beside(error)
        )

    def may_have_executed(self, _error: Exception) -> bool:
        """Return False: there is no connection that can be lost."""
        return False

    def cannot_be_opened(self, error: Exception) -> JourneyError:
        """Return the error for a database that cannot be opened."""
        full = " (is the disk full?)" if _has_no_room_beside(error) else ""
        problem = f"The database {self._address} cannot be opened: {cause(error)}{full}."
        if self.is_transient(error):
            return StoreUnavailable(problem)
        return SetupError(problem, next_step=_REPLACE if _is_unreadable(error) else _ELSEWHERE)

    def _check_file(self) -> os.stat_result | None:
        file = self._stat()
        if _inode_of(file) != self._inode:
            raise self._replaced()
        return file

    def _log(self) -> list[tuple[int, int] | None]:
        return [_inode_of(_stat(Path(f"{self._file}{ending}"))) for ending in ("-wal", "-shm")]

    def _replaced(self, why: str = "") -> StoreUnavailable:
        restart = "restart the server, which then uses the file there."
        return StoreUnavailable(
            f"The task database {self._file or self._address} was deleted or replaced{why} while the server runs.",
            next_step=ask_person(restart.capitalize() if self._has_stale_log else f"Put it back, or {restart}"),
        )

    def _stat(self) -> os.stat_result | None:
        return _stat(self._file) if self._file is not None else None


def _state(opened: _Opened, file: os.stat_result | None) -> object:
    """Return a value that changes with every commit of another connection and every other change of the file.

    Where that cannot be seen, it equals no other value.
    """
    if file is None:
        return object()
    try:
        (others_commits,) = opened.driver.execute("PRAGMA data_version").fetchone()
    except sqlite3.Error:
        return object()
    return file.st_size, file.st_mtime_ns, file.st_ctime_ns, others_commits


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None


def _new_engine(url: URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # prompts are private: logs must not have them
        execution_options={"preserve_rowcount": True},  # also of an INSERT
        poolclass=sa.NullPool,  # the store keeps its connection itself
    )
    sa.event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # a task that a client knows survives a power failure, not only a killed process
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _inode_of(file: os.stat_result | None) -> tuple[int, int] | None:
    return (file.st_dev, file.st_ino) if file else None


def _make_private_file(file: Path) -> None:
    try:
        # prompts are private: only the person who runs the server may read them
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT, 0o600))
    except OSError as error:
        raise SetupError(
            f"The database {file} cannot be created: {error.strerror}.",
            next_step=_ELSEWHERE,
        ) from error


def _code_of(error: Exception) -> int:
    code: int = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code


def _has_no_room_beside(error: Exception) -> bool:
    """Return whether the file `-shm` beside the database, which every connection needs, cannot get its size."""
    return _code_of(error) == sqlite3.SQLITE_IOERR_SHMSIZE


def _is_unreadable(error: Exception) -> bool:
    """Return whether SQLite finds no database in the file, or a broken one; not for a lock, or an unreachable one."""
    return type(error) is sa.exc.DatabaseError
