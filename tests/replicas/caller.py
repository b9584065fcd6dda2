"""A client of one revision with a token, which repeats a call whose connection broke, as clients do."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp.shared.inbound import encode_header_value

REVISIONS = ("2025-06-18", "2025-11-25", "2026-07-28")
_NEW = REVISIONS[-1]
_CLIENT = {"name": "session", "version": "1"}
_PAUSE_S = 0.25
_AGAIN = {429, 502, 503, 504}
_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.TimeoutException)
_TIMEOUT_S = 600.0
"""Only ends a trial that hangs: on a busy machine 500 sessions wait for minutes."""


class Refused(Exception):
    """The server answered with an error of the protocol, or with an HTTP status that is no reason to try again."""


class _Again(Exception):
    """The connection broke, or the server asks to come back."""


@dataclass(frozen=True)
class Repeats:
    """The requests that were repeated."""

    reasons: Counter[str] = field(default_factory=Counter)
    """Why, and how often."""
    interrupted_s: list[float] = field(default_factory=list)
    """For how long each had no answer, from its first failure on."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Caller of tools at one address, until they are answered."""

    http: httpx2.AsyncClient
    url: str
    revision: str
    token: str | None = None
    repeats: Repeats = field(default_factory=Repeats)

    async def initialize(self) -> None:
        """Begin the session, if the revision has sessions."""
        if self.revision != _NEW:
            params = {"protocolVersion": self.revision, "capabilities": {}, "clientInfo": _CLIENT}
            result = await self._until_answered("initialize", params)
            assert result["protocolVersion"] == self.revision

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the object of a tool's result, errors included; an error that says so is tried again."""
        params = {"name": tool, "arguments": arguments}
        content: dict[str, Any] = await self._repeated(lambda: self._content(params))
        return content

    async def _until_answered(self, method: str, params: Mapping[str, Any]) -> Any:
        return await self._repeated(lambda: self._once(method, params))

    async def _repeated(self, request: Callable[[], Awaitable[Any]]) -> Any:
        failed_at = None
        while True:
            try:
                result = await request()
            except (*_BROKEN, _Again) as error:
                self.repeats.reasons[str(error) or type(error).__name__] += 1
                failed_at = failed_at or time.monotonic()
                if time.monotonic() - failed_at > _TIMEOUT_S:
                    raise TimeoutError(f"there is no answer: {dict(self.repeats.reasons)}") from error
                await asyncio.sleep(_PAUSE_S)
            else:
                if failed_at:
                    self.repeats.interrupted_s.append(time.monotonic() - failed_at)
                return result

    async def _content(self, params: Mapping[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = (await self._once("tools/call", params))["structuredContent"]
        if content.get("error", {}).get("retryable"):
            raise _Again(content["error"]["code"])
        return content

    async def _once(self, method: str, params: Mapping[str, Any]) -> Any:
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": self.revision,
        }
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        plain = dict(params)
        if self.revision == _NEW:
            prefix = "io.modelcontextprotocol/"
            versions = {f"{prefix}protocolVersion": _NEW, f"{prefix}clientInfo": _CLIENT}
            plain["_meta"] = {**versions, f"{prefix}clientCapabilities": {}}
            headers |= {"mcp-method": method, "mcp-name": encode_header_value(params["name"])}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": plain}
        answer = await self.http.post(f"{self.url}/mcp", json=body, headers=headers)
        if answer.status_code in _AGAIN:
            raise _Again(f"HTTP {answer.status_code}")
        if answer.status_code != httpx2.codes.OK:
            raise Refused(f"{method}: HTTP {answer.status_code} {answer.text[:300]}")
        message = _last_message(answer)
        if "result" not in message:
            raise Refused(f"{method}: {message}")
        return message["result"]


def _last_message(answer: httpx2.Response) -> dict[str, Any]:
    """Return the response to a request, whose stream may have ended before it."""
    lines = [answer.text]
    if "text/event-stream" in answer.headers["content-type"]:
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "id" not in found:
        raise _Again("stream without response")
    return found
