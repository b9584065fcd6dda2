"""Uploads: the images that were kept from a person, whose bytes are files of the data folder."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from journey_mcp.core.principals import Principal
from journey_mcp.store.database import Database
from journey_mcp.store.schema import uploads


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """An image that was kept from a person."""

    id: str
    principal: Principal
    created_at: float
    """Seconds of the Unix epoch."""
    file_name: str
    mime_type: str
    width: int
    height: int
    bytes: int


class UploadTable:
    """The uploads of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, upload: Upload) -> None:
        """Store an upload, whose file exists already."""
        await self._database.writer.count(_ADD, asdict(upload))

    async def get(self, ids: Sequence[str], *, principal: Principal) -> dict[str, Upload]:
        """Return the principal's uploads among these ids."""
        rows = await self._database.reader.rows(_GET, {"ids": list(ids), "of_principal": principal})
        return {row["id"]: Upload(**row) for row in rows}

    async def ids(self, *, before: float, principal: Principal | None) -> list[str]:
        """Return the ids of the uploads made before then, of one principal or of all."""
        made_before = sa.true() if math.isinf(before) else uploads.c.created_at < before
        is_its = sa.true() if principal is None else uploads.c.principal == principal
        return [
            row["id"] for row in await self._database.reader.rows(sa.select(uploads.c.id).where(made_before, is_its))
        ]

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete these uploads."""
        await self._database.writer.count(_DELETE, {"ids": list(ids)})

    async def delete_older(self, *, than: float) -> None:
        """Delete the uploads made before then."""
        await self._database.writer.count(sa.delete(uploads).where(uploads.c.created_at < than))


_ADD = sa.insert(uploads)
_DELETE = sa.delete(uploads).where(uploads.c.id.in_(sa.bindparam("ids", expanding=True)))
_GET = sa.select(uploads).where(
    uploads.c.id.in_(sa.bindparam("ids", expanding=True)), uploads.c.principal == sa.bindparam("of_principal")
)
