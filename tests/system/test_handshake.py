"""The first responses of a server process, which are sent before it is ready."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from handshakes import CLIENT, ENVELOPE, INITIALIZED, handshake, modern, request
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import ElicitResult
from processes import COMMAND, TIMEOUT_S, in_thread, server_process
from support import coarse, environment_for

from journey_mcp import sandbox

FUTURE = {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}


def answers(environment: dict[str, str], *messages: Any) -> list[Any]:
    """Return the responses to a client that sends all messages at once and waits for all responses."""
    with server_process(environment) as server:
        assert server.process.stdin
        server.process.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
        server.process.stdin.flush()
        responses = [server.answer() for message in messages if "id" in message]
        rest, _ = server.close()
        assert rest == ""
    return responses


@pytest.mark.parametrize("probe", [modern("server/discover", "probe"), modern("server/discover", "probe", **FUTURE)])
async def test_a_client_that_abandons_its_probe_gets_all_responses(tmp_path: Path, probe: Any) -> None:
    """Every request gets one response, and the calls sent with them are made."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        call = request("tools/call", {"name": "imagine", "arguments": {"prompt": "a kite", "model": "z-image"}}, "call")
        messages = (probe, handshake(), INITIALIZED, request("tools/list", id_=2), call, request("ping", id_=3))
        environment = environment_for(upstream.base_url, tmp_path)
        responses = {answer["id"]: answer for answer in await in_thread(answers, environment, *messages)}
    assert set(responses) == {"probe", 1, 2, 3, "call"}
    assert responses[1]["result"]["protocolVersion"] == "2025-11-25"
    assert responses["call"]["result"]["structuredContent"]["status"] == "succeeded"


async def test_a_client_may_start_with_calls(tmp_path: Path) -> None:
    """The server knows nothing about it; hundreds of lines wait until it is ready."""
    environment = environment_for("http://127.0.0.1:9", tmp_path)
    listing = {"name": "fetch_task", "arguments": {}, "_meta": ENVELOPE}
    responses = answers(environment, *(request("tools/call", listing, number) for number in range(300)))
    assert {answer["id"] for answer in responses} == set(range(300))
    assert all(answer["result"]["structuredContent"] == {"tasks": []} for answer in responses)


async def test_the_client_s_capabilities_reach_the_server(tmp_path: Path) -> None:
    """The handshake is answered from the recording, and the server still knows it: it asks for confirmation."""
    questions: list[Any] = []

    async def decline(context: Any, params: Any) -> ElicitResult:
        questions.append((context, params))
        return ElicitResult(action="decline")

    environment = environment_for("http://127.0.0.1:9", tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="1credits")
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env={**os.environ, **environment})
    async with Client(stdio_client(parameters), mode="legacy", elicitation_callback=decline) as client:
        await client.call_tool("imagine", {"prompt": "a kite"})
    assert questions


@pytest.mark.parametrize(
    ("variable", "value"), [("JOURNEY_MCP_WAIT_S", "soon"), ("JOURNEY_MCP_REGISTRY", "/nowhere/mine.toml")]
)
def test_every_call_reports_invalid_settings(tmp_path: Path, variable: str, value: str) -> None:
    """The handshake succeeds, stderr has the error at once, and no tool runs."""
    environment = environment_for("http://127.0.0.1:9", tmp_path, **{variable: value})
    with server_process(environment) as server:
        assert server.process.stderr
        line = server.process.stderr.readline()
        assert line.startswith("journey-mcp: ")
        assert variable in line
        assert value in line
        made = server.call("imagine", prompt="a kite")
        (listed,) = server.call("fetch_task")["tasks"]
        for error in (made["error"], listed["error"]):
            assert error["code"] == "setup"
            assert value in error["message"]
        assert {"imagine", "fetch_task"} <= {tool["name"] for tool in raw_list(server)}
        server.close()
        assert server.process.returncode == 2


def test_a_key_in_the_wrong_setting_is_never_shown(tmp_path: Path) -> None:
    """Neither in a result nor on stderr, even though it is the invalid value."""
    key = "sk-in-the-wrong-place"
    environment = environment_for("http://127.0.0.1:9", tmp_path, JOURNEYAPI_API_KEY=key, JOURNEY_MCP_BUDGET=key)
    with server_process(environment) as server:
        made = server.call("imagine", prompt="a kite")
        assert made["error"]["code"] == "setup"
        assert "JOURNEY_MCP_BUDGET='[secret]'" in made["error"]["message"]
        responses, log = server.close()
        assert key not in f"{made}{responses}{log}"


def raw_list(server: Any) -> list[Any]:
    """Return the tools that a process lists."""
    server.process.stdin.write(json.dumps(modern("tools/list", "list")) + "\n")
    server.process.stdin.flush()
    listed: list[Any] = server.answer()["result"]["tools"]
    return listed


@pytest.mark.parametrize("sent", [b"", json.dumps(handshake(client=CLIENT)).encode()], ids=["nothing", "half a line"])
def test_the_server_ends_when_its_client_disconnects_at_once(tmp_path: Path, sent: bytes) -> None:
    """A last line without a line end still gets its response."""
    environment = {**os.environ, **environment_for("http://127.0.0.1:9", tmp_path)}
    ended = subprocess.run(COMMAND, env=environment, input=sent, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.count(b"\n") == bool(sent)
