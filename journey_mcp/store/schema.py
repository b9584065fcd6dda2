"""The tables as the newest migration leaves them; a test compares the two."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def _where(condition: str) -> dict[str, Any]:
    """Return the condition of a partial index, for every database."""
    return {f"{kind}_where": sa.text(condition) for kind in ("sqlite", "postgresql")}


tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("base_url", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float(53), nullable=False),
    sa.Column("updated_at", sa.Float(53), nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("final", sa.Boolean, nullable=False),
    sa.Column("submission", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text),
    sa.Column("lease_worker", sa.Text, nullable=False),
    sa.Column("lease_until", sa.Float(53), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    # what it cost stays when the rest of a task is deleted
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("micro_credits", sa.BigInteger, nullable=False),
    sa.Column("micro_usd", sa.BigInteger, nullable=False),
    # in which of the two the cost is known, and its source; without one they hold what unknown costs count
    sa.Column("cost_unit", sa.Text),
    sa.Column("cost_source", sa.Text),
    sa.Column("deduplication_key", sa.Text),
    sa.Column("duplicate_policy", sa.Text),
    # when the result is to be delivered to the caller's webhook, once the task is final; NULL when that is over
    sa.Column("outbox_due", sa.Float(53)),
    sa.Column("outbox_tries", sa.Integer, nullable=False),
    # the host of that webhook, so that a slow host delays its own deliveries only
    sa.Column("outbox_host", sa.Text),
    # its entry in the queue of its provider: "waiting", "refused" (and waiting) or "granted"; round; since when
    sa.Column("queue_state", sa.Text),
    sa.Column("queue_round", sa.Integer),
    sa.Column("queue_since", sa.Float(53)),
    # prompt and model as searches compare them; NULL in rows of servers of earlier versions, and of deleted tasks
    sa.Column("search", sa.Text),
    # the id of the earlier image that it refines
    sa.Column("parent", sa.Text),
    # the caller's own key, sealed, while it is needed, then empty; NULL where a key of the settings is used
    sa.Column("sealed_key", sa.Text),
    sa.Index("tasks_by_principal", "principal", "created_at"),
    sa.Index("tasks_by_time", "created_at"),
    # of what is deleted only the cost is left, and it is not listed
    sa.Index("tasks_listed", "principal", "created_at", **_where("request <> ''")),
    # it has all that a sum needs, so that no row is read
    sa.Index(
        "tasks_spent",
        *("principal", "created_at", "submission", "provider", "cost_unit", "micro_credits", "micro_usd"),
    ),
    # the same for limits, whose sum delays other processes; SQLite has one writer anyway
    sa.Index(
        "tasks_charged",
        *("provider", "created_at"),
        postgresql_include=["micro_credits", "micro_usd"],
    ).ddl_if(dialect="postgresql"),
    # of duplicate calls one is stored, also when they come at once
    sa.Index(
        "tasks_joinable",
        "principal",
        "deduplication_key",
        unique=True,
        **_where("duplicate_policy = 'join'"),
    ),
    sa.Index(
        "tasks_unconfirmed",
        "principal",
        "deduplication_key",
        **_where("duplicate_policy = 'reject'"),
    ),
    sa.Index(
        "tasks_in_outbox",
        "outbox_due",
        **_where("outbox_due IS NOT NULL"),
    ),
    sa.Index(
        "tasks_in_queue",
        "provider",
        "base_url",
        **_where("queue_since IS NOT NULL AND NOT final"),
    ),
    # what the operator spends is the sum of all without these
    sa.Index("tasks_with_own_key", "created_at", **_where("sealed_key IS NOT NULL")),
    sa.Index("tasks_by_parent", "principal", "parent", "created_at", **_where("parent IS NOT NULL")),
    # few tasks are unfinished at any time, and leases are read every few seconds
    sa.Index(
        "tasks_unfinished",
        "lease_until",
        **_where("NOT final"),
    ),
)

cooldowns = sa.Table(
    "cooldowns",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("base_url", sa.Text, primary_key=True),
    sa.Column("until", sa.Float(53), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float(53), nullable=False),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Index("uploads_by_time", "created_at"),
)
"""The images that were kept from a person."""

copies = sa.Table(
    "copies",
    metadata,
    sa.Column("task_id", sa.Text, primary_key=True),
    # of the task, with which the row is deleted
    sa.Column("created_at", sa.Float(53), nullable=False),
    # the worker that copies the images, or did last
    sa.Column("worker", sa.Text, nullable=False),
    # when they are copied again, or until when they are left to the worker; NULL when that is over
    sa.Column("due", sa.Float(53)),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("images", sa.Text, nullable=False),
    sa.Index("copies_due", "due", **_where("due IS NOT NULL")),
    sa.Index("copies_by_time", "created_at"),
)
"""The copies of images of finished tasks: one row for each task that a process has begun to copy."""

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # by the clock of the database
    sa.Column("seen_at", sa.Float(53), nullable=False),
)
"""The processes on this database, and when each was last seen."""

call_counts = sa.Table(
    "call_counts",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    # of the Unix epoch
    sa.Column("minute", sa.BigInteger, primary_key=True),
    sa.Column("calls", sa.Integer, nullable=False),
)
"""How many calls of a principal each of the last minutes has had."""

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    # the task or the upload, with which the object is deleted
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float(53), nullable=False),
    sa.Index("objects_by_owner", "owner"),
    # it has what a sum needs
    sa.Index("objects_by_time", "created_at", "name", "bytes"),
)
"""The images and thumbnails in an object store."""

identity = sa.Table("identity", metadata, sa.Column("id", sa.Text, primary_key=True))
"""One row, created with the database: no other database has the same id."""

schema_versions = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
