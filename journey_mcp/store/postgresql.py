"""PostgreSQL through psycopg: connections, advisory locks, and how its errors are read."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.errors import JourneyError, SetupError, StoreUnavailable
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.store.address import without_password
from journey_mcp.store.advisory_locks import lock_statements
from journey_mcp.store.connection import cause
from journey_mcp.store.migrations import identity_of, migrate
from journey_mcp.store.prepared import Prepared

if TYPE_CHECKING:
    import psycopg

_LOCK_WAIT_S = 5.0
_SESSION = {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}
"""Settings of the server for each connection: nothing of ours takes longer, and no lock outlives its process."""
_PARAMETERS = {
    "application_name": "journey-mcp",
    "client_encoding": "utf8",
    "connect_timeout": "3",
    # a host that vanishes sends no reset
    "keepalives_idle": "10",
    "tcp_user_timeout": "10000",
}
"""Parameters of each connection, unless the address has others."""

_IS_VERIFIED = "journey_mcp.is_verified"
"""The key of a connection's info: it leads to the database that was opened first."""
_NEXT_STEP = "Call again in a moment. If the error stays, " + ask_person("look at the database server.")
_CORRECT = "Correct JOURNEY_MCP_DATABASE_URL, or create what it names."

_TRANSIENT = {
    *("57P01", "57P02", "57P03"),  # the server shuts down, has crashed, or starts
    *("40001", "40P01"),  # of two transactions one had to give way
    *("53300", "53200", "53100"),  # too many connections, no memory, no room on the disk
    *("55P03", "57014"),  # a lock, or the whole statement, took too long
    *("25006", "25P03"),  # a standby, after a failover; a transaction that was idle for too long
}
_LOST = {"57P01", "57P02", "57P03"}
_WRONG_SETUP = (
    *("does not exist", "authentication failed", "no password supplied", "no pg_hba.conf entry", "permission denied"),
    *("does not support SSL", "certificate", "is not permitted to log in", "invalid connection option", "invalid URI"),
)
"""What a connection that fails reports about a wrong address: the driver gives no code for these."""


class Postgresql:
    """One PostgreSQL database, with the identity that it had when it was opened first."""

    lock_wait_s = _LOCK_WAIT_S
    next_step: str | NextStep | None = _NEXT_STEP

    def __init__(self, url: URL, now: Callable[[], float]) -> None:
        """Prepare, without opening anything.

        Raises:
            ImportError: psycopg is not installed.
            SQLAlchemyError: the address is wrong.
        """
        self._now = now
        self._address = without_password(url)
        self._identity: str | None = None
        self.engine = sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            hide_parameters=True,  # prompts are private: logs must not have them
            execution_options={"preserve_rowcount": True},  # psycopg has none for an INSERT with SELECT otherwise
            poolclass=sa.NullPool,  # the store keeps its connections itself
            use_native_hstore=False,  # one query less for each process
        )
        sa.event.listen(self.engine, "do_connect", _connect)

    def connect_to(self, address: URL) -> "psycopg.Connection[Any]":
        """Connect to this address, without SQLAlchemy.

        Raises:
            psycopg.Error: it fails.
        """
        _, parameters = self.engine.dialect.create_connect_args(address)
        return connect(parameters)

    def prepare(self) -> None:
        """Do nothing: the server has the database."""

    def enter(self, connection: sa.Connection) -> None:
        """Set up a new connection; the first one creates or migrates the tables.

        Raises:
            StoreUnavailable: as `check`.
        """
        if self._identity is None:
            _check_encoding(connection)
            migrate(connection, self._now())
            self._identity = identity_of(connection)
        self._verify(connection)

    def check(self, connection: sa.Connection) -> bool:
        """Return whether the connection is open, as far as can be seen without asking the server.

        A server that shuts down says so; a statement would fail, and it would be unknown whether it was executed.

        Raises:
            StoreUnavailable: it leads to another database than the first one.
        """
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        try:
            driver.pgconn.consume_input()
            driver.pgconn.consume_input()  # the first one may end at the message before the end
        except driver.OperationalError:
            return False
        if _IS_VERIFIED not in connection.info:
            self._verify(connection)
        return True

    def _verify(self, connection: sa.Connection) -> None:
        if identity_of(connection) != self._identity:
            raise StoreUnavailable(
                f"The task database {self._address} was deleted or replaced while the server runs.",
                next_step=ask_person("Restore it, or restart the server, which then uses the database there."),
            )
        connection.info[_IS_VERIFIED] = True

    @contextmanager
    def exclusive(self, connection: sa.Connection, locks: Collection[str]) -> Iterator[None]:
        """Run the block in a transaction that has these locks, one after another."""
        connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL READ COMMITTED; {lock_statements(locks)}")
        try:
            yield
        except SQLAlchemyError:
            with suppress(SQLAlchemyError):  # the connection may be lost
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")

    def count_at_once(self, _connection: sa.Connection, _statement: Prepared, _values: Mapping[str, Any]) -> None:
        """Return `None`: every statement waits for the server."""

    def is_transient(self, error: Exception) -> bool:
        """Return whether the same statement may succeed later."""
        state = _sqlstate(error)
        if state is None:
            return isinstance(error, sa.exc.OperationalError) and not any(text in str(error) for text in _WRONG_SETUP)
        return state in _TRANSIENT or state.startswith("08")

    def may_have_executed(self, error: Exception) -> bool:
        """Return whether the connection was lost, so that it is unknown whether the statement was executed."""
        state = _sqlstate(error)
        return isinstance(error, sa.exc.OperationalError) and (state is None or state in _LOST or state[:2] == "08")

    def cannot_be_opened(self, error: Exception) -> JourneyError:
        """Return the error for a database that cannot be opened."""
        problem = f"The database {self._address} cannot be opened: {cause(error)}."
        if self.is_transient(error):
            return StoreUnavailable(problem, next_step=_NEXT_STEP)
        return SetupError(problem, next_step=_CORRECT)


def connection_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a connection; `parameters` are those of the address."""
    several = {"target_session_attrs": "read-write"} if "," in str(parameters.get("host", "")) else {}
    session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    return {
        **_PARAMETERS,
        **several,
        **parameters,
        "options": f"{session} {parameters.get('options', '')}".strip(),
        # behind a pool that gives every transaction another connection, a statement that was prepared on one is
        # missing on the next
        "prepare_threshold": None,
        "autocommit": True,
    }


def connect(parameters: Mapping[str, Any]) -> "psycopg.Connection[Any]":
    """Connect with these parameters of the address and the standard ones.

    Raises:
        psycopg.Error: it fails.
    """
    import psycopg  # noqa: PLC0415  # an extra: only who sets such an address has it

    complete = connection_parameters(parameters)
    try:
        return psycopg.connect(**complete)
    except psycopg.OperationalError as error:
        # PgBouncer; the timeouts are then those of the role or of the database
        if "startup parameter" not in str(error):
            raise
    return psycopg.connect(**{**complete, "options": parameters.get("options", "")})


def _connect(
    _dialect: sa.Dialect, _record: object, _arguments: object, parameters: Mapping[str, Any]
) -> "psycopg.Connection[Any]":
    from psycopg.types.string import StrDumperUnknown  # noqa: PLC0415  # as above

    class TextDumper(StrDumperUnknown):
        """Dumper of a caller's text that may have a U+0000, which PostgreSQL does not take."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    connection = connect(parameters)
    connection.adapters.register_dumper(str, TextDumper)
    return connection


def _check_encoding(connection: sa.Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise SetupError(
            f"The database has the encoding {encoding}, in which not every prompt can be stored.",
            next_step="Create a database with ENCODING 'UTF8', and name it in JOURNEY_MCP_DATABASE_URL.",
        )


def _sqlstate(error: Exception) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state
