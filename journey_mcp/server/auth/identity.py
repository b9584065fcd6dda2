"""Identities: who sends a request, and what they may do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

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
        """Whether this scope is granted; who may make images may read them."""
        return scope in self.scopes or (scope == READ and GENERATE in self.scopes)


LOCAL_IDENTITY = Identity(LOCAL, "local", frozenset(SCOPES))
"""The person at this machine, who needs no authentication."""


def identity_of(ctx: "ServerRequestContext[Any, Any]") -> Identity:
    """Return who sends this request: over HTTP whom the authentication found, otherwise the person at this machine."""
    if ctx.request is None:
        return LOCAL_IDENTITY
    # without authentication this is a bug, and an error
    found: Identity = ctx.request.scope["state"]["identity"]
    return found
