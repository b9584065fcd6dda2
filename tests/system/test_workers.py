"""Image workers that are killed or stopped: the server continues, and ends on a signal."""

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
from support import coarse, environment_of

from journey_mcp import sandbox
from journey_mcp.core.errors import NotSubmitted
from journey_mcp.media import worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import Limits
from journey_mcp.media.workers import Bounds, Workers

IMAGE = written(drawn(), "png")
ANY = Limits()
LARGE = bomb(9000, 9000)
"""An image that takes a second or more."""


def slow_bmp() -> bytes:
    """Return a BMP of 27 million single-pixel runs, which take half a microsecond each."""
    width, height, rows = 9000, 9000, 3000
    data = (b"\1\1" * width + b"\0\0") * rows
    head = struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + head + bytes(1024) + data


async def refused(workers: Workers, content: bytes = LARGE) -> str:
    """Return why an image is rejected."""
    with pytest.raises(NotAnImage) as caught:
        await workers.fit(content, ANY, caller="local")
    return str(caught.value)


async def is_usable(workers: Workers) -> None:
    """Check that the next image is prepared."""
    made, _ = await workers.fit(IMAGE, ANY, caller="local")
    assert made.width == 48


def test_a_worker_process_serves_jobs_until_its_input_ends() -> None:
    """What a library prints does not reach the output."""
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
        (signal.SIGKILL, "the system ended the process that prepared it, perhaps because memory ran out"),
        (signal.SIGSEGV, "the process that prepared it crashed (SIGSEGV)"),
    ],
)
async def test_a_crashed_worker_is_reported_and_replaced(how: signal.Signals, reason: str) -> None:
    """A crash of a decoder affects no other image."""
    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:

        async def kill() -> None:
            os.kill(await until_worker(os.getpid()), how)

        group.start_soon(kill)
        assert await refused(workers) == reason
        await is_usable(workers)


async def test_an_idle_worker_that_was_killed_is_replaced() -> None:
    """The next image is prepared as usual."""
    async with aclosing(Workers()) as workers:
        await is_usable(workers)
        os.kill(await until_worker(os.getpid()), signal.SIGKILL)
        await until(lambda: not image_workers(os.getpid()))
        await is_usable(workers)


async def test_an_image_that_takes_too_long_is_rejected() -> None:
    """The worker is killed."""
    async with aclosing(Workers(Bounds(timeout_s=0.5))) as workers, anyio.create_task_group() as group:

        async def hold() -> None:
            os.kill(await until_worker(os.getpid()), signal.SIGSTOP)

        group.start_soon(hold)
        assert await refused(workers) == "preparing it takes longer than 0.5 s"
        assert image_workers(os.getpid()) == []


async def test_an_image_that_needs_too_much_cpu_time_is_rejected() -> None:
    """The system measures the CPU time."""
    async with aclosing(Workers(Bounds(cpu_s=1))) as workers:
        assert await refused(workers, slow_bmp()) == "preparing it takes more than 1 s of computing time"
        await is_usable(workers)


async def test_a_canceled_call_ends_its_worker() -> None:
    """It ends at once, and its slot is free."""
    async with aclosing(Workers()) as workers:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(refused, workers)
                os.kill(await until_worker(os.getpid()), signal.SIGSTOP)
                group.cancel_scope.cancel()
            assert image_workers(os.getpid()) == []
        await is_usable(workers)


async def test_all_waiting_images_fail_when_the_server_ends() -> None:
    """Those with a worker, those in the queue, and later ones."""
    errors: list[str] = []

    async def fit() -> None:
        try:
            await workers.fit(LARGE, ANY, caller="local")
        except NotSubmitted as error:
            errors.append(str(error))

    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(fit)
        await until(lambda: len(image_workers(os.getpid())) == 2)
        for worker in image_workers(os.getpid()):
            os.kill(worker, signal.SIGSTOP)
        workers.end()
        group.start_soon(fit)
    assert errors == ["The server ended before the images were prepared."] * 5
    assert image_workers(os.getpid()) == []


def editing(upstream: sandbox.Running, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the environment of a server and the arguments of a call with a slow image."""
    (folder / "large.png").write_bytes(LARGE)
    arguments = {"model": "flux-kontext-pro", "prompt": "make it blue", "image": str(folder / "large.png")}
    return environment_of(upstream, folder / "data", "bfl", JOURNEY_MCP_IMAGE_DIRS=str(folder)), arguments


async def stop_worker(server: ServerProcess, arguments: dict[str, Any]) -> int:
    """Start a call and stop the worker that prepares its image."""
    server.send("edit_image", **arguments)
    worker = await until_worker(server.process.pid)
    os.kill(worker, signal.SIGSTOP)
    return worker


async def test_other_calls_are_answered_while_an_image_is_prepared_and_a_signal_ends_both(tmp_path: Path) -> None:
    """The call's error says that nothing was sent."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await stop_worker(server, arguments)
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


async def test_a_killed_server_leaves_no_worker_behind(tmp_path: Path) -> None:
    """The worker reads the end of its input."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await stop_worker(server, arguments)
            server.process.kill()
            os.kill(worker, signal.SIGCONT)
            with anyio.fail_after(TIMEOUT_S):
                while Path(f"/proc/{worker}").exists():
                    await anyio.sleep(0.02)


async def test_a_canceled_request_ends_its_worker(tmp_path: Path) -> None:
    """The server continues."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment, arguments = editing(upstream, tmp_path)
        with server_process(environment) as server:
            worker = await stop_worker(server, arguments)
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
