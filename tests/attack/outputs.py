"""Output paths that are devices, pipes, sockets, folders or links to them, before the call or created during it."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from cli.command import CommandLine
from processes import StoppedClock, until_requested
from support import coarse

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _device(path: Path) -> None:
    """Create a device as an administrator; for other users, a link to one that they cannot replace."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        path.symlink_to(os.devnull)


def _folder(path: Path) -> None:
    path.mkdir()


_KINDS: tuple[Callable[[Path], None], ...] = (_pipe, _socket, _device, _folder)


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return the identity of what is at a path; None if there is nothing."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_mode, status.st_ino, status.st_rdev, status.st_nlink


async def replaced_things(ground: Ground) -> Outcome:
    """`imagine -o THING --force` leaves the thing as it is; if it existed before the call, nothing is charged."""
    outcome = Outcome(unit="devices, pipes, sockets and folders in place of an output file")
    clock = StoppedClock()
    faults = (sandbox.Fault.parse("submit:delay=1,times=always"),)
    async with sandbox.running(coarse(speed=0, clock=clock, faults=faults)) as upstream:
        line, requests = CommandLine(home=ground.folder).at(upstream), 0
        for number in range(ground.count(20)):
            folder = ground.folder / f"{number}"
            folder.mkdir()
            make, is_late = ground.random.choice(_KINDS), ground.random.random() < 0.4
            thing = name = folder / "kite.png"
            if ground.random.random() < 0.5:
                name = folder / "link.png"
                name.symlink_to(thing)
            if not is_late:
                make(thing)
            wanted = ("imagine", f"kite {number}", "--model", "z-image", "-o", str(name), "--force")
            running = asyncio.create_task(line.run(*wanted))
            if is_late:
                requests += 1
                await until_requested(upstream, "imagine", requests)
                make(thing)
            before = _identity(thing), _identity(name)
            while not running.done():
                clock.seconds += 1
                await asyncio.sleep(0.01)
            done = running.result()
            is_same = (_identity(thing), _identity(name)) == before and not list(folder.glob(".*"))
            is_paid_once = upstream.sandbox.request_log.requests["imagine"] == requests
            what = f"{make.__name__}, late={is_late}, link={name != thing}: {done}"
            outcome.attempt(held=done.code != 0 and is_same and is_paid_once, what=what)
        file = ground.folder / "kite.png"
        file.write_text("a file")
        clock.run()
        done = await line.run("imagine", "a kite", "--model", "z-image", "-o", str(file), "--force")
        outcome.attempt(held=done.code == 0 and file.read_bytes() != b"a file", what=f"a file is replaced: {done}")
    return outcome
