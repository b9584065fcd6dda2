"""Statements that are compiled once, for those that every task needs."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa


class Prepared:
    """An INSERT, UPDATE or DELETE with plain values.

    SQLAlchemy finds a compiled statement again by its structure, and prepares the conversion of each value: that takes
    three times as long as the rest of what it does.
    """

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, sa.Compiled] = {}
        """By the name of the dialect."""

    def execute(self, connection: sa.Connection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """Execute it; `values` are by the names of the statement's parameters."""
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = self._statement.compile(dialect=dialect)
        compiled = self._compiled[dialect.name]
        named = {**compiled.params, **values}
        order = getattr(compiled, "positiontup", None)
        return connection.exec_driver_sql(compiled.string, named if order is None else tuple(map(named.get, order)))
