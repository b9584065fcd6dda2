"""The extension `io.modelcontextprotocol/ui` (MCP Apps): tools name a page, and the host shows it beside their results.

The page is the gallery. Hosts without the extension get the same results without `_meta`.

https://github.com/modelcontextprotocol/ext-apps/blob/main/specification/2026-01-26/apps.mdx
"""

import hashlib
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

_UI = {"csp": {}, "prefersBorder": False}
_CLAUDE_AGENT = "Claude-User"
_CLAUDE_NAMES = {"Anthropic/ClaudeAI", "claude-ai"}


def install(server: Server[Any]) -> None:
    """Announce the extension in both eras; `read` returns its page."""
    server.extensions[EXTENSION] = {}
    server.middleware.append(_announce_to_older_clients)


def read(uri: str, ctx: Context) -> types.ReadResourceResult | None:
    """Return the page if this is its URI."""
    if uri != gallery.URI:
        return None
    endpoint_url = ctx.lifespan_context.endpoint_url
    meta = {"ui": {**_UI, "domain": claude_domain(endpoint_url)}} if endpoint_url and _is_claude(ctx) else {"ui": _UI}
    page = types.TextResourceContents(uri=uri, mime_type=MIME_TYPE, text=gallery.page(), _meta=meta)
    return types.ReadResourceResult(contents=[page])


def claude_domain(endpoint_url: str) -> str:
    """Return the domain of the page in Claude on the web, which accepts no other for a connector with this URL.

    https://github.com/modelcontextprotocol/ext-apps/issues/671, 2026-11-28. Other hosts have other rules, and refuse
    or ignore this one.
    """
    return f"{hashlib.sha256(endpoint_url.encode()).hexdigest()[:32]}.claudemcpcontent.com"


def _is_claude(ctx: Context) -> bool:
    """Return whether Claude asks: in older revisions over stateless HTTP, only its `User-Agent` says so."""
    client = ctx.session.client_params
    agent = ctx.request.headers.get("user-agent", "") if ctx.request else ""
    return agent.startswith(_CLAUDE_AGENT) or (client is not None and client.client_info.name in _CLAUDE_NAMES)


def is_declared(ctx: Context) -> bool:
    """Return whether the client declares that it shows apps; unknown in older revisions over stateless HTTP."""
    capabilities = ctx.session.client_capabilities
    return EXTENSION in ((capabilities and capabilities.extensions) or {})


def is_wanted(params: types.CallToolRequestParams) -> bool:
    """Return whether the gallery itself calls the tool: it says so, because the declaration may be unknown."""
    return gallery.FACTS in (params.meta or {})


async def _announce_to_older_clients(ctx: Context, call_next: "CallNext") -> "HandlerResult":
    """Add the extension to the result of `initialize`, from which the SDK (2.3) drops all extensions."""
    result = await call_next(ctx)
    if ctx.method == "initialize" and isinstance(result, dict):
        result["capabilities"].setdefault("extensions", {})[EXTENSION] = {}
    return result
