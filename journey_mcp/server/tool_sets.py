"""The tools that the sender of a request may use."""

from typing import TYPE_CHECKING, Any

from journey_mcp.server.auth.identity import identity_of

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from journey_mcp.server.lifespan import Lifespan
    from journey_mcp.tools.tool_set import ToolSet


def tool_set_of(ctx: "ServerRequestContext[Lifespan, Any]") -> "ToolSet":
    """Return the tools with the models that the caller may use."""
    identity = identity_of(ctx)
    return ctx.lifespan_context.tool_set(identity.providers, identity.keys.by_provider)
