"""`serve`, `sandbox`, and the server without a command, as processes."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import json
import re
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cli.command import PATIENCE_S, ROOT, CommandLine, first_line, interrupted
from support import SERVICES, free_port, until_listening

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


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
    answer = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))
    assert answer["result"]["serverInfo"]["name"] == "journey-mcp"
    out, err = await asyncio.wait_for(process.communicate(b""), PATIENCE_S)  # and stdin is closed
    assert (process.returncode, out) == (0, b"")
    assert b"JOURNEY_MCP_NONSENSE is not a setting of journey-mcp" in err


async def test_http_serves_until_ctrl_c(journey: CommandLine) -> None:
    port = free_port()
    async with journey.started("serve", "--http", f"127.0.0.1:{port}") as process, httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/mcp"
        assert await first_line(process.stderr) == f"Serving MCP at {url}: give this URL to clients. Ctrl-C stops it.\n"
        await until_listening(port)
        headers = {"accept": "application/json, text/event-stream"}
        answer = await client.post(url, json=HELLO, headers=headers, timeout=PATIENCE_S)
        assert '"name":"journey-mcp"' in answer.text
        done = await interrupted(process)
    assert (done.code, done.out) == (0, "")


async def test_the_public_address_is_printed_and_its_host_allowed(journey: CommandLine) -> None:
    port, url = free_port(), "https://mcp.example.com/mcp"
    options = ("--port", str(port), "--server-url", url, "--trust-proxy")
    given = journey.given(JOURNEY_MCP_SAVE_DIR=str(journey.home))
    async with given.started("serve", *options) as process, httpx2.AsyncClient() as client:
        assert await first_line(process.stderr) == f"Serving MCP at {url}: give this URL to clients. Ctrl-C stops it.\n"
        assert "JOURNEY_MCP_SAVE_DIR has no effect over HTTP" in await first_line(process.stderr)
        await until_listening(port)
        headers = {"accept": "application/json", "host": "mcp.example.com"}
        answer = await client.post(f"http://127.0.0.1:{port}/mcp", json=HELLO, headers=headers, timeout=PATIENCE_S)
        assert answer.json()["result"]["serverInfo"]["name"] == "journey-mcp"
        await interrupted(process)


async def test_a_server_for_others_says_what_it_still_needs(journey: CommandLine, tmp_path: Path) -> None:
    """A name by which clients reach it, and a provider: without them they get 421, and proxies get 503."""
    journey = journey.given(JOURNEY_MCP_TOKENS_FILE=str(tmp_path / "tokens"))
    assert (await journey.run("token", "new", "ada")).code == 0
    for variables, lines in (
        ({}, ("Clients on other machines are rejected until", "No provider has a key: a sandbox draws test images")),
        ({"JOURNEY_MCP_ALLOWED_HOSTS": "box.test"}, ("No provider has a key: a sandbox draws test images",)),
        ({"JOURNEYAPI_API_KEY": "japi_live_1"}, ("Clients on other machines are rejected until",)),
    ):
        port = free_port()
        given = journey.given(**variables)
        async with given.started("serve", "--http", f"0.0.0.0:{port}") as process, httpx2.AsyncClient() as client:
            served = f"Serving MCP at http://0.0.0.0:{port}/mcp. Ctrl-C stops it."
            for words in (served, *lines):
                assert (await first_line(process.stderr)).startswith(words)
            assert (await client.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE_S)).status_code == 200
            assert (await interrupted(process)).err == ""


async def test_the_addresses_of_webhooks_and_mcp_are_printed(journey: CommandLine) -> None:
    mcp, hooks = free_port(), free_port()
    options = ("--http", f"127.0.0.1:{mcp}", "--webhooks", f"127.0.0.1:{hooks}")
    public = "https://hooks.example.com/journey"
    async with journey.given(JOURNEY_MCP_PUBLIC_URL=public).started("serve", *options) as process:
        assert await first_line(process.stderr) == (
            f"Receiving providers' webhooks at http://127.0.0.1:{hooks}; {public} must lead there.\n"
        )
        assert await first_line(process.stderr) == (
            f"Serving MCP at http://127.0.0.1:{mcp}/mcp: give this URL to clients. Ctrl-C stops it.\n"
        )
        await until_listening(mcp)
        await interrupted(process)


async def test_a_port_in_use_is_an_error(journey: CommandLine, taken: int) -> None:
    served = await journey.process("serve", "--http", f"127.0.0.1:{taken}")
    assert served.code == 2
    assert f"journey-mcp: --http 127.0.0.1:{taken} cannot be listened on: Address already in use.\n" in served.err
    assert "Traceback" not in served.err
    assert "Serving" not in served.err
    sandbox = await journey.run("sandbox", "--port", str(taken))
    assert (sandbox.code, sandbox.out) == (2, "")
    assert sandbox.err == (
        f"journey-mcp: 127.0.0.1:{taken} cannot be listened on: Address already in use.\n"
        "Choose another --port; 0 picks a free one.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_sandbox_prints_how_to_use_it(journey: CommandLine, number: signal.Signals) -> None:
    options = ("--speed", "0", "--seed", "3", "--credits", "12", "--plan", "growth", "--fault", "submit:status=503")
    variants = ("--edit-without-image", "lenient", "--sync-answer", "task_id", "--unknown-task", "empty")
    async with journey.started("sandbox", "--port", "0", *options, *variants) as process:
        lines = [(await first_line(process.stdout)).strip() for _ in SERVICES]
        variables = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
        origin = variables["VTRIX_BASE_URL"].removesuffix("/vtrix")
        document = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
        exported = re.findall(r"^export .*=anything .*$", document, re.MULTILINE)
        assert lines == [line.replace("http://127.0.0.1:8787", origin) for line in exported]
        url, headers = variables["JOURNEYAPI_BASE_URL"], {"authorization": "anything"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
            account = (await client.get("/account")).json()
            assert (account["credits"], account["plan"]) == (12, "growth")
            body = {"prompt": "x", "model": "seededit"}
            assert (await client.post("/imagine", json=body)).status_code == 503
            assert (await client.post("/imagine", json=body)).json().keys() == {"task_id"}
            assert (await client.post("/fetch", json={"task_id": "nobody"})).json() == {}
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, out) == (0, b"")
    assert err.decode() == f"The sandbox runs at {origin} until Ctrl-C. To use it, set one or more of:\n"


async def test_the_output_of_the_sandbox_configures_every_service(journey: CommandLine) -> None:
    options = ("--port", "0", "--speed", "0", "--fault", "bfl/account:status=500,times=always")
    async with journey.started("sandbox", *options) as process:
        lines = [shlex.split(await first_line(process.stdout)) for _ in SERVICES]
        variables = dict(word.split("=", 1) for words in lines for word in words[1:])
        done = await journey.given(**variables).run("doctor", "--json")
        await interrupted(process)
    verdicts = {finding["about"]: finding["verdict"] for finding in done.json["findings"]}
    assert {name: verdicts[name] for name in SERVICES} == {**dict.fromkeys(SERVICES, "ok"), "bfl": "problem"}


async def test_an_error_at_the_start_has_no_secrets(journey: CommandLine) -> None:
    done = await journey.given(JOURNEYAPI_API_KEY="japi_secret_1", JOURNEY_MCP_DEFAULT_MODEL="Japi_Secret_1").process()
    assert (done.code, done.out) == (2, "")
    assert "[secret]" in done.err
    assert "japi_secret_1" not in done.err.lower()
