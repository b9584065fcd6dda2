"""The identity of a request, as the transport knows it."""

from typing import TYPE_CHECKING, Any

from journey_mcp.auth.identity import SCOPES, Identity
from journey_mcp.core.principals import LOCAL

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

LOCAL_IDENTITY = Identity(LOCAL, "local", frozenset(SCOPES))
"""The person at this machine, who needs no authentication."""


def identity_of(ctx: "ServerRequestContext[Any, Any]") -> Identity:
    """Return who sends this request: over HTTP whom the authentication found, otherwise the person at this machine."""
    if ctx.request is None:
        return LOCAL_IDENTITY
    # without authentication this is a bug, and an error
    found: Identity = ctx.request.scope["state"]["identity"]
    return found
