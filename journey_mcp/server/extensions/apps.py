"""The extension `io.modelcontextprotocol/ui` (MCP Apps): tools name a page, and the host shows it beside their results.

The page is the gallery. Hosts without the extension get the same results without `_meta`.

https://github.com/modelcontextprotocol/ext-apps/blob/main/specification/2026-01-26/apps.mdx
"""

from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel.server import Server

from journey_mcp import gallery

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult

EXTENSION = "io.modelcontextprotocol/ui"
MIME_TYPE = "text/html;profile=mcp-app"

Context = ServerRequestContext[Any, Any]

_META = {"ui": {"csp": {}, "prefersBorder": False}}


def install(server: Server[Any]) -> None:
    """Announce the extension in both eras; `read` returns its page."""
    server.extensions[EXTENSION] = {}
    server.middleware.append(_announce_to_older_clients)


def read(uri: str) -> types.ReadResourceResult | None:
    """Return the page if this is its URI."""
    if uri != gallery.URI:
        return None
    page = types.TextResourceContents(uri=uri, mime_type=MIME_TYPE, text=gallery.page(), _meta=_META)
    return types.ReadResourceResult(contents=[page])


def is_declared(ctx: Context) -> bool:
    """Whether the client declares that it shows apps; unknown in older revisions over stateless HTTP."""
    capabilities = ctx.session.client_capabilities
    return EXTENSION in ((capabilities and capabilities.extensions) or {})


def is_wanted(params: types.CallToolRequestParams) -> bool:
    """Whether the gallery itself calls the tool: it says so, because the declaration may be unknown."""
    return gallery.FACTS in (params.meta or {})


async def _announce_to_older_clients(ctx: Context, call_next: "CallNext") -> "HandlerResult":
    """Add the extension to the result of `initialize`, from which the SDK (2.3) drops all extensions."""
    result = await call_next(ctx)
    if ctx.method == "initialize" and isinstance(result, dict):
        result["capabilities"].setdefault("extensions", {})[EXTENSION] = {}
    return result
