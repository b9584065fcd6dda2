"""Real processes: killed and restarted, sharing one database, over HTTP, with invalid settings."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from manual_clock import until
from mcp import Client
from mcp_types import CallToolResult
from PIL import Image
from processes import COMMAND, TIMEOUT_S, StoppedClock, in_thread, process, server_process, until_requested
from support import coarse, environment_for, environment_of, free_port, until_listening

from journey_mcp import sandbox


async def test_a_restarted_server_returns_the_results_of_a_killed_one(tmp_path: Path) -> None:
    """A running task is polled by its stored id; nothing is submitted twice."""
    async with sandbox.running(coarse(speed=20)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            task = await in_thread(first.call, "imagine", prompt="a kite", wait_s=0)
            assert task["status"] == "running"
            first.kill()
        with server_process(environment) as second:
            found = await in_thread(second.call, "fetch_task", task_ids=[task["task_id"]], wait_s=60)
            assert found["tasks"][0]["status"] == "succeeded"
            assert len(found["tasks"][0]["images"]) == 4
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_a_request_without_a_response_is_unconfirmed_after_a_kill(tmp_path: Path) -> None:
    """It is not sent again, and the error says that it may have been charged."""
    faults = (sandbox.Fault.parse("submit:delay=30"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            first.send("imagine", prompt="a kite", model="z-image")
            await until_requested(upstream, "imagine")
            first.kill()
        with server_process(environment) as second:
            listed = await in_thread(second.call, "fetch_task")
            task_id = listed["tasks"][0]["task_id"]
            found = await in_thread(second.call, "fetch_task", task_ids=[task_id], wait_s=30)
            assert found["tasks"][0]["error"]["code"] == "submission_unconfirmed"
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_a_refinement_survives_a_killed_server(tmp_path: Path) -> None:
    """Accepted, it is polled to its end; without a response it is unconfirmed. Neither is submitted twice."""
    async with sandbox.running(coarse(speed=20)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            made = await in_thread(first.call, "imagine", prompt="a kite", wait_s=60)
            image = made["images"][1]["id"]
            task = await in_thread(first.call, "refine_image", image=image, action="vary", wait_s=0)
            assert task["status"] == "running"
            first.kill()
        with server_process(environment) as second:
            found = await in_thread(second.call, "fetch_task", task_ids=[task["task_id"]], wait_s=60)
            assert (found["tasks"][0]["status"], found["tasks"][0]["parent"]) == ("succeeded", image)
            upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:delay=30")])
            second.send("refine_image", image=image, action="single")
            await until_requested(upstream, "upscale_1x")
            second.kill()
        with server_process(environment) as third:
            listed = await in_thread(third.call, "fetch_task")
            (lost,) = [one for one in listed["tasks"] if one.get("action") == "single"]
            found = await in_thread(third.call, "fetch_task", task_ids=[lost["task_id"]], wait_s=30)
            assert found["tasks"][0]["error"]["code"] == "submission_unconfirmed"
            again = await in_thread(third.call, "refine_image", image=image, action="single")
            assert again["error"]["code"] == "perhaps_paid"
        requests = upstream.sandbox.request_log.requests
        assert (requests["imagine"], requests["variations"], requests["upscale_1x"]) == (1, 1, 1)


async def test_a_queued_task_of_a_killed_server_ends_free(tmp_path: Path) -> None:
    """The provider had rejected the request."""
    faults = (sandbox.Fault.parse("submit:status=429,times=always,header.Retry-After=60"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            task = await in_thread(first.call, "imagine", prompt="a kite", wait_s=1)
            assert task["status"] == "queued"
            first.kill()
        with server_process(environment) as second:
            found = await in_thread(second.call, "fetch_task", task_ids=[task["task_id"]], wait_s=30)
            assert found["tasks"][0]["error"]["code"] == "not_submitted"
            assert "cost" not in found["tasks"][0]


def uploading(upstream: sandbox.Running, folder: Path) -> tuple[dict[str, str], str]:
    """Return the environment of a server with Replicate, and the path of an image that it uploads."""
    image = folder / "noise.png"
    Image.effect_noise((900, 700), 50).convert("RGB").save(image)
    return environment_of(upstream, folder / "data", "replicate", JOURNEY_MCP_IMAGE_DIRS=str(folder)), str(image)


async def test_a_task_killed_during_its_upload_ends_free(tmp_path: Path) -> None:
    """No creating request was sent, so no charge is possible."""
    faults = (sandbox.Fault.parse("replicate/upload:delay=30"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        environment, image = uploading(upstream, tmp_path)
        with server_process(environment) as first:
            first.send("edit_image", prompt="a kite", model="flux-kontext-pro", image=image)
            await until_requested(upstream, "replicate/files")
            first.kill()
        with server_process(environment) as second:
            listed = await in_thread(second.call, "fetch_task")
            task_id = listed["tasks"][0]["task_id"]
            found = await in_thread(second.call, "fetch_task", task_ids=[task_id], wait_s=30)
            assert found["tasks"][0]["error"]["code"] == "not_submitted"
            assert "cost" not in found["tasks"][0]
        assert upstream.sandbox.request_log.requests["replicate/predictions"] == 0


async def test_after_a_signal_an_upload_is_not_followed_by_its_creating_request(tmp_path: Path) -> None:
    """The process still runs, because another request is pending."""
    faults = tuple(map(sandbox.Fault.parse, ("replicate/upload:delay=0.1", "replicate/submit:delay=0.2")))
    clock = StoppedClock()
    async with sandbox.running(coarse(speed=0, clock=clock, faults=faults)) as upstream:
        environment, image = uploading(upstream, tmp_path)
        with server_process(environment) as first:
            first.send("edit_image", prompt="a kite", model="flux-kontext-pro", image=image)
            await until_requested(upstream, "replicate/files")
            first.send("imagine", prompt="a kite", model="flux-1.1-pro")
            await until_requested(upstream, "replicate/predictions")
            first.process.send_signal(signal.SIGTERM)
            # calls return when the signal has arrived
            assert {(await in_thread(first.answer))["id"] for _ in range(2)} == {1, 2}
            clock.seconds = 0.1
            await until(lambda: ended_tasks(tmp_path / "data") == 1)
            clock.seconds = 0.2
            assert await in_thread(first.process.wait, TIMEOUT_S) == 0
        with server_process(environment) as second:
            listed = await in_thread(second.call, "fetch_task")
            ids = [task["task_id"] for task in listed["tasks"]]
            found = await in_thread(second.call, "fetch_task", task_ids=ids, wait_s=30)
            ends = {task["model"]: task.get("error", {}).get("code") for task in found["tasks"]}
            assert ends == {"flux-1.1-pro": None, "flux-kontext-pro": "not_submitted"}
        assert upstream.sandbox.request_log.requests["replicate/predictions"] == 1


def ended_tasks(folder: Path) -> int:
    """Count the tasks that have ended, by the database."""
    connection = sqlite3.connect(folder / "tasks.db")
    ((count,),) = connection.execute("SELECT count(*) FROM tasks WHERE final").fetchall()
    connection.close()
    return int(count)


async def test_a_task_of_a_killed_process_is_taken_over_within_ten_seconds(tmp_path: Path) -> None:
    """By a server that was already running."""
    async with sandbox.running(coarse(speed=20)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first_server:
            async with process(environment) as second_server:
                task = await in_thread(first_server.call, "imagine", prompt="a kite", wait_s=0)
                first_server.kill()
                killed_at = time.monotonic()
                result = await second_server.call_tool("fetch_task", {"task_ids": [task["task_id"]], "wait_s": 60})
                assert result.structured_content is not None
                assert result.structured_content["tasks"][0]["status"] == "succeeded"
                assert time.monotonic() - killed_at < 10
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_two_servers_share_one_database(tmp_path: Path) -> None:
    """Each sees the other's tasks; each task is submitted once and polled by one."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        async with process(environment) as one, process(environment) as two:
            made: list[str] = []

            async def make(client: Client, number: int) -> None:
                model = "flux-schnell" if number % 2 else "z-image"
                arguments = {"prompt": f"kite {number}", "model": model, "wait_s": 0}
                result = await client.call_tool("imagine", arguments)
                assert result.structured_content is not None
                made.append(result.structured_content["task_id"])

            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(make, (one, two)[number % 3 == 0], number)
            for client in (one, two):
                found = await client.call_tool("fetch_task", {"task_ids": made, "wait_s": 60})
                assert found.structured_content is not None
                assert [task["status"] for task in found.structured_content["tasks"]] == ["succeeded"] * 10
        request_log = upstream.sandbox.request_log
        assert request_log.requests["imagine"] == 10
        assert all(request_log.fetched(entry.task_id or "") <= 1 for entry in request_log.submissions)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_after_the_pending_response(tmp_path: Path, number: signal.Signals) -> None:
    """With stdin still open: the response to a creating request is not lost, and the process ends."""
    faults, clock = (sandbox.Fault.parse("submit:delay=0.1"),), StoppedClock()
    async with sandbox.running(coarse(speed=0, clock=clock, faults=faults)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            first.send("imagine", prompt="a kite", model="z-image")
            await until_requested(upstream, "imagine")
            first.process.send_signal(number)
            # the call returns when the signal has arrived
            assert (await in_thread(first.read))["status"] == "running"
            clock.seconds = 0.1
            assert await in_thread(first.process.wait, TIMEOUT_S) == 0
        with server_process(environment) as second:
            listed = await in_thread(second.call, "fetch_task")
            assert listed["tasks"][0]["status"] == "succeeded"


async def test_a_signal_ends_waiting_calls_over_stdio(tmp_path: Path) -> None:
    """They return the current task, which can be polled later."""
    async with sandbox.running(coarse(speed=1)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as server:
            server.send("imagine", prompt="a kite", model="midjourney", wait_s=300)
            await until_requested(upstream, "imagine")
            server.process.send_signal(signal.SIGTERM)
            answer = await in_thread(server.read)
            assert answer["status"] == "running"
            assert answer["task_id"].startswith("tsk_")
            assert await in_thread(server.process.wait, TIMEOUT_S) == 0


async def test_a_signal_ends_waiting_calls_over_http(tmp_path: Path) -> None:
    """They return before their connections are closed."""
    async with sandbox.running(coarse(speed=1)) as upstream:
        port = free_port()
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment, "serve", "--http", f"127.0.0.1:{port}") as server:
            await until_listening(port)
            answers: list[CallToolResult] = []

            async def call() -> None:
                try:
                    await ask()
                except* httpx2.ConnectError:
                    pass  # the server has ended when the client disconnects

            async def ask() -> None:
                async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                    answers.append(
                        await client.call_tool("imagine", {"prompt": "a", "model": "midjourney", "wait_s": 300})
                    )

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await until_requested(upstream, "imagine")
                server.process.send_signal(signal.SIGTERM)
            assert answers[0].structured_content is not None
            assert answers[0].structured_content["status"] == "running"
            assert await in_thread(server.process.wait, TIMEOUT_S) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_over_http_a_signal_ends_the_server_within_seconds(tmp_path: Path, number: signal.Signals) -> None:
    """A paid request takes longer; its task stays in the journal."""
    faults = (sandbox.Fault.parse("submit:delay=60"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        port = free_port()
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment, "serve", "--http", f"127.0.0.1:{port}") as server:
            await until_listening(port)

            async def call() -> None:
                try:
                    async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                        await client.call_tool("imagine", {"prompt": "a", "model": "z-image", "wait_s": 0})
                except* httpx2.ConnectError:
                    pass  # the server has ended when the client disconnects

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await until_requested(upstream, "imagine")
                server.process.send_signal(number)
                assert await in_thread(server.process.wait, 30) in {0, -number}


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc of another process")
@pytest.mark.parametrize("has_arrived", [False, True])
async def test_after_a_signal_nothing_is_sent_even_if_the_database_opens_only_then(
    tmp_path: Path, has_arrived: bool
) -> None:
    """A call that waits for the database is not started."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        database = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("BEGIN IMMEDIATE")
        with server_process(environment_for(upstream.base_url, tmp_path)) as server:
            server.send("fetch_task")
            server.send("imagine", prompt="a kite", model="z-image")
            await until(lambda: has_open(server.process.pid, tmp_path / "tasks.db"))
            server.process.send_signal(signal.SIGTERM)
            if has_arrived:
                await until(lambda: not is_pending(server.process.pid, signal.SIGTERM))
            database.execute("ROLLBACK")
            database.close()
            assert await in_thread(server.process.wait, TIMEOUT_S) == 0
        assert upstream.sandbox.request_log.requests["imagine"] == 0


def has_open(pid: int, file: Path) -> bool:
    """Return whether a process has a file open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if descriptor.readlink() == file:
                return True
    return False


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Return whether a signal was sent to a process and has not arrived yet."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    return bool(int(fields["ShdPnd"], 16) >> (number - 1) & 1)


async def test_a_locked_database_delays_an_ending_server_only_once(tmp_path: Path) -> None:
    """The delay does not repeat for each of its tasks."""
    faults, clock = (sandbox.Fault.parse("submit:delay=0.1,times=always"),), StoppedClock()
    fake = sandbox.JourneyApiSettings(plan="enterprise")
    settings = coarse(speed=0, clock=clock, faults=faults, journeyapi=fake)
    address = f"sqlite:///{tmp_path}/tasks.db?timeout=3"
    async with sandbox.running(settings) as upstream:
        with server_process(environment_for(upstream.base_url, tmp_path, JOURNEY_MCP_DATABASE_URL=address)) as server:
            for number in range(12):
                server.send("imagine", prompt=f"kite {number}", model="z-image")
            await until_requested(upstream, "imagine", 12)
            database = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
            database.execute("BEGIN IMMEDIATE")
            server.process.send_signal(signal.SIGTERM)
            clock.seconds = 0.1
            await in_thread(server.process.wait, 30)
            database.execute("ROLLBACK")
            database.close()


async def test_a_client_that_disconnects_loses_no_pending_response(tmp_path: Path) -> None:
    """When stdin is closed, the server waits for the pending response, however long it takes."""
    faults = (sandbox.Fault.parse("submit:delay=3"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path)
        with server_process(environment) as first:
            first.send("imagine", prompt="a kite", model="z-image")
            await until_requested(upstream, "imagine")
            await in_thread(first.close)
            assert first.process.returncode == 0
        with server_process(environment) as second:
            listed = await in_thread(second.call, "fetch_task")
            assert listed["tasks"][0]["status"] == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="it sets the limits of another process")
async def test_a_server_raises_its_limit_of_open_files(tmp_path: Path) -> None:
    """The default limit of a shell is too low: each call that a provider holds open takes one file."""
    with server_process(environment_for("http://127.0.0.1:9", tmp_path)) as server:
        pid, (_, hard) = server.process.pid, resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, hard))
        assert await in_thread(server.call, "fetch_task") == {"tasks": []}
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (min(hard, 10_240), hard)


async def test_stdout_has_only_messages_and_the_key_appears_nowhere(tmp_path: Path) -> None:
    """Neither in the protocol, nor in the debug log, nor in the database."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:status=401"), sandbox.Fault.parse("fetch:reset")])
        more = {"JOURNEY_MCP_LOG_LEVEL": "debug", "JOURNEYAPI_API_KEY": "japi_live_secret", "JOURNEY_MCP_TYPO": "x"}
        with server_process(environment_for(upstream.base_url, tmp_path, **more)) as server:
            answers = [
                await in_thread(server.call, "imagine", prompt="a kite", model=m) for m in ("z-image", "midjourney")
            ]
            out, err = await in_thread(server.close)
        assert out == ""
        assert "JOURNEY_MCP_TYPO is not a setting" in err
        files = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
        for text in (json.dumps(answers), err, *files):
            assert "japi_live_secret" not in text
        assert all(line[:2] == "20" for line in err.splitlines())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JOURNEY_MCP_WAIT_S", "soon"),
        ("JOURNEY_MCP_REGISTRY", "/nowhere/mine.toml"),
        ("JOURNEY_MCP_DEFAULT_MODEL", "dall-e"),
        ("JOURNEY_MCP_DEFAULT_EDIT_MODEL", "z-image"),
    ],
)
def test_an_invalid_setting_stops_the_start_with_one_line(tmp_path: Path, variable: str, value: str) -> None:
    """The line is on stderr, and the exit code is 2."""
    environment = {**os.environ, **environment_for("http://127.0.0.1:9", tmp_path, **{variable: value})}
    ended = subprocess.run(
        COMMAND,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("journey-mcp: ")
    assert value in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_session_over_http_works_in_both_eras(mode: str, tmp_path: Path) -> None:
    """`serve --http` serves both eras at one address and rejects another origin."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        port = free_port()
        environment = {**os.environ, **environment_for(upstream.base_url, tmp_path)}
        server = subprocess.Popen([*COMMAND, "serve", "--http", f"127.0.0.1:{port}"], env=environment)
        try:
            address = f"http://127.0.0.1:{port}/mcp"
            await until_listening(port)
            async with httpx2.AsyncClient(timeout=TIMEOUT_S) as http:
                evil = await http.post(address, json={}, headers={"origin": "https://evil.test"})
                assert evil.status_code == 403
            seen: list[float] = []

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                assert total == 1
                assert message
                seen.append(progress)

            async with Client(address, mode=mode) as client:
                result = await client.call_tool("imagine", {"prompt": "a kite"}, progress_callback=on_progress)
                assert result.structured_content is not None
                assert result.structured_content["status"] == "succeeded"
                assert seen
        finally:
            server.terminate()
            # uvicorn shuts down and then raises the signal again
            assert server.wait(TIMEOUT_S) in {0, -signal.SIGTERM}
