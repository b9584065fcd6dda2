"""Descriptors that the event loop reads."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest

from journey_mcp.server.transports.descriptor import Descriptor


@pytest.fixture
def pipe() -> Iterator[tuple[int, BinaryIO]]:
    """Return the ends of a pipe: a descriptor to read, and a file to write."""
    output, into = os.pipe()
    with os.fdopen(output, "rb"), os.fdopen(into, "wb", buffering=0) as file:
        yield output, file


async def test_what_arrives_is_read_in_order_until_the_end(pipe: tuple[int, BinaryIO]) -> None:
    """At most as much as is asked for; the descriptor stays blocking."""
    output, into = pipe
    descriptor = Descriptor(output)
    assert descriptor.can_be_watched
    with descriptor:
        into.write(b"abc")
        assert [await descriptor.read(2), await descriptor.read(2)] == [b"ab", b"c"]
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, into.write, b"d")
            assert await descriptor.read(2) == b"d"
        assert os.get_blocking(output)
        into.close()
        assert await descriptor.read(2) == b""


async def test_nothing_is_read_while_nobody_waits(pipe: tuple[int, BinaryIO]) -> None:
    """What arrives meanwhile stays in the pipe, and does not keep the event loop busy."""
    output, into = pipe
    with Descriptor(output) as descriptor:
        into.write(b"a")
        assert await descriptor.read(9) == b"a"
        into.write(b"b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asyncio.get_running_loop().remove_reader(output) is False
        assert await descriptor.read(9) == b"b"
    assert asyncio.get_running_loop().remove_reader(output) is False


async def test_a_cancelled_read_loses_nothing(pipe: tuple[int, BinaryIO]) -> None:
    """The next read returns it."""
    output, into = pipe
    with Descriptor(output) as descriptor:
        with anyio.move_on_after(0):
            await descriptor.read(9)
        into.write(b"a")
        await asyncio.sleep(0)
        assert await descriptor.read(9) == b"a"


async def test_a_connection_that_is_reset_has_ended() -> None:
    """As one that is closed."""
    ours, theirs = socket.socketpair()
    with ours, Descriptor(ours.fileno()) as descriptor:
        os.write(ours.fileno(), b"never read")
        theirs.close()
        assert await descriptor.read(9) == b""


async def test_bytes_that_another_process_has_read_are_waited_for(pipe: tuple[int, BinaryIO]) -> None:
    """A descriptor may be inherited, and in the mode of its other owner."""
    output, into = pipe
    os.set_blocking(output, False)
    loop, others = asyncio.get_running_loop(), [os.dup(output), os.dup(output)]

    def steal(other: int) -> None:
        with suppress(BlockingIOError):
            os.read(other, 1)

    with Descriptor(output) as descriptor:
        # one of them is called before ours, whatever the order is
        loop.add_reader(others[0], steal, others[0])
        reading = asyncio.create_task(descriptor.read(9))
        await asyncio.sleep(0)
        loop.add_reader(others[1], steal, others[1])
        into.write(b"a")
        await asyncio.sleep(0)  # the event loop looks for what is ready,
        await asyncio.sleep(0)  # and has called all three
        for other in others:
            loop.remove_reader(other)
            os.close(other)
        into.write(b"b")
        assert await reading == b"b"


async def test_a_file_cannot_be_watched(tmp_path: Path) -> None:
    """The operating system does not say when it can be read."""
    with (tmp_path / "file").open("wb") as file:
        assert not Descriptor(file.fileno()).can_be_watched
