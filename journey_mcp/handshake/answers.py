"""The recorded responses of the SDK to `initialize`, `server/discover` and `tools/list`, word for word.

`UPDATE_TOOL_SPECS=1 pytest tests/handshake/test_answers.py` makes the record from the real server.
"""

# ruff: noqa: PTH118, PTH120, PTH123  # importing pathlib, or typing below, takes as long as all the rest

from __future__ import annotations

import json
import os

from journey_mcp.handshake.plugins import has_plugins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    Era = Literal["handshake", "modern"]
    """Revisions up to 2025-11-25, which begin with `initialize`; or 2026-07-28, whose requests state their version."""

RECORD = os.path.dirname(__file__)
"""The folder with `recorded.json` and the tools of a few configurations, each named by its providers."""
CHANGE_TOOLS = (
    "JOURNEY_MCP_PROVIDERS",
    "JOURNEY_MCP_REGISTRY",
    "JOURNEY_MCP_DEFAULT_MODEL",
    "JOURNEY_MCP_DEFAULT_EDIT_MODEL",
    "JOURNEY_MCP_WAIT_S",
    "JOURNEY_MCP_KEEP_DAYS",
    "JOURNEY_MCP_TOOLS",
    "JOURNEY_MCP_CREDIT_PRICE",
    "JOURNEY_MCP_PUBLIC_URL",
    "JOURNEY_MCP_STORE",
)
"""Settings besides keys that change `tools/list`: nothing is recorded for their values."""
_META = "io.modelcontextprotocol/"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DEEPEST = 50
_LONGEST_ID = 200
_LARGEST_ID = 2**53


class Answer:
    """A recorded response."""

    __slots__ = ("decides", "line", "request_id")

    def __init__(self, line: bytes, request_id: int | str, decides: Era | None) -> None:
        self.line = line
        self.request_id = request_id
        self.decides = decides
        """The era of the connection from now on; `None` for `server/discover`, which every client may send first."""


def recorded_tools(environment: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Return the tools of `tools/list` in this environment, on stdio; `None` if they are not recorded."""
    return _tools(environment, _read("recorded.json"))


def _tools(environment: Mapping[str, str], record: dict[str, Any]) -> list[dict[str, Any]] | None:
    def is_set(name: str) -> bool:
        return bool(environment.get(name, "").strip())

    if any(is_set(name) for name in CHANGE_TOOLS) or has_plugins():
        return None
    providers = [provider for key, provider in record["keys"].items() if is_set(key)] or [record["without_key"]]
    try:
        tools: list[dict[str, Any]] = _read("tools", f"{'+'.join(providers)}.json")
    except FileNotFoundError:
        return None
    return tools


def _read(*path: str) -> Any:
    with open(os.path.join(RECORD, *path), encoding="utf-8") as file:
        return json.load(file)


class Answers:
    """Responder to the lines of one connection, as long as the SDK's response is known."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        record = _read("recorded.json")
        self._initialize: dict[str, Any] = record["initialize"]
        self._discover: dict[str, Any] = record["discover"]
        self._list: dict[Era, dict[str, Any]] = record["tools/list"]
        self._tools = _tools(environment, record)
        self._era: Era | None = None
        self._is_lost = False

    def answer(self, line: bytes) -> Answer | None:
        """Return the response to a line, or `None`: the SDK must respond.

        After an unknown request all are unknown: it may have changed what the next ones mean.
        """
        if _is_odd(line):
            self._is_lost = True
            return None
        try:
            message = json.loads(line.removeprefix(_BYTE_ORDER_MARK).decode())
        except ValueError:
            return None
        if not isinstance(message, dict) or "id" not in message:
            return None
        found = self._known(message) if _is_request(message) else None
        if found is None:
            self._is_lost |= message.get("method") != "server/discover"
            return None
        result, era = found
        self._era = era or self._era
        response = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        text = json.dumps(response, ensure_ascii=False, separators=(",", ":"))
        return Answer(text.encode() + b"\n", message["id"], era)

    def _known(self, message: dict[str, Any]) -> tuple[dict[str, Any], Era | None] | None:
        method, params = message["method"], message.get("params", {})
        is_modern = _is_modern(params)
        if self._is_lost:
            return None
        if method == "server/discover" and self._era != "handshake" and is_modern:
            return self._discover, None
        if method == "initialize" and self._era is None and _is_handshake(params):
            version = params["protocolVersion"]
            version = version if version in self._initialize["versions"] else self._initialize["latest"]
            return {**self._initialize["result"], "protocolVersion": version}, "handshake"
        if method == "tools/list" and self._tools is not None:
            era: Era = "modern" if is_modern else "handshake"
            is_due = self._era == era or (is_modern and self._era is None)
            if is_due and (is_modern or _has_no_parameters(params)):
                return {**self._list[era], "tools": [_in_order(tool, era) for tool in self._tools]}, era
        return None


def _in_order(tool: dict[str, Any], era: Era) -> dict[str, Any]:
    """Return the tool with schema keys in the order of the SDK: sorted up to 2025-11-25."""
    if era == "modern":
        return tool
    return {name: dict(sorted(its.items())) if name.endswith("Schema") else its for name, its in tool.items()}


def _is_odd(line: bytes) -> bool:
    """Return whether the line may contain something that `json` accepts and the server does not."""
    is_nested = line.count(b"{") + line.count(b"[") > _DEEPEST
    return is_nested or any(part in line for part in (b"\\ud", b"\\uD", b"NaN", b"Infinity"))


def _is_request(message: dict[str, Any]) -> bool:
    id_ = message["id"]
    return (
        message.keys() <= {"jsonrpc", "id", "method", "params"}
        and message.get("jsonrpc") == "2.0"
        and isinstance(message.get("method"), str)
        and isinstance(message.get("params", {}), dict)
        and (
            (type(id_) is int and abs(id_) < _LARGEST_ID)
            or (isinstance(id_, str) and len(id_) < _LONGEST_ID and id_.isascii() and id_.isprintable())
        )
    )


def _has_no_parameters(params: dict[str, Any]) -> bool:
    """Return whether there are no parameters, except perhaps a progress token."""
    meta = params.get("_meta", {})
    return (
        params.keys() <= {"_meta"}
        and isinstance(meta, dict)
        and meta.keys() <= {"progressToken"}
        and isinstance(meta.get("progressToken", 0), (int, str))
    )


def _is_modern(params: dict[str, Any]) -> bool:
    """Return whether there is the envelope of 2026-07-28, and nothing else."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or params.keys() != {"_meta"}:
        return False
    rest = {name: value for name, value in meta.items() if not name.startswith(_META)}
    ours = {name.removeprefix(_META): value for name, value in meta.items() if name.startswith(_META)}
    return (
        _has_no_parameters({"_meta": rest})
        and ours.keys() <= {"protocolVersion", "clientInfo", "clientCapabilities"}
        and ours.get("protocolVersion") == "2026-07-28"
        and _is_capabilities(ours.get("clientCapabilities"))
        and ("clientInfo" not in ours or _is_implementation(ours["clientInfo"]))
    )


def _is_handshake(params: dict[str, Any]) -> bool:
    return (
        params.keys() == {"protocolVersion", "capabilities", "clientInfo"}
        and isinstance(params["protocolVersion"], str)
        and _is_capabilities(params["capabilities"])
        and _is_implementation(params["clientInfo"])
    )


def _is_implementation(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= {"name", "version", "title", "description", "websiteUrl"}
        and all(isinstance(part, str) for part in value.values())
        and {"name", "version"} <= value.keys()
    )


def _is_capabilities(value: Any) -> bool:
    return isinstance(value, dict) and all(_CAPABILITIES.get(name, _anything)(its) for name, its in value.items())


def _anything(_value: Any) -> bool:
    """Accept a capability that the SDK does not know and so ignores."""
    return True


def _objects(value: Any) -> bool:
    """Return whether the value is nested objects only."""
    return isinstance(value, dict) and all(_objects(its) for its in value.values())


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(its, dict) for its in value.values())


def _roots(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() <= {"listChanged"} and isinstance(value.get("listChanged", True), bool)
    )


_CAPABILITIES: dict[str, Callable[[Any], bool]] = {
    "experimental": _by_name,
    "extensions": _by_name,
    "roots": _roots,
    "sampling": _objects,
    "elicitation": _objects,
    "tasks": _objects,
}
