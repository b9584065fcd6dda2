"""Rows as they are stored, for moving them from one database to another."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from journey_mcp.store.connection import Conflict
from journey_mcp.store.database import Database
from journey_mcp.store.migrations import STEPS
from journey_mcp.store.schema import copies, tasks, uploads

TableName = Literal["tasks", "uploads", "copies"]
Row = Mapping[str, Any]
SCHEMA_VERSION = len(STEPS)
_TABLES: Mapping[TableName, sa.Table] = {"tasks": tasks, "uploads": uploads, "copies": copies}
TABLES: tuple[TableName, ...] = tuple(_TABLES)
"""What belongs to a journal. Cooldowns end within minutes, and leases belong to processes."""
_PAGE = 200
_WITHOUT_LEASE = {"lease_worker": "", "lease_until": 0.0}
"""Of a task that another database held: the next server takes it over."""


class Transfer:
    """The rows of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self) -> list[tuple[str, str, float]]:
        """Return id, worker and end of the lease of all unfinished tasks."""
        query = sa.select(tasks.c.id, tasks.c.lease_worker, tasks.c.lease_until).where(sa.text("NOT final"))
        rows = await self._database.reader.rows(query)
        return [(row["id"], row["lease_worker"], row["lease_until"]) for row in rows]

    async def pages(self, name: TableName) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the rows of a table, a few at a time."""
        table = _TABLES[name]
        (key,) = table.primary_key
        last = ""
        while True:
            rows = await self._database.reader.rows(sa.select(table).where(key > last).order_by(key).limit(_PAGE))
            if not rows:
                return
            yield [dict(row) for row in rows]
            last = rows[-1][key.name]

    async def insert(self, name: TableName, rows: Sequence[Row]) -> int:
        """Store the rows whose ids are not there; return how many they were. Columns of later versions are left out."""
        table = _TABLES[name]
        (key,) = table.primary_key
        found = await self._database.writer.rows(sa.select(key).where(key.in_([row[key.name] for row in rows])))
        known = {row[key.name] for row in found}
        new = [_complete(table, row) for row in rows if row[key.name] not in known]
        if not new:
            return 0
        try:
            return await self._database.writer.count(sa.insert(table).values(new))
        except Conflict:
            return sum([await self._insert_one(table, row) for row in new])

    async def _insert_one(self, table: sa.Table, row: dict[str, Any]) -> int:
        """Store a row; a task that excludes another one, as its duplicate, is stored as one that no call joins."""
        try:
            return await self._database.writer.count(sa.insert(table), row)
        except Conflict:
            if row.get("duplicate_policy") is None:
                return 0  # another process has stored it
            return await self._database.writer.count(sa.insert(table), {**row, "duplicate_policy": None})


def _complete(table: sa.Table, row: Row) -> dict[str, Any]:
    """Return all columns of a row, those of earlier versions without a value."""
    given = {**row, **_WITHOUT_LEASE} if table is tasks else row
    return {column.name: given.get(column.name) for column in table.c}
