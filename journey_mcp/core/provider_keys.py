"""Provider keys that callers bring themselves, and what a text must be to be a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_KEY = 1_000
"""The most characters in a caller's key; those of the known providers have about a hundred."""


@dataclass(frozen=True, slots=True)
class CallerKeys:
    """The keys of one caller, by provider. They are never shown."""

    by_provider: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __bool__(self) -> bool:
        return bool(self.by_provider)

    def replaced_by(self, others: "CallerKeys") -> "CallerKeys":
        """Return these keys, and the others, which come in place of keys of the same provider."""
        return CallerKeys({**self.by_provider, **others.by_provider}) if others else self


NO_KEYS = CallerKeys()


def fault_of(key: str) -> str | None:
    """Return why a text cannot be a key in a header, without repeating it; `None` if it can."""
    if not (key.isascii() and key.isprintable()):
        return "has characters that cannot be sent in a header; copy the whole key and nothing else"
    return "has a blank in it, and keys have no blanks" if " " in key else None


def fault_of_callers(key: str) -> str | None:
    """Return why a text cannot be the key of a caller, without repeating it; `None` if it can."""
    if not key:
        return "is empty"
    return f"has more than {LONGEST_KEY:,} characters" if len(key) > LONGEST_KEY else fault_of(key)
