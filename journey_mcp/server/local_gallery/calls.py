"""The calls of the page: the tools' own handlers, for the person at this machine, with every cost confirmed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.redaction import redactor_of
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.local_gallery.confirmations import Confirmations

TOOLS = ("imagine", "edit_image", "refine_image", "fetch_task", "cancel_task", "view_image", "keep_image")
"""The tools that the page may call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryCall:
    """A call of the page."""

    tool: str
    arguments: dict[str, Any]
    confirmation: str | None = None
    """The id with which the server asked about the cost of this very call."""

    @classmethod
    def parse(cls, body: bytes) -> "GalleryCall":
        """Parse the JSON of a call.

        Raises:
            InvalidArguments: it has another form.
        """
        try:
            plain = json.loads(body)
        except ValueError as error:
            raise InvalidArguments(f"The body is not JSON: {error}.") from error
        match plain:
            case {"tool": str(tool), "arguments": dict(arguments), **more} if more.keys() <= {"confirmation"}:
                confirmation = more.get("confirmation")
                if confirmation is None or isinstance(confirmation, str):
                    return cls(tool=tool, arguments=arguments, confirmation=confirmation)
        raise InvalidArguments('The body must be {"tool": "…", "arguments": {…}, "confirmation": "…" (optional)}.')

    def __str__(self) -> str:
        return json.dumps([self.tool, self.arguments], sort_keys=True)


class GalleryCalls:
    """Calls of the page."""

    def __init__(self, lifespan: Lifespan, confirmations: Confirmations) -> None:
        self._lifespan = lifespan
        self._confirmations = confirmations
        self._redactor = redactor_of(*lifespan.secrets)

    def tools(self) -> list[str]:
        """Return the tools that the page may call with this configuration."""
        listed = {tool["name"] for tool in self._lifespan.tool_set().tools}
        return [name for name in TOOLS if name in listed]

    async def run(self, call: GalleryCall) -> Mapping[str, Any]:
        """Return the result of a tool as MCP would send it; an error of the tool is a result too.

        Raises:
            InvalidArguments: the page may not call this tool.
            ConfirmationRequired: the call costs money, and the person has not confirmed that.
            JourneyError: the studio cannot be opened.
        """
        if call.tool not in (tools := self.tools()):
            raise InvalidArguments(f"The page cannot call {call.tool[:80]!r}; it can call {', '.join(tools)}.")
        with self._lifespan.track_call():
            studio = await self._lifespan.studio()
            from journey_mcp.server.handlers import Caller, run  # noqa: PLC0415  # the page comes before the studio

            confirm = self._confirmations.for_call(str(call), call.confirmation)
            caller = Caller(
                LOCAL, _report_nothing, confirm, roots=None, takes_tasks=False, has_gallery=True, is_gallery=True
            )
            result = await run(call.tool, call.arguments, studio, self._lifespan.tool_set().defaults, caller)
        plain = result if isinstance(result, dict) else result.model_dump(mode="json", by_alias=True, exclude_none=True)
        redacted: Mapping[str, Any] = self._redactor.plain(plain)
        return redacted


async def _report_nothing(_share: float, _message: str) -> None:
    """Ignore progress: the page fetches the task."""
