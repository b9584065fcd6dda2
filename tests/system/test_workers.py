"""Processes that work on images, killed and held up: the server goes on, and ends when it is told to."""

import io
import os
import signal
import struct
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from drawn import bomb, drawn, written
from manual_clock import until
from processes import TIMEOUT_S, ServerProcess, image_workers, in_thread, server_process, until_worker
from support import environment_of

from journey_mcp import sandbox
from journey_mcp.core.errors import NotSubmitted
from journey_mcp.media import worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.transcode import Limits
from journey_mcp.media.workers import Bounds, Workers

IMAGE = written(drawn(), "png")
ANY = Limits()
LARGE = bomb(9000, 9000)
"""It takes a second or more."""


def slow_bmp() -> bytes:
    """Runs of a single pixel, which take half a microsecond each, and there are 27 million."""
    width, height, rows = 9000, 9000, 3000
    data = (b"\1\1" * width + b"\0\0") * rows
    head = struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + head + bytes(1024) + data


async def refused(workers: Workers, content: bytes = LARGE) -> str:
    """Why it is not taken."""
    with pytest.raises(NotAnImage) as caught:
        await workers.fit(content, ANY, caller="local")
    return str(caught.value)


async def is_usable(workers: Workers) -> None:
    """Make sure that the next image is prepared."""
    made, _ = await workers.fit(IMAGE, ANY, caller="local")
    assert made.width == 48


def test_a_process_serves_whoever_starts_it() -> None:
    """What a library prints is no answer, and it ends with its input."""
    job = {"job": "fit", "parameters": {"formats": None, "max_bytes": None, "max_pixels": None, "min_side": None}}
    incoming = io.BytesIO()
    worker_protocol.send(incoming, job, IMAGE)
    worker_protocol.send(incoming, job, b"II*\0" + IMAGE)
    command = [sys.executable, "-m", "journey_mcp.media.image_worker", "30", str(2 * 1024**3)]
    done = subprocess.run(command, input=incoming.getvalue(), capture_output=True, check=True, timeout=TIMEOUT_S)
    outgoing = io.BytesIO(done.stdout)
    made = worker_protocol.receive(outgoing, max_bytes=1000)
    assert made == ({"result": {"format": "png", "width": 48, "height": 32}, "notices": []}, IMAGE)
    refused = worker_protocol.receive(outgoing, max_bytes=1000)
    assert refused is not None
    assert "it is a damaged TIFF" in refused[0]["refused"]
    assert (worker_protocol.receive(outgoing, max_bytes=1000), done.stderr) == (None, b"")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (signal.SIGKILL, "the system ended the process that prepared it, perhaps for want of memory"),
        (signal.SIGSEGV, "the process that prepared it crashed (SIGSEGV)"),
    ],
)
async def test_a_process_that_dies_is_told_and_the_next_image_has_a_new_one(how: signal.Signals, reason: str) -> None:
    """A decoder that crashes takes nobody with it."""
    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:

        async def strike() -> None:
            os.kill(await until_worker(os.getpid()), how)

        group.start_soon(strike)
        assert await refused(workers) == reason
        await is_usable(workers)


async def test_a_process_that_died_while_it_was_idle_is_replaced() -> None:
    """Nobody notices."""
    async with aclosing(Workers()) as workers:
        await is_usable(workers)
        os.kill(await until_worker(os.getpid()), signal.SIGKILL)
        await until(lambda: not image_workers(os.getpid()))
        await is_usable(workers)


async def test_an_image_that_takes_too_long_is_refused() -> None:
    """Whatever the process does meanwhile, it is killed."""
    async with aclosing(Workers(Bounds(within_s=0.5))) as workers, anyio.create_task_group() as group:

        async def hold() -> None:
            os.kill(await until_worker(os.getpid()), signal.SIGSTOP)

        group.start_soon(hold)
        assert await refused(workers) == "preparing it takes longer than 0.5 s"
        assert image_workers(os.getpid()) == []


async def test_an_image_that_computes_too_long_is_refused() -> None:
    """By the system's own count."""
    async with aclosing(Workers(Bounds(cpu_s=1))) as workers:
        assert await refused(workers, slow_bmp()) == "preparing it takes more than 1 s of computing time"
        await is_usable(workers)


async def test_a_canceled_call_ends_its_process() -> None:
    """At once, and the turn is free."""
    async with aclosing(Workers()) as workers:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(refused, workers)
                os.kill(await until_worker(os.getpid()), signal.SIGSTOP)
                group.cancel_scope.cancel()
            assert image_workers(os.getpid()) == []
        await is_usable(workers)


async def test_when_the_server_ends_nobody_waits_any_longer() -> None:
    """Neither who has a process, nor who stands in line, nor who comes later."""
    told: list[str] = []

    async def fit() -> None:
        try:
            await workers.fit(LARGE, ANY, caller="local")
        except NotSubmitted as error:
            told.append(str(error))

    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(fit)
        await until(lambda: len(image_workers(os.getpid())) == 2)
        for worker in image_workers(os.getpid()):
            os.kill(worker, signal.SIGSTOP)
        workers.end()
        group.start_soon(fit)
    assert told == ["The server ended before the images were prepared."] * 5
    assert image_workers(os.getpid()) == []


def editing(upstream: sandbox.Running, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The environment of a server, and the arguments of a call whose image takes long."""
    (folder / "large.png").write_bytes(LARGE)
    arguments = {"model": "flux-kontext-pro", "prompt": "make it blue", "image": str(folder / "large.png")}
    return environment_of(upstream, folder / "data", "bfl", JOURNEY_MCP_IMAGE_DIRS=str(folder)), arguments


async def held_up(server: ServerProcess, arguments: dict[str, Any]) -> int:
    """Call, and let the process that prepares the image stand still."""
    server.send("edit_image", **arguments)
    worker = await until_worker(server.process.pid)
    os.kill(worker, signal.SIGSTOP)
    return worker


async def test_others_are_answered_while_an_image_is_prepared_and_a_signal_ends_both(tmp_path: Path) -> None:
    """However long that would take; the call is told that nothing was sent."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await held_up(server, arguments)
            listed = await in_thread(server.call, "fetch_task")
            assert listed["tasks"] == []
            assert worker in image_workers(server.process.pid)
            server.process.terminate()
            answer = await in_thread(server.answer)
            assert answer["result"]["structuredContent"]["error"]["code"] == "not_submitted"
            assert await in_thread(server.process.wait, TIMEOUT_S) == 0
            with pytest.raises(ProcessLookupError):
                os.kill(worker, 0)
        assert not upstream.sandbox.request_log.submissions


async def test_a_server_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    """It reads the end of its input."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await held_up(server, arguments)
            server.process.kill()
            os.kill(worker, signal.SIGCONT)
            with anyio.fail_after(TIMEOUT_S):
                while Path(f"/proc/{worker}").exists():
                    await anyio.sleep(0.02)


async def test_a_canceled_request_ends_its_process(tmp_path: Path) -> None:
    """The server goes on."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await held_up(server, arguments)
            cancel = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n'
            assert server.process.stdin is not None
            server.process.stdin.write(cancel)
            server.process.stdin.flush()
            await until(lambda: worker not in image_workers(server.process.pid))
            (tmp_path / "small.png").write_bytes(IMAGE)
            server.send("edit_image", **{**arguments, "image": str(tmp_path / "small.png")})
            answer = await in_thread(server.answer)
            while answer["id"] != 2:
                answer = await in_thread(server.answer)
            assert answer["result"]["structuredContent"]["status"] == "succeeded"
