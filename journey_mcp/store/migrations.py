"""The ordered steps that bring an older database up to `schema`.

A step is frozen once released: a change of the tables is a new step.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal

import sqlalchemy as sa

from journey_mcp.core.errors import SetupError
from journey_mcp.core.urls import webhook_host
from journey_mcp.store.schema import identity, schema_versions


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
    if not sa.inspect(connection).has_table(schema_versions.name):
        return 0
    return (connection.execute(sa.select(sa.func.max(schema_versions.c.version)))).scalar() or 0


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
        connection.execute(sa.insert(schema_versions).values(version=number))
