"""Unusual standard streams: not read, closed, non-blocking."""

import json
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from handshakes import INITIALIZED, handshake, modern, request
from processes import COMMAND, TIMEOUT_S
from support import environment_for

NOWHERE = "http://127.0.0.1:9"
FLOODS: dict[str, list[Any]] = {
    "answered from the record": [modern("server/discover", number) for number in range(200)],
    "answered by the server": [handshake(), INITIALIZED, *(request("tools/list", {}, n) for n in range(2, 200))],
    "answered in short lines": [handshake(), INITIALIZED, *(request("ping", {}, n) for n in range(2, 4000))],
}


def lines(*messages: Any) -> bytes:
    """Return messages as they are sent."""
    return "".join(json.dumps(message) + "\n" for message in messages).encode()


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    return bool(int(fields["SigCgt"], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it reads /proc")
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_signal_ends_a_server_whose_client_does_not_read(tmp_path: Path, flood: list[Any]) -> None:
    """A response is half written, by either part of the server."""
    unread, stdout = os.pipe()
    environment = {**os.environ, **environment_for(NOWHERE, tmp_path)}
    with subprocess.Popen(COMMAND, env=environment, stdin=subprocess.PIPE, stdout=stdout) as server:
        try:
            assert server.stdin
            server.stdin.write(lines(*flood))
            server.stdin.flush()
            until = time.monotonic() + TIMEOUT_S
            while select.select([], [stdout], [], 0)[1] or not catches(server.pid, signal.SIGTERM):
                assert time.monotonic() < until
                time.sleep(0.01)
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT_S) == 0
        finally:
            server.kill()
            os.close(stdout)
            os.close(unread)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_server_with_closed_streams_ends_cleanly(tmp_path: Path, closed: str) -> None:
    """The server finishes its work, writes nothing to a wrong stream, and ends."""
    call = request("tools/call", {"name": "fetch_task", "arguments": {}, **modern("", 0)["params"]}, 2)
    ended = subprocess.run(
        ["sh", "-c", f"{shlex.join(COMMAND)} {closed}"],
        env={**os.environ, **environment_for(NOWHERE, tmp_path)},
        input=lines(modern("server/discover"), call),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(ended.stdout.splitlines()) == (2 if closed == "2>&-" else 0)


def test_a_server_works_with_non_blocking_streams(tmp_path: Path) -> None:
    """The mode of inherited pipes must not end the server."""
    (stdin, to_server), (from_server, stdout) = os.pipe(), os.pipe()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    environment = {**os.environ, **environment_for(NOWHERE, tmp_path)}
    with (
        subprocess.Popen(COMMAND, env=environment, stdin=stdin, stdout=stdout) as server,
        os.fdopen(from_server, "rb") as answers,
    ):
        os.close(stdin)
        os.close(stdout)
        with os.fdopen(to_server, "wb", buffering=0) as requests:
            requests.write(lines(modern("server/discover")))
            assert json.loads(answers.readline())["id"] == 1
            requests.write(lines(*(modern("tools/list", number) for number in range(50))))
            assert {json.loads(answers.readline())["id"] for _ in range(50)} == set(range(50))
        assert server.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("has_end", [True, False])
def test_a_server_reads_a_file(tmp_path: Path, has_end: bool) -> None:
    """The event loop cannot wait for a file, so a thread reads it to its end."""
    file = tmp_path / "requests"
    requests = lines(modern("server/discover"), *(modern("tools/list", number) for number in range(2, 100)))
    file.write_bytes(requests if has_end else requests.removesuffix(b"\n"))
    with file.open("rb") as stdin:
        ended = subprocess.run(
            COMMAND,
            env={**os.environ, **environment_for(NOWHERE, tmp_path)},
            stdin=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    assert {json.loads(answer)["id"] for answer in ended.stdout.splitlines()} == set(range(1, 100))


def test_a_server_ends_when_nobody_can_read_its_answers(tmp_path: Path) -> None:
    """Although the client could still send."""
    (stdin, to_server), (from_server, stdout) = os.pipe(), os.pipe()
    environment = {**os.environ, **environment_for(NOWHERE, tmp_path)}
    with (
        subprocess.Popen(COMMAND, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE) as server,
        os.fdopen(to_server, "wb", buffering=0) as requests,
    ):
        os.close(stdin)
        os.close(stdout)
        with os.fdopen(from_server, "rb") as answers:
            requests.write(lines(modern("tools/list")))
            assert json.loads(answers.readline())["id"] == 1
            requests.write(lines(modern("ping", 2)))
            assert json.loads(answers.readline())["id"] == 2
        requests.write(lines(modern("ping", 3)))
        assert server.stderr
        assert b"the client closed the connection" in server.stderr.read()
        assert server.wait(TIMEOUT_S) == 0
