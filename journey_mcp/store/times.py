"""Times that several machines compare, such as the end of a lease: on PostgreSQL they are by the database's clock.

The clocks of machines differ. Callers give and get times by their own clock. A `Timeline` turns such a time into the
number that a statement takes, and the functions of this module make of it, inside the statement, a time by the clock of
the database. On SQLite, whose processes share one clock, both do nothing.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Timeline:
    """Translation between times by the caller's clock, in seconds of the Unix epoch, and numbers of statements."""

    def __init__(self, now: Callable[[], float], *, has_own_clock: bool) -> None:
        """Take the caller's clock, and whether the database has another one."""
        self.now = now
        self._has_own_clock = has_own_clock

    def to_store(self, at: float) -> float:
        """Return what a statement takes for this time: the seconds until then, if the database has its own clock."""
        return at - self.now() if self._has_own_clock else at

    def from_store(self, value: float) -> float:
        """Return the time of a number that a statement returned."""
        return value + self.now() if self._has_own_clock else value


def time_named(name: str) -> sa.BindParameter[float]:
    """Return a parameter for a number of `Timeline`."""
    return sa.bindparam(name, type_=sa.Float(53))


class stored(FunctionElement[float]):  # noqa: N801  # a function of SQL
    """The time to store for a number of `Timeline`."""

    type = sa.Float(53)
    inherit_cache = True
    _clock = "{} + extract(epoch FROM clock_timestamp())::double precision"


class compared(FunctionElement[float]):  # noqa: N801
    """The same, to compare stored times with: an index finds them, because it is one time for the whole statement."""

    type = sa.Float(53)
    inherit_cache = True
    _clock = "{} + extract(epoch FROM statement_timestamp())::double precision"


class read(FunctionElement[float]):  # noqa: N801
    """The number for `Timeline` of a stored time."""

    type = sa.Float(53)
    inherit_cache = True
    _clock = "{} - extract(epoch FROM clock_timestamp())::double precision"


def _as_it_is(element: Any, compiler: Any, **more: Any) -> str:
    text: str = compiler.process(element.clauses.clauses[0], **more)
    return text


def _by_the_database(element: Any, compiler: Any, **more: Any) -> str:
    return f"({element._clock.format(_as_it_is(element, compiler, **more))})"  # noqa: SLF001  # of this module


for _function in (stored, compared, read):
    compiles(_function)(_as_it_is)
    compiles(_function, "postgresql")(_by_the_database)
