"""The tables as the newest migration leaves them; a test compares the two."""

import sqlalchemy as sa

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

schema_versions = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
