"""Processes that work on images: kept, ended, bounded, and shared fairly. Kills are in tests/system."""

import asyncio
import io
import os
import sys
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
import pytest
from drawn import bomb, drawn, exif, written
from manual_clock import ManualClock
from processes import image_workers

from journey_mcp.core.errors import SetupError
from journey_mcp.media import image_worker, worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import MAX_BYTES, Limits
from journey_mcp.media.reencode import fit_to_limits
from journey_mcp.media.workers import Bounds, FairLimiter, Workers

IMAGE = written(drawn(), "png")
ANY = Limits()


async def test_a_process_makes_an_image_fit_as_a_function_would() -> None:
    """The bytes, format and size, and the notices."""
    limits = Limits(formats=("jpeg",), max_pixels=500, max_bytes=5000, min_side=10)
    content = written(drawn(), "png", exif=exif(6))
    async with aclosing(Workers()) as workers:
        assert await workers.fit(content, limits, caller="local") == fit_to_limits(content, limits)


async def test_a_refusal_is_returned_and_the_process_continues() -> None:
    """In the words of the function."""
    async with aclosing(Workers()) as workers:
        with pytest.raises(NotAnImage, match="it has 48x32 pixels, and this provider takes at least 100 on each side"):
            await workers.fit(IMAGE, Limits(min_side=100), caller="local")
        (process,) = image_workers(os.getpid())
        await workers.fit(IMAGE, ANY, caller="local")
        assert image_workers(os.getpid()) == [process]


async def test_too_large_content_never_reaches_a_process() -> None:
    """Above 64 MiB."""
    async with aclosing(Workers()) as workers:
        with pytest.raises(NotAnImage, match="at most 67,108,864 can be handled"):
            await workers.fit(bytes(MAX_BYTES + 1), ANY, caller="local")
        assert image_workers(os.getpid()) == []


async def test_a_process_can_be_started_before_its_first_image() -> None:
    """Unless there is one."""
    async with aclosing(Workers()) as workers:
        await workers.warm_up(caller="local")
        (process,) = image_workers(os.getpid())
        await workers.warm_up(caller="local")
        await workers.fit(IMAGE, ANY, caller="local")
        assert image_workers(os.getpid()) == [process]


async def test_an_idle_process_is_ended_after_a_while_and_a_new_one_started() -> None:
    """One that is needed now and then is kept."""
    clock = ManualClock()
    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:
        group.start_soon(workers.end_idle, clock)
        await workers.fit(IMAGE, ANY, caller="local")
        (first,) = image_workers(os.getpid())
        for _ in range(3):
            await clock.sleep(70)
            await workers.fit(IMAGE, ANY, caller="local")
            assert image_workers(os.getpid()) == [first]
        await clock.sleep(130)
        assert image_workers(os.getpid()) == []
        await workers.fit(IMAGE, ANY, caller="local")
        group.cancel_scope.cancel()
    assert image_workers(os.getpid()) == []


async def test_a_process_that_is_used_while_another_idle_one_ends_is_kept() -> None:
    """Both were to be ended, and the call comes first to the second."""
    clock = ManualClock()
    async with aclosing(Workers()) as workers, anyio.create_task_group() as group:
        group.start_soon(workers.end_idle, clock)
        async with anyio.create_task_group() as both:
            for _ in range(2):
                both.start_soon(partial(workers.fit, IMAGE, ANY, caller="local"))
        processes = image_workers(os.getpid())
        assert len(processes) == 2
        for _ in range(2):  # each time just after the look
            await clock.sleep(60)
        await workers.fit(IMAGE, ANY, caller="local")
        await clock.sleep(1)
        (kept,) = image_workers(os.getpid())
        assert kept in processes
        group.cancel_scope.cancel()


async def test_a_process_knows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor anything else of the environment that Python does not need."""
    monkeypatch.setenv("BFL_API_KEY", "secret-key")
    async with aclosing(Workers()) as workers:
        await workers.fit(IMAGE, ANY, caller="local")
        (process,) = image_workers(os.getpid())
        environment = Path(f"/proc/{process}/environ").read_bytes()
        assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} <= {
            *(b"PYTHONPATH", b"LD_LIBRARY_PATH", b"PYTHONHOME", b"MALLOC_MMAP_THRESHOLD_", b"MALLOC_TRIM_THRESHOLD_"),
            b"LC_CTYPE",  # by Python itself, where there is no locale
        }


async def test_an_image_that_needs_too_much_memory_is_refused() -> None:
    """The process is not harmed."""
    async with aclosing(Workers(Bounds(memory=256 * 1024**2))) as workers:
        with pytest.raises(NotAnImage, match="needs more memory than one image may take"):
            await workers.fit(bomb(9000, 9000), ANY, caller="local")
        made, _ = await workers.fit(IMAGE, ANY, caller="local")
        assert made.width == 48


async def test_a_process_that_cannot_be_started_is_a_setup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with aclosing(Workers()) as workers:
        with pytest.raises(SetupError, match="No process can be started to prepare images: No such file") as caught:
            await workers.fit(IMAGE, ANY, caller="local")
        assert caught.value.failure.next_step


async def test_a_process_that_ends_by_itself_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a program that is not Python."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with aclosing(Workers()) as workers:
        with pytest.raises(NotAnImage, match=r"the process that prepared it ended \(exit code 1\)"):
            await workers.fit(IMAGE, ANY, caller="local")


@pytest.mark.parametrize(
    "facts",
    [
        "{}",
        '{"result": {"format": "exe", "width": 1, "height": 1}, "notices": []}',
        '{"result": {"format": "png", "width": "1", "height": 1}, "notices": []}',
        '{"result": {"format": "png", "width": 1, "height": 1}, "notices": 1}',
        '{"result": "png", "notices": []}',
        '{"refused": 1}',
    ],
)
async def test_a_response_without_an_image_is_refused(
    facts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hostile bytes may have taken over the process."""
    monkeypatch.setattr(sys, "executable", answering(tmp_path, facts))
    async with aclosing(Workers()) as workers:
        with pytest.raises(NotAnImage, match="returned an unreadable response"):
            await workers.fit(IMAGE, ANY, caller="local")


async def test_the_texts_of_a_process_are_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of the image's making."""
    monkeypatch.setattr(sys, "executable", answering(tmp_path, '{"refused": "no\\u001b[31m\\u200b image\\nof mine"}'))
    async with aclosing(Workers()) as workers:
        with pytest.raises(NotAnImage) as caught:
            await workers.fit(IMAGE, ANY, caller="local")
        assert str(caught.value) == "no[31m image of mine"


def answering(folder: Path, facts: str) -> str:
    """Return a program that gives this response to any input."""
    head = facts.encode()
    answer = folder / "answer"
    answer.write_bytes(len(head).to_bytes(4) + bytes(8) + head)
    program = folder / "program"
    program.write_text(f"#!/bin/sh\nhead -c 20 >{folder}/read\ncat {answer}\ncat >{folder}/read\n")
    program.chmod(0o700)
    return str(program)


# --- turns


class Line:
    """Images of several callers, and the order in which they were done."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.done: list[str] = []

    async def fit(self, caller: str) -> None:
        """Let one image be prepared."""
        await self._workers.fit(IMAGE, ANY, caller=caller)
        self.done.append(caller)


async def test_many_images_share_two_processes() -> None:
    """No more are started."""
    async with aclosing(Workers()) as workers:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(partial(workers.fit, IMAGE, ANY, caller="many"))
        assert len(image_workers(os.getpid())) == 2


async def test_a_caller_with_many_images_does_not_hold_up_another() -> None:
    """Whoever has the fewest under way is next. A slot is given back by hand, so that no process's speed counts."""
    turns = FairLimiter(2)
    given: list[str] = []
    give_back = anyio.Semaphore(0)

    async def have(caller: str) -> None:
        async with turns.slot(caller):
            given.append(caller)
            await give_back.acquire()

    async with anyio.create_task_group() as group:
        for caller in ["many"] * 6 + ["few"] * 2:
            group.start_soon(have, caller)
        await anyio.wait_all_tasks_blocked()
        for _ in range(8):
            give_back.release()
            await anyio.wait_all_tasks_blocked()
    assert given == ["many", "many", "few", "many", "few", "many", "many", "many"]


async def test_a_slot_that_comes_with_a_cancellation_is_handed_over() -> None:
    """Or it would be lost."""
    turns = FairLimiter(1)

    async def have() -> None:
        async with turns.slot("canceled"):
            raise AssertionError

    async with turns.slot("first"):
        canceled = asyncio.create_task(have())
        await anyio.lowlevel.checkpoint()
    canceled.cancel()
    await asyncio.wait([canceled])
    assert canceled.cancelled()
    with anyio.fail_after(1):
        async with turns.slot("next"):
            pass


async def test_a_call_that_is_canceled_at_any_moment_leaves_no_process() -> None:
    """Before, during and after the start."""
    async with aclosing(Workers()) as workers:
        for steps in range(12):
            async with anyio.create_task_group() as group:
                group.start_soon(Line(workers).fit, "canceled")
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert image_workers(os.getpid()) == []
        await workers.fit(IMAGE, ANY, caller="local")


async def test_a_canceled_caller_leaves_the_queue() -> None:
    """The others go on, and every turn is given back."""
    async with aclosing(Workers()) as workers:
        line = Line(workers)
        async with anyio.create_task_group() as others, anyio.create_task_group() as canceled:
            for _ in range(3):
                canceled.start_soon(line.fit, "canceled")
            await anyio.lowlevel.checkpoint()
            for _ in range(3):
                others.start_soon(line.fit, "other")
            await anyio.lowlevel.checkpoint()
            canceled.cancel_scope.cancel()
        assert line.done == ["other"] * 3


# --- the side of the process


def answers(*jobs: tuple[dict[str, object], bytes]) -> Sequence[tuple[dict[str, object], bytes]]:
    """Return the responses of the process to these jobs."""
    incoming, outgoing = io.BytesIO(), io.BytesIO()
    for facts, content in jobs:
        worker_protocol.send(incoming, facts, content)
    incoming.seek(0)
    image_worker.work(incoming, outgoing)
    outgoing.seek(0)
    found = []
    while answer := worker_protocol.receive(outgoing, max_bytes=MAX_BYTES):
        found.append(answer)
    return found


def test_a_process_answers_every_job() -> None:
    """Also those that it does not know, and images on which a decoder stumbles."""
    parameters = {"formats": None, "max_bytes": None, "max_pixels": None, "min_side": None}
    made, refused, unknown = answers(
        ({"job": "fit", "parameters": parameters}, IMAGE),
        ({"job": "fit", "parameters": parameters}, b"<html>"),
        ({"job": "nothing", "parameters": {}}, b""),
    )
    assert made == ({"result": {"format": "png", "width": 48, "height": 32}, "notices": []}, IMAGE)
    assert "neither PNG" in str(refused[0]["refused"])
    assert unknown[0] == {"refused": "it cannot be decoded (KeyError)"}


@pytest.mark.parametrize(
    "frame",
    [
        b"\0\0\0\2",
        b"\0\0\0\2" + bytes(8) + b"{",
        b"\0\0\0\2" + bytes(8) + b"[]",
        b"\0\0\0\2" + bytes(8) + b"{x",
        b"\0\0\xff\xff" + bytes(8) + b"[" * 0xFFFF,
        b"\0\1\0\1" + bytes(8),
        b"\0\0\0\2" + b"\xff" * 8 + b"{}",
    ],
)
def test_an_invalid_message_is_refused(frame: bytes) -> None:
    """Broken off, too long, or nothing that was agreed upon."""
    with pytest.raises(worker_protocol.BadFrame):
        worker_protocol.receive(io.BytesIO(frame), max_bytes=100)
