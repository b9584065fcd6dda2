"""The limit on the calls of a principal, over HTTP in both eras."""

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from journey_mcp.server.transports.rate_limit import is_tool_call
from server.auth.served import ERAS, OLD, add_token, serving_with


@pytest.mark.parametrize("era", ERAS)
async def test_calls_above_the_limit_get_429(tmp_path: Path, era: str) -> None:
    """With the time of the next minute; other requests, and tokens with another limit, pass."""
    file = tmp_path / "tokens"
    ana, ben = add_token(file, "ana"), add_token(file, "ben", "calls_per_minute=9")
    variables = {"JOURNEY_MCP_TOKENS_FILE": str(file), "JOURNEY_MCP_CALLS_PER_MINUTE": "2"}
    async with serving_with(tmp_path, **variables) as served:
        for _ in range(2):
            assert (await served.call(ana, "fetch_task", era)).status == 200
        refused = await served.call(ana, "fetch_task", era)
        assert refused.status == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert "you have made 2 calls in this minute" in refused.message["error"]["message"]
        assert (await served.send(ana, "tools/list", era=era)).status == 200
        assert [(await served.call(ben, "fetch_task", era)).status for _ in range(10)] == [200] * 9 + [429]


async def test_a_header_does_not_hide_a_call(tmp_path: Path) -> None:
    """In older revisions nothing compares it with the body."""
    file = tmp_path / "tokens"
    ana = add_token(file, "ana", "calls_per_minute=1")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        call = {"name": "fetch_task", "arguments": {}}
        statuses = [(await served.send(ana, "tools/call", call, OLD, mcp_method="ping")).status for _ in range(2)]
        assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("headers", "body", "is_call"),
    [
        ({"mcp-method": "tools/call"}, b"", True),
        ({"mcp-method": "tools/list"}, b'{"method":"tools/call"}', True),
        ({"mcp-method": "tools/list"}, b'{"method":"tools/list"}', False),
        ({}, b'{"method":"tools\\/call"}', True),
        ({}, b'{"method":"ping"}', False),
        ({}, b'[{"method":"tools/call"}]', False),
        ({}, b"\xff", False),
    ],
)
def test_a_tool_call_is_recognized(*, headers: dict[str, str], body: bytes, is_call: bool) -> None:
    """By the header of later revisions, and by the body, which is what an older revision runs."""
    assert is_tool_call(Headers(headers), body) is is_call
