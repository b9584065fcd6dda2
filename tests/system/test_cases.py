"""The rows of `tests/test_cases.py` that need a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TIMEOUT_S, server_process
from support import environment_for

CASES = Path(__file__).parents[1] / "cases"


def test_case_02_megabytes_of_base64_delay_no_other_call(tmp_path: Path) -> None:
    """Another call is answered, and the server ends at once."""
    with server_process(environment_for("http://127.0.0.1:9", tmp_path)) as server:
        server.send("edit_image", prompt="blue", image="/9j/" + "A" * 2_000_000)
        server.send("fetch_task")
        answers = {answer["id"]: answer["result"] for answer in (server.answer(), server.answer())}
        assert (answers[1]["isError"], answers[2]["structuredContent"]) == (True, {"tasks": []})
        server.process.terminate()
        server.process.wait(timeout=TIMEOUT_S)


def test_case_23_without_a_home(tmp_path: Path) -> None:
    """Local images can be read; the error about this one comes from its provider's rules."""
    environment = environment_for("http://127.0.0.1:9", tmp_path, JOURNEY_MCP_IMAGE_DIRS=str(CASES))
    without = {name: value for name, value in os.environ.items() if name != "HOME"}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HOME", raising=False)
        with server_process({**without, **environment}) as server:
            result = server.call("edit_image", prompt="blue", image=str(CASES / "plain.jpg"))
    assert result["error"]["code"] == "data_not_taken"


def test_case_29_a_handshake_after_discover(tmp_path: Path) -> None:
    """A client that does not wait for the response to `server/discover` is accepted."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "journey_mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment_for("http://127.0.0.1:9", tmp_path)},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}},
        {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "fetch_task", "arguments": {}}},
    ]
    try:
        for message in messages:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        answers = {answer["id"]: answer for answer in (json.loads(process.stdout.readline()) for _ in range(3))}
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)
    assert answers[2]["result"]["protocolVersion"] == "2025-06-18"
    assert answers[3]["result"]["structuredContent"] == {"tasks": []}
