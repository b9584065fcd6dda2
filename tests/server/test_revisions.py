"""A client that sends `server/discover` first may still continue with `initialize`."""

import json
from typing import Any

import pytest
from handshakes import ENVELOPE, INITIALIZED, asked, handshake, modern, request, settings_with

KEYS = ["JOURNEYAPI_API_KEY"]
FUTURE = {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
DISCOVERIES: dict[str, list[Any]] = {
    "none": [],
    "one": [modern("server/discover", "a")],
    "three": [modern("server/discover", name) for name in "abc"],
    "one of a revision that is not served": [modern("server/discover", "a", **FUTURE)],
    "one without an envelope": [request("server/discover", id_="a")],
    "one with a notification before it": [INITIALIZED, modern("server/discover", "a")],
}


async def results(*messages: Any) -> dict[Any, Any]:
    """Return the responses of the server without the recorded handshake, by id."""
    answers = [json.loads(line) for line in await asked(settings_with(KEYS), messages)]
    return {answer["id"]: answer.get("result") or answer["error"] for answer in answers}


@pytest.mark.parametrize("discoveries", DISCOVERIES.values(), ids=DISCOVERIES)
async def test_a_handshake_after_discovery(discoveries: list[Any]) -> None:
    """Every discovery gets a response, and the connection works."""
    seen = await results(*discoveries, handshake(), INITIALIZED, request("tools/list", id_=2))
    assert seen[1]["protocolVersion"] == "2025-11-25"
    assert "imagine" in {tool["name"] for tool in seen[2]["tools"]}
    assert len(seen) == sum("id" in message for message in discoveries) + 2


@pytest.mark.parametrize("discoveries", DISCOVERIES.values(), ids=DISCOVERIES)
async def test_a_modern_connection_after_discovery(discoveries: list[Any]) -> None:
    """The same for revision 2026-07-28."""
    seen = await results(*discoveries, modern("tools/list", 2), modern("tools/list", 3))
    assert "tools" in seen[2]
    assert "tools" in seen[3]
    assert len(seen) == sum("id" in message for message in discoveries) + 2


async def test_a_discovery_without_an_envelope_and_then_one_with_it() -> None:
    """The second gets the response of a first one."""
    seen = await results(request("server/discover", id_=1), modern("server/discover", 2), modern("tools/list", 3))
    assert seen[1]["code"] == -32601
    assert "supportedVersions" in seen[2]
    assert "tools" in seen[3]


async def test_other_requests_choose_the_revision() -> None:
    """A handshake after another request is rejected, and so is an envelope after a handshake."""
    late = await results(modern("server/discover", "a"), modern("tools/list"), handshake(id_=2))
    assert late[2]["code"] == -32022
    mixed = await results(handshake(), request("tools/list", {"_meta": ENVELOPE}, 2))
    assert mixed[2]["code"] == -32600
