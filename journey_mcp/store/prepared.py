"""Statements that are compiled once, for those that every task needs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa


class Prepared:
    """An INSERT, UPDATE or DELETE with plain values.

    SQLAlchemy finds a compiled statement again by its structure, and prepares the conversion of each value: that takes
    three times as long as the rest of what it does.
    """

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}
        """By the name of the dialect."""

    def execute(self, connection: sa.Connection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """Execute it; `values` are by the names of the statement's parameters."""
        return connection.exec_driver_sql(*self.for_driver(connection.dialect, values))

    def for_driver(self, dialect: sa.Dialect, values: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the text and the parameters as the driver takes them."""
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = _Compiled.of(self._statement, dialect)
        return self._compiled[dialect.name].with_values(values)


class _Compiled(NamedTuple):
    text: str
    constants: Mapping[str, Any]
    order: Sequence[str] | None
    """The names of the parameters, where the driver takes them by position."""

    @classmethod
    def of(cls, statement: sa.ClauseElement, dialect: sa.Dialect) -> "_Compiled":
        compiled = statement.compile(dialect=dialect)
        return cls(compiled.string, compiled.params, getattr(compiled, "positiontup", None))

    def with_values(self, values: Mapping[str, Any]) -> tuple[str, Any]:
        named = {**self.constants, **values}
        return self.text, named if self.order is None else tuple(map(named.__getitem__, self.order))
