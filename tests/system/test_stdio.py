"""Lines on standard input that are not messages, sent to a real server."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import COMMAND, TIMEOUT_S
from support import environment_for

from journey_mcp.handshake.lines import MAX_BYTES
from journey_mcp.server.transports.jsonrpc import INVALID_REQUEST, PARSE_ERROR

META = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
)
PING = '{"jsonrpc":"2.0","id":%d,"method":"ping"}'
DISCOVER = '{"jsonrpc":"2.0","id":%d,"method":"server/discover","params":{' + META + "}}"
INITIALIZE = (
    '{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    '"clientInfo":{"name":"x","version":"1"}}}'
)


class ByteServer:
    """A server process that is sent arbitrary bytes."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment_for("http://127.0.0.1:9", folder), "JOURNEY_MCP_LOG_LEVEL": "error"},
        )

    def send(self, content: bytes) -> None:
        """Send bytes unchanged."""
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the next response."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> tuple[list[dict[str, Any]], str]:
        """Close stdin; return the remaining responses and the log."""
        responses, log = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0
        return [json.loads(line) for line in responses.splitlines()], log.decode()


@contextmanager
def running_server(folder: Path) -> Iterator[ByteServer]:
    """Start a server process that does not outlive its test."""
    opened = ByteServer(folder)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.communicate()


def errors(answers: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    """Return codes and ids."""
    return [(answer["error"]["code"], answer["id"]) for answer in answers]


@pytest.mark.parametrize("first", [DISCOVER, INITIALIZE])
def test_a_line_that_is_not_a_message_gets_an_error_and_is_logged(tmp_path: Path, first: str) -> None:
    """The server continues, before and after the first request, in both eras of the protocol."""
    bad = [
        b"nonsense",
        b"[" * 10_000,
        b"[" + (PING % 3).encode() + b"]",
        b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"\xff"}}',
        b'{"jsonrpc":"2.0","id":7,"method":5}\r',
        b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"\\ud800"}}',
        b"\0",
        b"",
        b'{"jsonrpc":"2.0","method":"notifications/x","params":5}',
    ]
    expected = [
        (PARSE_ERROR, None),
        (PARSE_ERROR, None),
        (INVALID_REQUEST, None),
        (PARSE_ERROR, 7),
        (INVALID_REQUEST, 7),
        (INVALID_REQUEST, 7),
        (PARSE_ERROR, None),
    ]
    with running_server(tmp_path) as server:
        server.send(b"".join(line + b"\n" for line in bad))
        assert errors([server.answer() for _ in expected]) == expected
        server.send(b"\xef\xbb\xbf" + (first % 1).encode() + b"\r\n")
        assert server.answer()["result"]["serverInfo" if first == INITIALIZE else "supportedVersions"]
        server.send(b"".join(line + b"\n" for line in bad))
        assert errors([server.answer() for _ in expected]) == expected
        params = META if first == DISCOVER else ""
        server.send(b'{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{%s}}' % params.encode())
        responses, log = server.end()
        assert [answer["id"] for answer in responses] == [2], "the last line needs no line end"
        assert "tools" in responses[0]["result"]
        assert log.count("a line on stdin is not a message") == 10
        assert "Traceback" not in log


def test_an_incomplete_last_line_ends_the_server_cleanly(tmp_path: Path) -> None:
    """There is one line in the log and an error on stdout."""
    with running_server(tmp_path) as server:
        server.send(b'{"jsonrpc":"2.0","id":1,"meth')
        responses, log = server.end()
        assert errors(responses) == [(PARSE_ERROR, None)]
        assert log.count("\n") == 1


def test_a_flood_of_malformed_lines_is_logged_in_part(tmp_path: Path) -> None:
    """Every line gets an error; the log has the first ones."""
    with running_server(tmp_path) as server:
        for _ in range(20):
            server.send(b"nonsense\n" * 100)
            assert {server.answer()["error"]["code"] for _ in range(100)} == {PARSE_ERROR}
        _, log = server.end()
        assert 10 <= log.count("\n") <= 40


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_an_endless_line_is_skipped_and_not_buffered(tmp_path: Path) -> None:
    """Its request gets an error."""
    with running_server(tmp_path) as server:
        server.send((DISCOVER % 1).encode() + b"\n")
        server.answer()
        server.send(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"imagine","arguments":{"prompt":"')
        for _ in range(MAX_BYTES // 2**20 * 4):
            server.send(b"A" * 2**20)
        server.send(b'"}}}\n')
        refused = server.answer()
        assert (refused["error"]["code"], refused["id"]) == (INVALID_REQUEST, 7)
        assert "at most 100,663,296 bytes" in refused["error"]["message"]
        status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
        peak_kb = int(status.partition("VmHWM:")[2].split()[0])
        assert peak_kb < 400 * 1024
        server.send((DISCOVER % 2).encode() + b"\n")
        assert server.answer()["id"] == 2
