"""An attack and its outcome."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from support import Authority

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The resources of an attack and its size."""

    random: Random
    folder: Path
    """An empty folder for this attack."""
    authority: Authority
    """Certifies the hosts of the attack; the environment names it."""
    scale: float
    """1 for the whole attack, less for a faster one."""

    def count(self, whole: int) -> int:
        """Return the number of attempts, from that of the whole attack."""
        return max(1, round(whole * self.scale))


@dataclass(kw_only=True)
class Outcome:
    """The number of attempts and the ones that succeeded."""

    attempts: int = 0
    unit: str
    """What was tried, in the plural: "addresses"."""
    succeeded: list[str] = field(default_factory=list)
    """One line for each attempt that succeeded."""
    remark: str = ""
    """A further figure, as in "answered within 0.3 s"."""

    def attempt(self, *, held: bool, what: str) -> None:
        """Count one attempt; `held` means that the defence held."""
        self.attempts += 1
        if not held:
            self.succeeded.append(what)


Attack = Callable[[Ground], Coroutine[Any, Any, Outcome]]
