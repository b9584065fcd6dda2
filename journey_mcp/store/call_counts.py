"""Call counts: how many calls of a principal each minute has had, in all processes together."""

import sqlalchemy as sa

from journey_mcp.store.database import Database
from journey_mcp.store.schema import call_counts


class CallCounts:
    """The call counts of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, principal: str, *, minute: int, calls: int, limit: int) -> bool:
        """Count so many calls in a minute of the Unix epoch; return False, and count none, if that exceeds the limit.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        values = {"principal": principal, "minute": minute, "calls": calls, "limit": limit}
        return calls <= limit and await self._database.writer.count(_RESERVE, values) == 1

    async def delete_older(self, *, than_minute: int) -> None:
        """Delete the counts of earlier minutes."""
        await self._database.writer.count(sa.delete(call_counts).where(call_counts.c.minute < than_minute))


# in words that both databases have: SQLAlchemy has this statement for each of them alone
_RESERVE = sa.text(
    "INSERT INTO call_counts (principal, minute, calls) VALUES (:principal, :minute, :calls) "
    "ON CONFLICT (principal, minute) DO UPDATE SET calls = call_counts.calls + excluded.calls "
    "WHERE call_counts.calls + excluded.calls <= :limit"
)
