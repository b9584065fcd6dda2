"""`serve`, `sandbox`, and the server without a command."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import json
import shlex
import signal
import socket
import sys
from collections.abc import Iterator

import httpx2
import pytest

from cli.command import CommandLine, first_line, interrupted
from journey_mcp.cli.serving import parse_address
from journey_mcp.errors import InvalidArguments
from journey_mcp.sandbox import Running

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("arguments", [(), ("serve",)])
async def test_stdio_carries_mcp_and_nothing_else(journey: CommandLine, arguments: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "journey_mcp", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=journey.given(JOURNEY_MCP_NONSENSE="1").environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(HELLO).encode() + b"\n")
    answer = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    assert answer["result"]["serverInfo"]["name"] == "journey-mcp"
    out, err = await asyncio.wait_for(process.communicate(b""), 30)  # and stdin is closed
    assert (process.returncode, out) == (0, b"")
    assert b"JOURNEY_MCP_NONSENSE is not a setting of journey-mcp" in err


async def test_http_serves_until_ctrl_c(journey: CommandLine) -> None:
    port = free_port()
    async with journey.started("serve", "--http", f"127.0.0.1:{port}") as process, httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/mcp"
        assert await first_line(process.stderr) == f"Serving MCP at {url}: give this URL to clients. Ctrl-C ends it.\n"
        answer = await _posted(client, url)
        assert '"serverInfo":{"name":"journey-mcp"' in answer.text
        done = await interrupted(process)
    assert (done.code, done.out) == (0, "")


async def _posted(client: httpx2.AsyncClient, url: str) -> httpx2.Response:
    """The answer, as soon as somebody listens."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await client.post(
                    url, json=HELLO, headers={"accept": "application/json, text/event-stream"}, timeout=10
                )
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)


async def test_a_taken_port_is_said(journey: CommandLine, taken: int) -> None:
    served = await journey.process("serve", "--http", f"127.0.0.1:{taken}")
    assert served.code == 2
    assert f"journey-mcp: 127.0.0.1:{taken} cannot be served; is the port taken?\n" in served.err
    assert "Traceback" not in served.err
    sandbox = await journey.run("sandbox", "--port", str(taken))
    assert (sandbox.code, sandbox.out) == (2, "")
    assert sandbox.err == (
        f"journey-mcp: 127.0.0.1:{taken} cannot be served: Address already in use.\n"
        "Choose another --port; 0 takes a free one.\n"
    )


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:8000", "without authentication only this machine may connect"),
        ("example.com:8000", "without authentication only this machine may connect"),
        ("[::]:8000", "without authentication only this machine may connect"),
        ("8000", "is no address"),
        ("127.0.0.1:0", "is no address"),
        ("127.0.0.1:65536", "is no address"),
        ("::1:8000", "is no address"),
    ],
)
async def test_other_addresses_are_refused(journey: CommandLine, address: str, words: str) -> None:
    done = await journey.run("serve", "--http", address)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("journey-mcp: ")
    assert words in done.err
    assert "Serving" not in done.err


def test_addresses_are_read_with_brackets_around_ipv6() -> None:
    assert parse_address("--http", "[::1]:80") == ("::1", 80)
    assert parse_address("--http", " localhost:8000 ") == ("localhost", 8000)
    with pytest.raises(InvalidArguments):
        parse_address("--http", "[localhost]:80")


async def test_wrong_settings_end_it_with_one_line(journey: CommandLine) -> None:
    done = await journey.given(JOURNEY_MCP_WAIT_S="soon").run("serve")
    assert done.code == 2
    assert done.err.startswith("journey-mcp: JOURNEY_MCP_WAIT_S='soon': ")
    model = await journey.given(JOURNEY_MCP_DEFAULT_MODEL="nobody").process("serve")
    assert (model.code, model.out) == (2, "")
    assert model.err.startswith("journey-mcp: JOURNEY_MCP_DEFAULT_MODEL='nobody': imagine has no such model")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_sandbox_prints_how_to_use_it(journey: CommandLine, number: signal.Signals) -> None:
    options = ("--speed", "0", "--seed", "3", "--credits", "12", "--plan", "growth", "--fault", "submit:status=503")
    readings = ("--edit-without-image", "lenient", "--sync-answer", "task_id", "--unknown-task", "empty")
    async with journey.started("sandbox", "--port", "0", *options, *readings) as process:
        lines = [shlex.split(await first_line(process.stdout)) for _ in range(5)]
        assert {words[0] for words in lines} == {"export"}
        variables = dict(word.split("=", 1) for words in lines for word in words[1:])
        origin = variables["VTRIX_BASE_URL"].removesuffix("/vtrix")
        assert variables == {
            "JOURNEYAPI_API_KEY": "anything",
            "JOURNEYAPI_BASE_URL": f"{origin}/api/v1",
            "VTRIX_API_KEY": "anything",
            "VTRIX_BASE_URL": f"{origin}/vtrix",
            "KKIAI_API_KEY": "anything",
            "KKIAI_BASE_URL": f"{origin}/kkiai/replicate/v1",
            "REPLICATE_API_TOKEN": "anything",
            "REPLICATE_BASE_URL": f"{origin}/replicate/v1",
            "BFL_API_KEY": "anything",
            "BFL_BASE_URL": f"{origin}/bfl/v1",
        }
        url, headers = variables["JOURNEYAPI_BASE_URL"], {"authorization": "anything"}
        async with httpx2.AsyncClient(base_url=url, headers=headers) as client:
            account = (await client.get("/account")).json()
            assert (account["credits"], account["plan"]) == (12, "growth")
            body = {"prompt": "x", "model": "seededit"}
            assert (await client.post("/imagine", json=body)).status_code == 503
            assert (await client.post("/imagine", json=body)).json().keys() == {"task_id"}
            assert (await client.post("/fetch", json={"task_id": "nobody"})).json() == {}
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (0, b"")
    assert err.decode() == f"The sandbox answers at {origin} until Ctrl-C. To use it, one or more of:\n"


async def test_what_the_sandbox_prints_sets_up_all_five(journey: CommandLine) -> None:
    options = ("--port", "0", "--speed", "0", "--fault", "bfl/account:status=500,times=always")
    async with journey.started("sandbox", *options) as process:
        lines = [shlex.split(await first_line(process.stdout)) for _ in range(5)]
        variables = dict(word.split("=", 1) for words in lines for word in words[1:])
        done = await journey.given(**variables).run("doctor", "--json")
        await interrupted(process)
    verdicts = {finding["about"]: finding["verdict"] for finding in done.json["findings"]}
    assert {name: verdicts[name] for name in ("journeyapi", "vtrix", "kkiai", "replicate", "bfl")} == {
        **dict.fromkeys(("journeyapi", "vtrix", "kkiai", "replicate"), "ok"),
        "bfl": "problem",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "nobody/submit:reset"), "not on 'nobody/submit'"),
        (("--fault", "nonsense"), "journey-mcp: --fault: A fault reads on:kind"),
        (("--fault", "submit:nonsense"), "journey-mcp: --fault: There is no fault of kind 'nonsense'"),
        (("--speed", "-1"), "--speed"),
        (("--plan", "gold"), "--plan"),
        (("--port", "70000"), "--port"),
    ],
)
async def test_a_nonsense_sandbox_is_refused(journey: CommandLine, arguments: tuple[str, ...], words: str) -> None:
    done = await journey.run("sandbox", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


async def test_no_such_command(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagin", "x")
    assert (done.code, done.out) == (2, "")
    assert "imagine" in done.err
