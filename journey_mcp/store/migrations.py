"""The ordered steps that bring an older database up to `schema`.

A step is frozen once released: a change of the tables is a new step.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import sqlalchemy as sa

from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.plain import compact_json
from journey_mcp.core.text import searchable
from journey_mcp.core.urls import webhook_host
from journey_mcp.core.worker_id import described, is_alive
from journey_mcp.store.advisory_locks import lock_statements
from journey_mcp.store.schema import identity, schema_versions


def m001_tasks(connection: sa.Connection) -> None:
    """Create the first tables."""
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


def m002_cooldowns(connection: sa.Connection) -> None:
    """Create the table of cooldowns."""
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


def m003_spend_and_deduplication(connection: sa.Connection) -> None:
    """Add what a task counts against budgets, and its deduplication key."""
    for column in (
        "model VARCHAR(80) NOT NULL DEFAULT ''",
        "micro_credits BIGINT NOT NULL DEFAULT 0",
        "micro_usd BIGINT NOT NULL DEFAULT 0",
        "wish VARCHAR(64)",
    ):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column}")
    connection.exec_driver_sql("CREATE INDEX tasks_by_time ON tasks (created_at)")
    connection.exec_driver_sql("CREATE UNIQUE INDEX tasks_wishes ON tasks (principal, wish) WHERE wish IS NOT NULL")


def m004_outbox(connection: sa.Connection) -> None:
    """Add the deliveries to webhooks of callers."""
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_due DOUBLE PRECISION")
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_tries INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("CREATE INDEX tasks_to_relay ON tasks (relay_due) WHERE relay_due IS NOT NULL")


def m005_duplicate_calls(connection: sa.Connection) -> None:
    """Store what a duplicate call gets beside the key, which stays: a fresh duplicate takes nothing away any more."""
    for statement in (
        "ALTER TABLE tasks ADD COLUMN equal_call VARCHAR(10)",
        "UPDATE tasks SET equal_call = 'joins' WHERE wish IS NOT NULL AND status <> 'failed'",
        "UPDATE tasks SET equal_call = 'refused' WHERE wish IS NOT NULL AND status = 'failed'",
        "DROP INDEX tasks_wishes",
        "CREATE INDEX tasks_unclear ON tasks (principal, wish) WHERE equal_call = 'refused'",
        "CREATE UNIQUE INDEX tasks_joined ON tasks (principal, wish) WHERE equal_call = 'joins'",
    ):
        connection.exec_driver_sql(statement)


def m006_queues(connection: sa.Connection) -> None:
    """Add the queues of providers: one for all processes."""
    for column in ("line VARCHAR(8)", "line_round INTEGER", "line_since DOUBLE PRECISION"):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column}")
    connection.exec_driver_sql(
        "CREATE INDEX tasks_in_line ON tasks (provider, base_url) WHERE line_since IS NOT NULL AND NOT final"
    )


def m007_costs(connection: sa.Connection) -> None:
    """Keep the unit and the source of a known cost when the rest of a task is deleted."""
    for column in ("cost_unit", "cost_source"):
        connection.exec_driver_sql(f"ALTER TABLE tasks ADD COLUMN {column} VARCHAR(8)")
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "outcome", "cost_unit", "cost_source")))
    rows = (connection.execute(sa.select(tasks_then.c.id, tasks_then.c.outcome))).all()
    for task_id, outcome in rows:
        try:
            cost = json.loads(outcome)["cost"]
            known = {"cost_unit": cost["unit"], "cost_source": cost["source"]}
        except (ValueError, TypeError, KeyError):
            continue  # no cost is known, or the row cannot be read: it does not block the others
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(known))


def m008_units(connection: sa.Connection) -> None:
    """Count a task in the unit that its provider charges in; a credit of Black Forest Labs is a cent."""
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
    at_bfl = sa.select(tasks_then.c.id, tasks_then.c.outcome).where(tasks_then.c.provider == "bfl")
    for task_id, outcome in connection.execute(at_bfl.where(tasks_then.c.outcome.contains("credits"))).all():
        try:
            plain = json.loads(outcome)
            if plain["cost"]["unit"] != "credits":
                continue
            amount = Decimal(plain["cost"]["amount"]) / 100
            plain["cost"] |= {"amount": f"{amount.normalize():f}", "unit": "usd"}
        except (ValueError, TypeError, KeyError, ArithmeticError):
            continue  # it has no cost, or cannot be read: it does not block the others
        changed = compact_json(plain)
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(outcome=changed))


def m009_identity(connection: sa.Connection) -> None:
    """Give the database an identity, by which an emptied or replaced one is recognized."""
    connection.exec_driver_sql("CREATE TABLE identity (id VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(sa.insert(sa.table("identity", sa.column("id"))).values(id=secrets.token_hex(16)))


def m010_outbox_hosts(connection: sa.Connection) -> None:
    """Add the hosts of webhooks: a slow host delays its own deliveries only."""
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN relay_host TEXT")
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "request", "relay_due", "relay_host")))
    due = sa.select(tasks_then.c.id, tasks_then.c.request).where(tasks_then.c.relay_due.is_not(None))
    for task_id, request in connection.execute(due).all():
        try:
            host = webhook_host(json.loads(request)["webhook_url"])
        except (ValueError, TypeError, KeyError, AttributeError):
            host = ""  # it cannot be read, and is not delivered
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(relay_host=host))


def m011_addresses(connection: sa.Connection) -> None:
    """Remove user names and passwords from the addresses of providers."""
    cooldowns_then = sa.table("rests", sa.column("base_url"))
    connection.execute(
        sa.delete(cooldowns_then).where(cooldowns_then.c.base_url.contains("@"))
    )  # they end within minutes anyway
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "base_url")))
    rows = connection.execute(sa.select(tasks_then).where(tasks_then.c.base_url.contains("@"))).all()
    for task_id, base_url in rows:
        bare = re.sub(r"(?<=://)[^/?#]*@", "", base_url)
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(base_url=bare))


def m012_standard_terms(connection: sa.Connection) -> None:
    """Rename columns, tables, indexes and stored words to the field's terms."""
    for before, after in (
        ("lease_owner", "lease_worker"),
        ("wish", "deduplication_key"),
        ("equal_call", "duplicate_policy"),
        ("relay_due", "outbox_due"),
        ("relay_tries", "outbox_tries"),
        ("relay_host", "outbox_host"),
        ("line", "queue_state"),
        ("line_round", "queue_round"),
        ("line_since", "queue_since"),
    ):
        connection.exec_driver_sql(f"ALTER TABLE tasks RENAME COLUMN {before} TO {after}")
    for statement in (
        "ALTER TABLE rests RENAME TO cooldowns",
        "DROP INDEX tasks_joined",
        "DROP INDEX tasks_unclear",
        "DROP INDEX tasks_to_relay",
        "DROP INDEX tasks_in_line",
        "UPDATE tasks SET duplicate_policy = 'join' WHERE duplicate_policy = 'joins'",
        "UPDATE tasks SET duplicate_policy = 'reject' WHERE duplicate_policy = 'refused'",
        "UPDATE tasks SET queue_state = 'waiting' WHERE queue_state = 'waits'",
        "UPDATE tasks SET queue_state = 'granted' WHERE queue_state = 'turn'",
        """CREATE UNIQUE INDEX tasks_joinable ON tasks (principal, deduplication_key)
            WHERE duplicate_policy = 'join'""",
        "CREATE INDEX tasks_unconfirmed ON tasks (principal, deduplication_key) WHERE duplicate_policy = 'reject'",
        "CREATE INDEX tasks_in_outbox ON tasks (outbox_due) WHERE outbox_due IS NOT NULL",
        "CREATE INDEX tasks_in_queue ON tasks (provider, base_url) WHERE queue_since IS NOT NULL AND NOT final",
    ):
        connection.exec_driver_sql(statement)
    _rename_keys(connection, {"answer_by": "callback_deadline", "passing": "transient_notices"})


def m013_search(connection: sa.Connection) -> None:
    """Add what searches compare, and indexes of listings and of what was spent.

    Servers of earlier versions go on: their new rows have no value in the column.
    """
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN search TEXT")
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "request", "search")))
    rows = connection.execute(sa.select(tasks_then.c.id, tasks_then.c.request).where(tasks_then.c.request != "")).all()
    for task_id, request in rows:
        try:
            plain = json.loads(request)
            search = searchable(f"{plain['prompt']}\n{plain['model']}")
        except (ValueError, TypeError, KeyError):
            continue  # a row that cannot be read does not block the others
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(search=search))
    for statement in (
        """CREATE INDEX tasks_spent ON tasks
            (principal, created_at, submission, provider, cost_unit, micro_credits, micro_usd)""",
        # last: of two indexes that it thinks equal, SQLite takes the newer one
        "CREATE INDEX tasks_listed ON tasks (principal, created_at) WHERE request <> ''",
    ):
        connection.exec_driver_sql(statement)


def _rename_keys(connection: sa.Connection, names: Mapping[str, str]) -> None:
    """Rename keys of the outcomes of tasks."""
    tasks_then = sa.table("tasks", *map(sa.column, ("id", "outcome")))
    with_keys = sa.or_(*(tasks_then.c.outcome.contains(f'"{name}":') for name in names))
    for task_id, outcome in connection.execute(sa.select(tasks_then).where(with_keys)).all():
        try:
            plain = {names.get(name, name): value for name, value in json.loads(outcome).items()}
        except (ValueError, AttributeError):
            continue  # a row that cannot be read does not block the others
        changed = compact_json(plain)
        connection.execute(sa.update(tasks_then).where(tasks_then.c.id == task_id).values(outcome=changed))


def m014_images(connection: sa.Connection) -> None:
    """Add the images that are kept from a person, and what became of the images of finished tasks."""
    connection.exec_driver_sql(
        """
        CREATE TABLE uploads (
            id VARCHAR(40) NOT NULL PRIMARY KEY,
            principal VARCHAR(200) NOT NULL,
            created_at DOUBLE PRECISION NOT NULL,
            file_name VARCHAR(80) NOT NULL,
            mime_type VARCHAR(40) NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            bytes BIGINT NOT NULL
        )
        """
    )
    connection.exec_driver_sql("CREATE INDEX uploads_by_time ON uploads (created_at)")
    connection.exec_driver_sql(
        """
        CREATE TABLE copies (
            task_id VARCHAR(40) NOT NULL PRIMARY KEY,
            created_at DOUBLE PRECISION NOT NULL,
            worker VARCHAR(40) NOT NULL,
            due DOUBLE PRECISION,
            tries INTEGER NOT NULL,
            images TEXT NOT NULL
        )
        """
    )
    connection.exec_driver_sql("CREATE INDEX copies_due ON copies (due) WHERE due IS NOT NULL")
    connection.exec_driver_sql("CREATE INDEX copies_by_time ON copies (created_at)")


def m015_refinements(connection: sa.Connection) -> None:
    """Store which image a task refines; the tasks of earlier versions refine none."""
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN parent VARCHAR(40)")
    connection.exec_driver_sql(
        "CREATE INDEX tasks_by_parent ON tasks (principal, parent, created_at) WHERE parent IS NOT NULL"
    )


def m016_text_and_workers(connection: sa.Connection) -> None:
    """Add when processes were last seen; on PostgreSQL, take texts of any length, and index what limits add up.

    SQLite has never enforced a length. A provider's id must not be too long to be stored after it was paid for.
    """
    connection.exec_driver_sql("CREATE TABLE workers (id TEXT NOT NULL PRIMARY KEY, seen_at DOUBLE PRECISION NOT NULL)")
    if connection.dialect.name == "sqlite":
        return
    for table, columns in (
        ("tasks", "id principal provider base_url status submission prediction_id lease_worker model cost_unit"),
        ("tasks", "cost_source deduplication_key duplicate_policy queue_state parent"),
        ("cooldowns", "provider base_url"),
        ("uploads", "id principal file_name mime_type"),
        ("copies", "task_id worker"),
        ("identity", "id"),
    ):
        changes = ", ".join(f"ALTER COLUMN {column} TYPE TEXT" for column in columns.split())
        connection.exec_driver_sql(f"ALTER TABLE {table} {changes}")
    connection.exec_driver_sql("ALTER INDEX rests_pkey RENAME TO cooldowns_pkey")
    connection.exec_driver_sql(
        "CREATE INDEX tasks_charged ON tasks (provider, created_at) INCLUDE (micro_credits, micro_usd)"
    )


def m017_call_counts(connection: sa.Connection) -> None:
    """Add how many calls of a principal a minute has had."""
    connection.exec_driver_sql(
        """
        CREATE TABLE call_counts (
            principal TEXT NOT NULL,
            minute BIGINT NOT NULL,
            calls INTEGER NOT NULL,
            PRIMARY KEY (principal, minute)
        )
        """
    )


def m018_objects(connection: sa.Connection) -> None:
    """Add what is in an object store."""
    connection.exec_driver_sql(
        """
        CREATE TABLE objects (
            name TEXT NOT NULL PRIMARY KEY,
            owner TEXT NOT NULL,
            format TEXT NOT NULL,
            bytes BIGINT NOT NULL,
            digest TEXT NOT NULL,
            created_at DOUBLE PRECISION NOT NULL
        )
        """
    )
    connection.exec_driver_sql("CREATE INDEX objects_by_owner ON objects (owner)")
    connection.exec_driver_sql("CREATE INDEX objects_by_time ON objects (created_at, name, bytes)")


def m019_keys_of_callers(connection: sa.Connection) -> None:
    """Add the sealed keys with which callers pay for tasks themselves.

    Servers of earlier versions go on. They do not take such a task over and poll it with their own key, because its
    base URL ends with the id of an account, which they do not know.
    """
    connection.exec_driver_sql("ALTER TABLE tasks ADD COLUMN sealed_key TEXT")
    connection.exec_driver_sql("CREATE INDEX tasks_with_own_key ON tasks (created_at) WHERE sealed_key IS NOT NULL")


STEPS: Sequence[Callable[[sa.Connection], None]] = (
    m001_tasks,
    m002_cooldowns,
    m003_spend_and_deduplication,
    m004_outbox,
    m005_duplicate_calls,
    m006_queues,
    m007_costs,
    m008_units,
    m009_identity,
    m010_outbox_hosts,
    m011_addresses,
    m012_standard_terms,
    m013_search,
    m014_images,
    m015_refinements,
    m016_text_and_workers,
    m017_call_counts,
    m018_objects,
    m019_keys_of_callers,
)


_BREAKING = 12
"""The newest step after which older servers cannot use the database any more."""


_BEGIN = "BEGIN IMMEDIATE"
_BEGIN_ON_POSTGRESQL = (
    # others may migrate a large database, but they wait briefly for the tables, so that their users wait briefly too
    f"BEGIN; SET LOCAL lock_timeout = '60s'; {lock_statements(['migration'])}; "
    "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)


def migrate(connection: sa.Connection, now: float) -> None:
    """Bring the database up to the newest step; processes that start together wait for each other.

    Raises:
        SetupError: a newer journey-mcp migrated this database.
        StoreUnavailable: an older server has unfinished tasks in it at `now`, in seconds of the Unix epoch.
    """
    if _version(connection) == len(STEPS):
        return  # without asking for the write lock, which another process may hold for long
    # The connection commits every statement by itself; this transaction takes the write lock at once, so that of two
    # processes one migrates and the other then finds the work done.
    connection.exec_driver_sql(_BEGIN if connection.dialect.name == "sqlite" else _BEGIN_ON_POSTGRESQL)
    try:
        _step_up(connection, now)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
    if connection.dialect.name == "sqlite":
        # from now on the identity is read from the file, and not from the log beside it
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def identity_of(connection: sa.Connection) -> str | None:
    """Return the database's identity; `None` if it has none, because its tables are gone."""
    try:
        found: str | None = connection.exec_driver_sql("SELECT id FROM identity").scalar()
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        if sa.inspect(connection).has_table(identity.name):
            raise
        return None
    return found


def _version(connection: sa.Connection) -> int:
    """Return the number of the newest step that was run; 0 in an empty database."""
    if not sa.inspect(connection).has_table(schema_versions.name):
        return 0
    return (connection.execute(sa.select(sa.func.max(schema_versions.c.version)))).scalar() or 0


def _step_up(connection: sa.Connection, now: float) -> None:
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY)")
    version = _version(connection)
    if version > len(STEPS):
        raise SetupError(
            f"The database has version {version}; this journey-mcp knows {len(STEPS)}.",
            next_step="Update journey-mcp, or set JOURNEY_MCP_DATA_DIR to another folder.",
        )
    if 0 < version < _BREAKING:
        _check_leases(connection, now)
    for number, step in enumerate(STEPS[version:], start=version + 1):
        step(connection)
        connection.execute(sa.insert(schema_versions).values(version=number))


def _check_leases(connection: sa.Connection, now: float) -> None:
    """Verify that no older server needs the columns, which change, to store an answer that is paid for.

    Raises:
        StoreUnavailable: names its process.
    """
    names = ("lease_owner", "lease_until", "submission")
    tasks_then = sa.table("tasks", *map(sa.column, names), sa.column("final", sa.Boolean))
    unfinished = sa.select(*(tasks_then.c[name] for name in names)).where(tasks_then.c.final.is_(False))
    holders = {
        worker_id
        for worker_id, lease_until, submission in connection.execute(unfinished)
        if _is_in_use(worker_id, submission, is_leased=lease_until > now)
    }
    if holders:
        processes = ", ".join(sorted(map(described, holders)))
        raise StoreUnavailable(
            f"An older journey-mcp has unfinished tasks in the task database, which this version has to change: "
            f"{processes}.",
            next_step="Call again when these tasks have ended. If it stays so, "
            + ask_person("end that process, for example by restarting its chat client."),
        )


def _is_in_use(worker_id: str, submission: str, *, is_leased: bool) -> bool:
    """Return whether the worker may still store something of its task.

    A process that was suspended wakes up with an expired lease, and with the answer to its request.
    """
    is_running = is_alive(worker_id)
    return is_running is not False if is_leased else is_running is True and submission == "sent"


def check_version(connection: sa.Connection) -> None:
    """Verify that no newer journey-mcp has migrated the database while this process has it open.

    Raises:
        StoreUnavailable: names both versions.
    """
    if (version := _version(connection)) > len(STEPS):
        raise StoreUnavailable(
            f"A newer journey-mcp has changed the task database to version {version}; this one knows {len(STEPS)}.",
            next_step=ask_person("Restart this server with the newer version."),
        )
