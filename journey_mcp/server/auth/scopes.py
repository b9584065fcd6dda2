"""Which scope a request needs. A method or a tool that is not named here needs one as well."""

from typing import Final

from journey_mcp.auth.identity import ADMIN, GENERATE, READ, Identity, Scope
from journey_mcp.core.errors import InsufficientScope
from journey_mcp.server.features import uris

CALL: Final = "tools/call"
_READING_TOOLS = {"fetch_task", "view_image"}
_CHANGING = {"tasks/update", "tasks/cancel"}
_FREE = {
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "prompts/get",
    "resources/templates/list",
}
"""They say what the server can do, and nothing about tasks."""


def missing_scope(identity: Identity, method: str, name: str | None) -> Scope | None:
    """Return the scope that the identity lacks for this request.

    `name` is the tool of `tools/call`, the URI of `resources/read`, and unused for other methods.
    """
    needed = _needed(method, name)
    if needed is None or identity.allows(needed):
        return None
    if method == "resources/read" and name == uris.SPEND and identity.allows(ADMIN):
        return None
    return needed


def error(missing: Scope) -> InsufficientScope:
    """Return the error of a request whose sender lacks this scope."""
    return InsufficientScope(f"This needs the scope {missing}, which the access token of this client lacks.")


def _needed(method: str, name: str | None) -> Scope | None:
    if method in _FREE or method.startswith("notifications/"):
        return None
    if method in _CHANGING or (method == CALL and name not in _READING_TOOLS):
        return GENERATE
    return READ
