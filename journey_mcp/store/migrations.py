"""The database's tables, and the ordered steps that bring an older file up to them.

A step is frozen once released: a change of the tables is a new step. The tables below are what the newest step
leaves behind, and a test compares the two.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal

import sqlalchemy as sa

from journey_mcp.core.errors import SetupError
from journey_mcp.core.urls import webhook_host

metadata = sa.MetaData()

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("principal", sa.String(200), nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("base_url", sa.String(400), nullable=False),
    sa.Column("created_at", sa.Float(53), nullable=False),
    sa.Column("updated_at", sa.Float(53), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("final", sa.Boolean, nullable=False),
    sa.Column("submission", sa.String(20), nullable=False),
    sa.Column("prediction_id", sa.String(200)),
    sa.Column("lease_owner", sa.String(40), nullable=False),
    sa.Column("lease_until", sa.Float(53), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    # what became of the money stays when the rest of a task is deleted
    sa.Column("model", sa.String(80), nullable=False),
    sa.Column("micro_credits", sa.BigInteger, nullable=False),
    sa.Column("micro_usd", sa.BigInteger, nullable=False),
    # in which of the two the cost is known, and who told it; without one they hold what unknown costs count
    sa.Column("cost_unit", sa.String(8)),
    sa.Column("cost_source", sa.String(8)),
    sa.Column("wish", sa.String(64)),
    sa.Column("equal_call", sa.String(10)),
    # when the caller's own webhook is told next, once the task is final; nothing when that is over
    sa.Column("relay_due", sa.Float(53)),
    sa.Column("relay_tries", sa.Integer, nullable=False),
    # where that webhook is, so that one host's do not hold up the others'
    sa.Column("relay_host", sa.Text),
    # where it stands in the line for its provider: "waits", "refused" (and waits) or "turn", in which round, since when
    sa.Column("line", sa.String(8)),
    sa.Column("line_round", sa.Integer),
    sa.Column("line_since", sa.Float(53)),
    sa.Index("tasks_by_principal", "principal", "created_at"),
    sa.Index("tasks_by_time", "created_at"),
    # of equal calls one is made, also when they come at once
    sa.Index(
        "tasks_joined",
        "principal",
        "wish",
        unique=True,
        sqlite_where=sa.text("equal_call = 'joins'"),
    ),
    sa.Index(
        "tasks_unclear",
        "principal",
        "wish",
        sqlite_where=sa.text("equal_call = 'refused'"),
    ),
    sa.Index(
        "tasks_to_relay",
        "relay_due",
        sqlite_where=sa.text("relay_due IS NOT NULL"),
    ),
    sa.Index(
        "tasks_in_line",
        "provider",
        "base_url",
        sqlite_where=sa.text("line_since IS NOT NULL AND NOT final"),
    ),
    # few tasks are unfinished at any time: leases are looked through every few seconds
    sa.Index(
        "tasks_unfinished",
        "lease_until",
        sqlite_where=sa.text("NOT final"),
    ),
)

cooldowns = sa.Table(
    "rests",
    metadata,
    sa.Column("provider", sa.String(40), primary_key=True),
    sa.Column("base_url", sa.String(400), primary_key=True),
    sa.Column("until", sa.Float(53), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

identity = sa.Table("identity", metadata, sa.Column("id", sa.String(32), primary_key=True))
"""One row, made with the database: another one, however like it, has another."""

_versions = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))


def m001_tasks(connection: sa.Connection) -> None:
    """The first tables."""
    connection.exec_driver_sql(
        """
        CREATE TABLE tasks (
            id VARCHAR(40) NOT NULL PRIMARY KEY,
            principal VARCHAR(200) NOT NULL,
            provider VARCHAR(40) NOT NULL,
            base_url VARCHAR(400) NOT NULL,
            created_at DOUBLE PRECISION NOT NULL,
            updated_at DOUBLE PRECISION NOT NULL,
            status VARCHAR(20) NOT NULL,
            final BOOLEAN NOT NULL,
            submission VARCHAR(20) NOT NULL,
            prediction_id VARCHAR(200),
            lease_owner VARCHAR(40) NOT NULL,
            lease_until DOUBLE PRECISION NOT NULL,
            request TEXT NOT NULL,
            outcome TEXT NOT NULL
        )
        """
    )
    connection.exec_driver_sql("CREATE INDEX tasks_by_principal ON tasks (principal, created_at)")
    connection.exec_driver_sql("CREATE INDEX tasks_unfinished ON tasks (lease_until) WHERE NOT final")


def m002_rests(connection: sa.Connection) -> None:
    """Providers that refused lately and are tried last."""
    connection.exec_driver_sql(
        """
        CREATE TABLE rests (
            provider VARCHAR(40) NOT NULL,
            base_url VARCHAR(400) NOT NULL,
            until DOUBLE PRECISION NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (provider, base_url)
        )
        """
    )


def m003_money_and_wishes(connection: sa.Connection) -> None:
    """What a task counts against budgets, and which call it answers."""
    for column in (
        "model VARCHAR(80) NOT NULL DEFAULT ''",
        "micro_credits BIGINT NOT NULL DEFAULT 0",
        "micro_usd BIGINT NOT NULL DEFAULT 0",
        "wish VARCHAR(64)",
    ):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column}")
    connection.exec_driver_sql("CREATE INDEX tasks_by_time ON tasks (created_at)")
    connection.exec_driver_sql("CREATE UNIQUE INDEX tasks_wishes ON tasks (principal, wish) WHERE wish IS NOT NULL")


def m004_relay(connection: sa.Connection) -> None:
    """Telling the webhooks of callers what became of their tasks."""
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_due DOUBLE PRECISION")
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_tries INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("CREATE INDEX tasks_to_relay ON tasks (relay_due) WHERE relay_due IS NOT NULL")


def m005_equal_calls(connection: sa.Connection) -> None:
    """What comes of an equal call stands beside the wish, which stays: a fresh twin takes nothing away any more."""
    for statement in (
        "ALTER TABLE tasks ADD COLUMN equal_call VARCHAR(10)",
        "UPDATE tasks SET equal_call = 'joins' WHERE wish IS NOT NULL AND status <> 'failed'",
        "UPDATE tasks SET equal_call = 'refused' WHERE wish IS NOT NULL AND status = 'failed'",
        "DROP INDEX tasks_wishes",
        "CREATE INDEX tasks_unclear ON tasks (principal, wish) WHERE equal_call = 'refused'",
        "CREATE UNIQUE INDEX tasks_joined ON tasks (principal, wish) WHERE equal_call = 'joins'",
    ):
        connection.exec_driver_sql(statement)


def m006_lines(connection: sa.Connection) -> None:
    """Who waits for room at a provider: one line for all processes."""
    for column in ("line VARCHAR(8)", "line_round INTEGER", "line_since DOUBLE PRECISION"):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column}")
    connection.exec_driver_sql(
        "CREATE INDEX tasks_in_line ON tasks (provider, base_url) WHERE line_since IS NOT NULL AND NOT final"
    )


def m007_costs(connection: sa.Connection) -> None:
    """Whether what counts is a cost that is known stays when the rest of a task is deleted."""
    for column in ("cost_unit", "cost_source"):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column} VARCHAR(8)")
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "outcome", "cost_unit", "cost_source")))
    rows = (connection.execute(sa.select(tasks_then.c.id, tasks_then.c.outcome))).all()
    for task_id, outcome in rows:
        try:
            cost = json.loads(outcome)["cost"]
            told = {"cost_unit": cost["unit"], "cost_source": cost["source"]}
        except (ValueError, TypeError, KeyError):
            continue  # no cost is known, or the row cannot be read: it keeps nobody from the others
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(told))


def m008_units(connection: sa.Connection) -> None:
    """A task counts in the unit that its provider charges in; a credit of Black Forest Labs is a cent."""
    for statement in (
        """UPDATE tasks SET micro_usd = micro_credits / 100, micro_credits = 0, cost_unit = 'usd'
            WHERE provider = 'bfl' AND cost_unit = 'credits'""",
        "UPDATE tasks SET micro_usd = 0 WHERE cost_unit = 'credits'",
        "UPDATE tasks SET micro_credits = 0 WHERE cost_unit = 'usd'",
        "UPDATE tasks SET micro_usd = 0 WHERE cost_unit IS NULL AND provider = 'journeyapi'",
        "UPDATE tasks SET micro_credits = 0 WHERE cost_unit IS NULL AND provider IN ('bfl', 'vtrix')",
    ):
        connection.exec_driver_sql(statement)
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "provider", "outcome")))
    told = sa.select(tasks_then.c.id, tasks_then.c.outcome).where(tasks_then.c.provider == "bfl")
    for task_id, outcome in connection.execute(told.where(tasks_then.c.outcome.contains("credits"))).all():
        try:
            plain = json.loads(outcome)
            if plain["cost"]["unit"] != "credits":
                continue
            amount = Decimal(plain["cost"]["amount"]) / 100
            plain["cost"] |= {"amount": f"{amount.normalize():f}", "unit": "usd"}
        except (ValueError, TypeError, KeyError, ArithmeticError):
            continue  # it has no cost, or cannot be read: it keeps nobody from the others
        changed = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(outcome=changed))


def m009_identity(connection: sa.Connection) -> None:
    """By what a database that was emptied or replaced is known."""
    connection.exec_driver_sql("CREATE TABLE identity (id VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(sa.insert(sa.table("identity", sa.column("id"))).values(id=secrets.token_hex(16)))


def m010_relay_hosts(connection: sa.Connection) -> None:
    """A host that is slow to take webhooks holds up its own only."""
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_host TEXT")
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "request", "relay_due", "relay_host")))
    due = sa.select(tasks_then.c.id, tasks_then.c.request).where(tasks_then.c.relay_due.is_not(None))
    for task_id, request in connection.execute(due).all():
        try:
            host = webhook_host(json.loads(request)["webhook_url"])
        except (ValueError, TypeError, KeyError, AttributeError):
            host = ""  # it cannot be read, and is not told
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(relay_host=host))


def m011_addresses(connection: sa.Connection) -> None:
    """User names and passwords in the addresses of providers are stored no more."""
    cooldowns_then = sa.table("rests", sa.column("base_url"))
    connection.execute(
        sa.delete(cooldowns_then).where(cooldowns_then.c.base_url.contains("@"))
    )  # they end within minutes anyway
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "base_url")))
    rows = connection.execute(sa.select(tasks_then).where(tasks_then.c.base_url.contains("@"))).all()
    for task_id, base_url in rows:
        bare = re.sub(r"(?<=://)[^/?#]*@", "", base_url)
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(base_url=bare))


STEPS: Sequence[Callable[[sa.Connection], None]] = (
    m001_tasks,
    m002_rests,
    m003_money_and_wishes,
    m004_relay,
    m005_equal_calls,
    m006_lines,
    m007_costs,
    m008_units,
    m009_identity,
    m010_relay_hosts,
    m011_addresses,
)


def migrate(connection: sa.Connection) -> None:
    """Bring the database up to the newest step; processes that start together wait for each other.

    Raises:
        SetupError: a newer journey-mcp made this database.
    """
    if _version(connection) == len(STEPS):
        return  # without asking for the write lock, which somebody may hold for long
    # The connection commits every statement by itself; this transaction is ours, and takes the write lock
    # at once so that of two processes one migrates and the other then finds the work done.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "BEGIN")
    try:
        _step_up(connection)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
    if connection.dialect.name == "sqlite":
        # the identity is read from the file from now on, and not from the log that lies beside it
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def identity_of(connection: sa.Connection) -> str | None:
    """The database's identity; `None` when it has none, because its tables are gone."""
    try:
        found: str | None = connection.exec_driver_sql("SELECT id FROM identity").scalar()
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        if sa.inspect(connection).has_table(identity.name):
            raise
        return None
    return found


def _version(connection: sa.Connection) -> int:
    """The newest step that was taken; 0 in an empty database."""
    if not sa.inspect(connection).has_table(_versions.name):
        return 0
    return (connection.execute(sa.select(sa.func.max(_versions.c.version)))).scalar() or 0


def _step_up(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY)")
    version = _version(connection)
    if version > len(STEPS):
        raise SetupError(
            f"The database has version {version}; this journey-mcp knows {len(STEPS)}.",
            next_step="Update journey-mcp, or set JOURNEY_MCP_DATA_DIR to another folder.",
        )
    for number, step in enumerate(STEPS[version:], start=version + 1):
        step(connection)
        connection.execute(sa.insert(_versions).values(version=number))
