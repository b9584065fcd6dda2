"""A host of MCP Apps in a browser page: two origins, the messages of the specification, and a client of our server.

The pages of the host and of its sandbox come from files. A request for any other address is aborted and counts as a
problem, as does an error in the page.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp import Client
from mcp.client.extension import advertise

from browser.chromium import context_options

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Frame, Page, Route

UI = "io.modelcontextprotocol/ui"
VIEW = "ui://journey/gallery.html"
APPS = advertise(UI, {"mimeTypes": ["text/html;profile=mcp-app"]})
"""What a client of a host of MCP Apps declares."""
CAPABILITIES = (
    "serverTools",
    "serverResources",
    "message",
    "updateModelContext",
    "openLinks",
    "downloadFile",
)
"""What the host supports unless a test leaves something out."""
INLINE: Mapping[str, Any] = {
    "theme": "light",
    "displayMode": "inline",
    "availableDisplayModes": ["inline", "fullscreen"],
    "containerDimensions": {"maxHeight": 500},
    "platform": "web",
}
_FOLDER = Path(__file__).parent
_TIMEOUT_MS = 20_000
_WANTED_BY_SPECIFICATION = "both allow-scripts and allow-same-origin"
"""Chromium warns of this sandbox, which the specification demands of the outer frame."""


@dataclass(kw_only=True)
class AppHost:
    """The host and what it has seen."""

    page: "Page"
    client: Client
    html: str
    is_offline: bool = False
    """Calls of the view fail, as without a connection to the server."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The tools that views called, with their arguments."""
    problems: list[str] = field(default_factory=list)
    """Requests for other addresses, and errors in the page."""
    _last: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = field(default_factory=lambda: ({}, {}, {}))
    _visible: dict[str, list[str]] = field(default_factory=dict)

    async def open(
        self, *, capabilities: tuple[str, ...] = CAPABILITIES, context: Mapping[str, Any] | None = None
    ) -> "Frame":
        """Show a new view, which replaces the last one, and return its frame."""
        supported: dict[str, Any] = {name: {} for name in capabilities}
        options = {"html": self.html, "capabilities": supported, "context": {**INLINE, **(context or {})}}
        await self.page.evaluate("(options) => mount(options)", options)
        return self.view

    @property
    def view(self) -> "Frame":
        """The frame of the view."""
        (sandbox,) = self.page.main_frame.child_frames
        (view,) = sandbox.child_frames
        return view

    async def call(self, tool: str, arguments: dict[str, Any], **view: Any) -> dict[str, Any]:
        """Call a tool as the model does, with a new view; return the result."""
        await self.open(**view)
        await self.notify("tool-input", {"arguments": arguments})
        result = plain(await self.client.call_tool(tool, arguments))
        await self.notify("tool-result", result)
        self._last = (arguments, result, view)
        return result

    async def again(self, **view: Any) -> None:
        """Show the last call in a new view, as a host does when a conversation is opened again."""
        arguments, result, last = self._last
        await self.open(**(view or last))
        await self.notify("tool-input", {"arguments": arguments})
        await self.notify("tool-result", result)

    async def notify(self, name: str, params: Mapping[str, Any]) -> None:
        """Send a notification to the view."""
        await self.page.evaluate("([name, params]) => view.notify(name, params)", [name, params])

    async def ask(self, method: str) -> Any:
        """Send a request to the view and return the answer."""
        return await self.page.evaluate("(method) => view.ask(method)", method)

    async def received(self, method: str) -> list[Any]:
        """Return the parameters of what the view has sent with this method."""
        return [params for name, params in await self.page.evaluate("view.log") if name == method]

    async def sent(self, method: str, count: int = 1) -> list[Any]:
        """Wait until the view has sent so many messages with this method; return their parameters."""
        await self.page.wait_for_function(
            "([method, count]) => view.log.filter(([name]) => name === method).length >= count", arg=[method, count]
        )
        return await self.received(method)

    async def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Hand a request of the view to the server."""
        if self.is_offline:
            raise ConnectionError("The server cannot be reached.")
        if method == "resources/read":
            return plain(await self.client.read_resource(params["uri"]))
        name, arguments = params["name"], params.get("arguments", {})
        if "app" not in self._visible[name]:
            raise PermissionError(f"{name} is not for apps")
        self.calls.append((name, arguments))
        return plain(await self.client.call_tool(name, arguments, meta=params.get("_meta")))

    async def read_tools(self) -> None:
        """Read which tools views may call."""
        for tool in (await self.client.list_tools()).tools:
            meta = (tool.meta or {}).get("ui", {})
            self._visible[tool.name] = meta.get("visibility", ["model", "app"])


def plain(result: Any) -> dict[str, Any]:
    """Return a result as it is sent."""
    sent: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return sent


def watch(context: "BrowserContext", problems: list[str]) -> None:
    """Collect errors of all pages."""
    context.on("weberror", lambda event: problems.append(f"error: {event.error.stack or event.error}"))
    context.on(
        "console",
        lambda message: (
            problems.append(f"console: {message.text}")
            if message.type in {"error", "warning"} and _WANTED_BY_SPECIFICATION not in message.text
            else None
        ),
    )


@asynccontextmanager
async def app_host(browser: "Browser", client: Client, **options: Any) -> AsyncIterator[AppHost]:
    """Open a host in a new context of the browser; the client declares `APPS`."""
    (content,) = (await client.read_resource(VIEW)).contents
    assert content.mime_type == "text/html;profile=mcp-app"
    context = await browser.new_context(**context_options(**options))
    context.set_default_timeout(_TIMEOUT_MS)
    page = await context.new_page()
    host = AppHost(page=page, client=client, html=content.text)  # type: ignore[union-attr]  # a page is text
    await host.read_tools()
    watch(context, host.problems)

    async def foreign(route: "Route") -> None:
        host.problems.append(f"request: {route.request.url}")
        await route.abort()

    await context.route("**/*", foreign)
    for name in ("host", "sandbox"):
        body = (_FOLDER / f"{name}.html").read_text(encoding="utf-8")
        await context.route(f"https://{name}.test/", _fulfilled(body))
    await context.expose_function("mcp", host.answer)
    await page.goto("https://host.test/")
    try:
        yield host
    finally:
        await context.close()


def _fulfilled(body: str) -> Any:
    async def fulfil(route: "Route") -> None:
        await route.fulfill(content_type="text/html; charset=utf-8", body=body)

    return fulfil
