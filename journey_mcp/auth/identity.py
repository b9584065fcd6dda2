"""Identities: who sends a request, and what they may do."""

from dataclasses import dataclass
from typing import Final, Literal

from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys

Scope = Literal["images:generate", "images:read", "admin"]
GENERATE: Final = "images:generate"
READ: Final = "images:read"
ADMIN: Final = "admin"
SCOPES: tuple[Scope, ...] = (GENERATE, READ, ADMIN)


@dataclass(frozen=True, slots=True)
class Identity:
    """The sender of a request, as authentication states it."""

    principal: Principal
    name: str
    """For people who read the log: the name of a token, or the subject at an issuer."""
    scopes: frozenset[Scope]
    providers: tuple[str, ...] | None = None
    """The only providers whose configured keys this principal may use; `None` for all."""
    calls_per_minute: int | None = None
    """Instead of the limit in the settings."""
    keys: CallerKeys = NO_KEYS
    """Provider keys of the principal's own."""

    def allows(self, scope: Scope) -> bool:
        """Return whether this scope is granted; who may make images may read them."""
        return scope in self.scopes or (scope == READ and GENERATE in self.scopes)
