"""Which clients get previews: hosts that are known to take an image block, by the name in their `clientInfo`.

Unknown names and those of SDKs get none, because an image block makes some frameworks fail: see docs/frameworks.md.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from mcp.server import ServerRequestContext

from journey_mcp.server.extensions import apps

_PROXY = re.compile(r" \(via mcp-remote [^)]*\)$")
"""What a proxy adds to the name of its client."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A program that people use, and what it does with an image block."""

    title: str
    names: tuple[str, ...]
    """As in `clientInfo`."""
    shows: str
    source: str
    checked: date


_CHECKED = date(2026, 11, 29)
HOSTS = (
    Host(
        title="Claude Desktop, local servers",
        names=("claude-ai",),
        shows="the person: folded away in the tool block; the model: from its next turn on",
        source="anthropics/claude-code#53256, anthropics/claude-ai-mcp#643",
        checked=_CHECKED,
    ),
    Host(
        title="Claude on the web and in Desktop, connectors",
        names=("Anthropic/ClaudeAI",),
        shows="as above",
        source="anthropics/claude-ai-mcp#238",
        checked=_CHECKED,
    ),
    Host(
        title="Claude Code",
        names=("claude-code",),
        shows="the model only",
        source="anthropics/claude-code#53980; name: screenpipe/screenpipe#5796",
        checked=_CHECKED,
    ),
    Host(
        title="VS Code",
        names=("Visual Studio Code", "Visual Studio Code - Insiders"),
        shows="the person: in the tool block, with a save button",
        source="microsoft/vscode#254283",
        checked=_CHECKED,
    ),
    Host(
        title="Codex",
        names=("codex-mcp-client",),
        shows="the model; the person sees a placeholder",
        source="openai/codex#5600, openai/codex#29451; name: screenpipe/screenpipe#5796",
        checked=_CHECKED,
    ),
    Host(
        title="Cursor",
        names=("cursor-vscode",),
        shows="the model, since 0.49",
        source="BrowserMCP/mcp#30; name: apify/mcp-client-capabilities",
        checked=_CHECKED,
    ),
    Host(
        title="MCP Inspector",
        names=("mcp-inspector", "inspector-client", "inspector-cli", "inspector-tui"),
        shows="the person: in the result",
        source="npm @modelcontextprotocol/inspector 0.18 and 2.12",
        checked=_CHECKED,
    ),
)
_KNOWN = frozenset(name.casefold() for host in HOSTS for name in host.names)


def takes_previews(ctx: ServerRequestContext[Any, Any], setting: Literal["auto", "always", "off"]) -> bool:
    """Return whether results for this client have a preview.

    With `auto`, a host that is known to show it and does not show the gallery. In older revisions over stateless HTTP
    the client is unknown.
    """
    if setting != "auto":
        return setting == "always"
    client, capabilities = ctx.session.client_params, ctx.session.client_capabilities
    if client is None or capabilities is None:
        return False
    return not apps.is_declared(ctx) and _PROXY.sub("", client.client_info.name).casefold() in _KNOWN
