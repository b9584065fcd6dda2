"""A server of this version beside one of the version before, on one database."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import TIMEOUT_S, in_thread, server_process
from support import coarse, database_of_version, environment_for

from journey_mcp import sandbox

OLDER = """
import json, sqlite3, sys, time
from journey_mcp.core.worker_id import new_worker_id
connection, owner, now = sqlite3.connect(sys.argv[1], isolation_level=None), new_worker_id(), time.time()
request = json.dumps({"tool": "imagine", "prompt": "a kite", "model": "m"})
values = {"base_url": sys.argv[2], "now": now, "owner": owner, "until": now + 600, "request": request}
connection.execute(
    "INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final, submission,"
    " lease_owner, lease_until, request, outcome, model, relay_tries) VALUES ('tsk_paid', 'local', 'journeyapi',"
    " :base_url, :now, :now, 'running', 0, 'sent', :owner, :until, :request, '{}', 'm', 0)", values)
print("sent", flush=True)
sys.stdin.readline()
outcome = json.dumps({"images": [{"url": "https://images.test/paid.png"}]})
stored = connection.execute(
    "UPDATE tasks SET status = 'succeeded', final = 1, submission = 'accepted', prediction_id = 'p1', outcome = ?"
    " WHERE id = 'tsk_paid' AND lease_owner = ? AND final = 0", (outcome, owner)).rowcount
print("stored", stored, flush=True)
sys.stdin.readline()
try:
    connection.execute("UPDATE tasks SET lease_until = 0 WHERE lease_owner = ?", (owner,))
except sqlite3.OperationalError as error:
    print(error, flush=True)
"""
"""What a server of version 11 does with its task, by the statements that it has."""


class Older:
    """A process that holds a task in a database of version 11."""

    def __init__(self, file: Path, base_url: str) -> None:
        with database_of_version(file, 11):
            pass
        self.process = subprocess.Popen(
            [sys.executable, "-c", OLDER, str(file), base_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )

    def says(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def take_step(self) -> str:
        """Let it take its next step; return what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.says()


@contextmanager
def older_server(file: Path, base_url: str) -> Iterator[Older]:
    """Start a process that has sent a request; end it after the test."""
    older = Older(file, base_url)
    try:
        assert older.says() == "sent"
        yield older
    finally:
        older.process.kill()
        older.process.communicate(timeout=TIMEOUT_S)


async def test_a_newer_server_waits_until_an_older_one_has_stored_its_paid_answer(tmp_path: Path) -> None:
    """Every call and the log name the process; nothing is sent; then the result is there, without a restart."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with older_server(tmp_path / "tasks.db", upstream.base_url) as older, server_process(environment) as newer:
            for _ in range(2):
                made = await in_thread(newer.call, "imagine", prompt="a kite", model="z-image")
                assert made["error"]["code"] == "store_unavailable"
                assert made["error"]["retryable"] is True
                assert made["error"]["message"].endswith(f": process {older.process.pid}.")
                assert "end that process" in made["next_step"]
            assert upstream.sandbox.request_log.submissions == ()
            assert await in_thread(older.take_step) == "stored 1"
            found = await in_thread(newer.call, "fetch_task", task_ids=["tsk_paid"])
            (paid,) = found["tasks"]
            assert (paid["status"], paid["images"][0]["url"]) == ("succeeded", "https://images.test/paid.png")
            assert await in_thread(older.take_step) == "no such column: lease_owner"
            made = await in_thread(newer.call, "imagine", prompt="a kite", model="z-image", wait_s=30)
            assert made["status"] == "succeeded"
            _, log = await in_thread(newer.close)
            assert f"process {older.process.pid}" in log


async def test_a_newer_server_goes_on_after_an_older_one_was_killed(tmp_path: Path) -> None:
    """Whose lease still runs; what it had sent is unconfirmed, as after every kill."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with older_server(tmp_path / "tasks.db", upstream.base_url) as older, server_process(environment) as newer:
            made = await in_thread(newer.call, "imagine", prompt="a kite", model="z-image")
            assert made["error"]["code"] == "store_unavailable"
            older.process.kill()
            older.process.wait(TIMEOUT_S)
            made = await in_thread(newer.call, "imagine", prompt="a kite", model="z-image", wait_s=30)
            assert made["status"] == "succeeded", json.dumps(made)
