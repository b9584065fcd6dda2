"""A client that asks `server/discover` before anything else may still go on with a handshake."""

import json
from typing import Any

import pytest
from handshakes import ENVELOPE, INITIALIZED, asked, handshake, modern, request, settings_with

KEYS = ["JOURNEYAPI_API_KEY"]
FUTURE = {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
PROBES: dict[str, list[Any]] = {
    "none": [],
    "one": [modern("server/discover", "a")],
    "three": [modern("server/discover", name) for name in "abc"],
    "one of a revision that is not served": [modern("server/discover", "a", **FUTURE)],
    "one without an envelope": [request("server/discover", id_="a")],
    "one with a notification before it": [INITIALIZED, modern("server/discover", "a")],
}


async def results(*messages: Any) -> dict[Any, Any]:
    """The answers of the server alone, by id."""
    answers = [json.loads(line) for line in await asked(settings_with(KEYS), messages)]
    return {answer["id"]: answer.get("result") or answer["error"] for answer in answers}


@pytest.mark.parametrize("probes", PROBES.values(), ids=PROBES)
async def test_a_handshake_after_probes(probes: list[Any]) -> None:
    """Every probe has its answer, and the connection works."""
    seen = await results(*probes, handshake(), INITIALIZED, request("tools/list", id_=2))
    assert seen[1]["protocolVersion"] == "2025-11-25"
    assert len(seen[2]["tools"]) == 4
    assert len(seen) == sum("id" in probe for probe in probes) + 2


@pytest.mark.parametrize("probes", PROBES.values(), ids=PROBES)
async def test_a_modern_connection_after_probes(probes: list[Any]) -> None:
    """The same."""
    seen = await results(*probes, modern("tools/list", 2), modern("tools/list", 3))
    assert "tools" in seen[2]
    assert "tools" in seen[3]
    assert len(seen) == sum("id" in probe for probe in probes) + 2


async def test_a_probe_without_an_envelope_and_then_one_with_it() -> None:
    """The second is answered as if it were the first."""
    seen = await results(request("server/discover", id_=1), modern("server/discover", 2), modern("tools/list", 3))
    assert seen[1]["code"] == -32601
    assert "supportedVersions" in seen[2]
    assert "tools" in seen[3]


async def test_other_requests_decide_the_era() -> None:
    """A handshake after one of them is refused as ever, and so is an envelope after a handshake."""
    late = await results(modern("server/discover", "a"), modern("tools/list"), handshake(id_=2))
    assert late[2]["code"] == -32022
    mixed = await results(handshake(), request("tools/list", {"_meta": ENVELOPE}, 2))
    assert mixed[2]["code"] == -32600
