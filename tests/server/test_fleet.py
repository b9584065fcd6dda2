"""Several servers on one database: what one of them has sealed, another one accepts if they share a secret."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, MCPError
from support import client_of, settings_for

from journey_mcp import sandbox

NEW, OLD, OTHER = "n" * 32, "o" * 32, "x" * 32
CALL: dict[str, Any] = {"name": "imagine", "arguments": {"prompt": "a kite", "model": "z-image", "wait_s": 60}}


async def unused(_context: Any, _params: Any) -> types.ElicitResult:
    """Answer no request of a server: in this revision the question is a result."""
    raise AssertionError("a server sends a request")


@asynccontextmanager
async def fleet(folder: Path, secrets: Sequence[str]) -> AsyncIterator[tuple[list[Client], sandbox.Running]]:
    """Connect a client to one server for each of these secrets; all servers have one database."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream, AsyncExitStack() as stack:
        clients = []
        for secret in secrets:
            more = {"JOURNEY_MCP_CONFIRM_ABOVE": "1credits", **({"JOURNEY_MCP_SECRET": secret} if secret else {})}
            settings = settings_for(upstream.base_url, folder, **more)
            client = client_of(settings, is_local=False, elicitation_callback=unused)
            clients.append(await stack.enter_async_context(client))
        yield clients, upstream


async def question_of(client: Client) -> types.InputRequiredResult:
    """Make a call that costs too much; return the question."""
    asked = await client.session.call_tool(**CALL, allow_input_required=True)
    assert isinstance(asked, types.InputRequiredResult)
    return asked


async def answered(client: Client, asked: types.InputRequiredResult) -> types.CallToolResult:
    """Repeat the call with the person's answer."""
    answer = types.ElicitResult(action="accept", content={"agree": True})
    result = await client.session.call_tool(**CALL, input_responses={"cost": answer}, request_state=asked.request_state)
    assert isinstance(result, types.CallToolResult)
    return result


@pytest.mark.parametrize(
    ("asking", "answering"),
    [(NEW, NEW), (OLD, f"{OLD},{NEW}"), (f"{OLD},{NEW}", f"{NEW},{OLD}"), (f"{NEW},{OLD}", NEW)],
    ids=["the same secret", "the new one is made known", "the new one seals", "the old one is dropped"],
)
async def test_another_server_accepts_the_answer(asking: str, answering: str, tmp_path: Path) -> None:
    """In each step of a rotation."""
    async with fleet(tmp_path, [asking, answering]) as ((here, there), upstream):
        made = await answered(there, await question_of(here))
        assert not made.is_error
        assert (made.structured_content or {})["status"] == "succeeded"
        assert len(upstream.sandbox.request_log.submissions) == 1


@pytest.mark.parametrize(
    ("asking", "answering"), [(NEW, OTHER), (NEW, ""), ("", "")], ids=["another", "none there", "none"]
)
async def test_without_a_common_secret_the_answer_is_refused(asking: str, answering: str, tmp_path: Path) -> None:
    """Nothing is sent; the server that asked accepts it."""
    async with fleet(tmp_path, [asking, answering]) as ((here, there), upstream):
        asked = await question_of(here)
        with pytest.raises(MCPError, match="requestState"):
            await answered(there, asked)
        assert not upstream.sandbox.request_log.submissions
        assert not (await answered(here, asked)).is_error
