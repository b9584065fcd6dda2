"""Objects: the images and thumbnails in an object store, which is never listed: this table says what is in it."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from journey_mcp.core.stored_objects import StoredObject
from journey_mcp.store.connection import Conflict
from journey_mcp.store.database import Database
from journey_mcp.store.schema import objects

_AT_ONCE = 500
"""Names in one statement."""


class ObjectTable:
    """The objects of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, stored: StoredObject) -> None:
        """Record an object, which exists already; one of the same name stays as it is."""
        try:
            await self._database.writer.count(_ADD, asdict(stored))
        except Conflict:
            return  # another process stored the same image

    async def get(self, names: Collection[str]) -> dict[str, StoredObject]:
        """Return the objects among these names."""
        found = dict[str, StoredObject]()
        for some in _batches(names):
            rows = await self._database.reader.rows(_GET, {"names": some})
            found |= {row["name"]: StoredObject(**row) for row in rows}
        return found

    async def of(self, owners: Collection[str]) -> list[StoredObject]:
        """Return all objects of these tasks and uploads."""
        found = list[StoredObject]()
        for some in _batches(owners):
            found += [StoredObject(**row) for row in await self._database.reader.rows(_OF, {"owners": some})]
        return found

    async def oldest(self, *, limit: int, before: float, after: StoredObject | None = None) -> list[StoredObject]:
        """Return objects made before then, the oldest first; `after` is one that the next ones follow."""
        query = sa.select(objects).where(objects.c.created_at < before)
        if after is not None:
            place = sa.tuple_(sa.literal(after.created_at), sa.literal(after.name))
            query = query.where(sa.tuple_(objects.c.created_at, objects.c.name) > place)
        query = query.order_by(objects.c.created_at, objects.c.name).limit(limit)
        return [StoredObject(**row) for row in await self._database.reader.rows(query)]

    async def total(self) -> int:
        """Return the bytes of all objects."""
        rows = await self._database.reader.rows(_TOTAL)
        return int(rows[0]["total"])

    async def delete(self, names: Collection[str]) -> None:
        """Delete what is known of objects that were deleted."""
        for some in _batches(names):
            await self._database.writer.count(_DELETE, {"names": some})


def _batches(names: Collection[str]) -> list[Sequence[str]]:
    given = list(names)
    return [given[start : start + _AT_ONCE] for start in range(0, len(given), _AT_ONCE)]


_ADD = sa.insert(objects)
_NAMED = objects.c.name.in_(sa.bindparam("names", expanding=True))
_GET = sa.select(objects).where(_NAMED)
_OF = sa.select(objects).where(objects.c.owner.in_(sa.bindparam("owners", expanding=True)))
_TOTAL = sa.select(sa.func.coalesce(sa.func.sum(objects.c.bytes), 0).label("total"))
_DELETE = sa.delete(objects).where(_NAMED)
