"""What an attack is, and what came of it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from support import Authority

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where an attack takes place, and what chance it has."""

    random: Random
    folder: Path
    """An empty folder of its own."""
    authority: Authority
    """Certifies the hosts that an attack needs; the environment names it."""
    scale: float
    """1 for the whole attack, less for a quicker one."""

    def count(self, whole: int) -> int:
        """So many of the attempts of the whole attack."""
        return max(1, round(whole * self.scale))


@dataclass(kw_only=True)
class Outcome:
    """How often something was tried, and what got through."""

    tried: int = 0
    unit: str
    """What was tried, in the plural: "addresses"."""
    through: list[str] = field(default_factory=list)
    """One line for each attempt that succeeded."""
    remark: str = ""
    """A figure beside it, as in "answered within 0.3 s"."""

    def attempt(self, *, held: bool, what: str) -> None:
        """Count one."""
        self.tried += 1
        if not held:
            self.through.append(what)


Attack = Callable[[Ground], Coroutine[Any, Any, Outcome]]
