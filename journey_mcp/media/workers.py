"""Processes that work on the bytes of images, so that no image can hold up or crash the server.

A process is started when it is first needed, kept for the next image, and ended when it is idle for long, when its
image takes too much time or memory, when whoever waits for it is canceled, and with the server.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any

import anyio
from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import NotSubmitted, SetupError
from journey_mcp.core.notices import Notice
from journey_mcp.core.text import cleaned
from journey_mcp.media import worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.transcode import FORMATS, MAX_BYTES, ImageData, Limits, check_bytes

_MODULE = "journey_mcp.media.image_worker"
_INHERITED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""Environment variables without which Python may not start. Keys stay out of reach of hostile bytes."""
_AT_ONCE = 2
_IDLE_S = 60.0
_DIES_WITHIN_S = 1.0
_MOST_NOTICES = 20
_UNREADABLE = "the process that prepared it gave no answer that can be read"
_CREATE_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""On Windows; the others have no such thing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What one image may take."""

    cpu_s: int = 30
    """Of computing time, where the system counts it."""
    within_s: float = 45.0
    """From when its turn has come."""
    memory: int = 2 * 1024**3
    """In bytes, where the system limits it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a process made of an image."""

    content: bytes
    result: Mapping[str, Any]
    """What the job tells of the bytes."""
    notices: tuple[Notice, ...]


class Workers:
    """Up to two processes at once. Callers who wait take turns, those with the fewest images under way first."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._turns = Turns(_AT_ONCE)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._is_ending = False
        # one that is ended has a second thread
        self._threads = anyio.CapacityLimiter(2 * _AT_ONCE)

    async def fit(self, content: bytes, limits: Limits, *, caller: str) -> tuple[ImageData, tuple[Notice, ...]]:
        """The image within the limits, and a notice of each change, as `redrawing.fit_to_limits` makes it.

        Raises:
            NotAPicture: it cannot be made fit, takes too much time or memory, or its process crashed.
            SetupError: no process can be started.
            NotSubmitted: the server is ending.
        """
        done = await self.run("fit", content, asdict(limits), caller=caller)
        match done.result:
            case {"format": str(kind), "width": int(width), "height": int(height)} if kind in FORMATS:
                return ImageData(content=done.content, format=kind, width=width, height=height), done.notices
            case _:
                raise NotAnImage(_UNREADABLE)

    async def run(self, job: str, content: bytes, parameters: Mapping[str, Any], *, caller: str) -> Done:
        """Do one of `image_worker.JOBS` when it is this caller's turn; `parameters` are plain as in JSON.

        Raises:
            NotAPicture, SetupError, NotSubmitted: as `fit`.
        """
        check_bytes(content)
        async with self._turns.turn(caller):
            worker = await self._taken()
            self._busy.add(worker)
            try:
                return await self._done(worker, job, content, parameters)
            finally:
                self._busy.discard(worker)

    def end(self) -> None:
        """End all processes, whatever they do; who waits for them is told that the server ends."""
        self._is_ending = True
        for worker in (*self._busy, *self._idle):
            worker.kill()

    async def aclose(self) -> None:
        """The same, and wait until those that nobody waits for are gone."""
        self.end()
        while self._idle:
            await self._gone(self._idle.pop())

    async def end_idle(self, clock: Clock) -> None:
        """Look every minute for processes that nobody needed since the last look, and end them; for ever."""
        while True:
            await clock.sleep(_IDLE_S)
            # looked for anew each time: while one ends, another may be needed
            while unused := next((worker for worker in self._idle if worker.is_unused), None):
                self._idle.remove(unused)
                await self._gone(unused)
            for worker in self._idle:
                worker.is_unused = True

    async def _taken(self) -> "_Worker":
        """An idle process, or a new one."""
        while self._idle and not self._is_ending:
            worker = self._idle.pop()
            if worker.is_alive:
                worker.is_unused = False
                return worker
            await self._gone(worker)
        self._check_open()
        return _Worker(self._bounds)

    async def _done(self, worker: "_Worker", job: str, content: bytes, parameters: Mapping[str, Any]) -> Done:
        try:
            with anyio.fail_after(self._bounds.within_s):
                answer = await to_thread.run_sync(
                    worker.ask, job, content, parameters, abandon_on_cancel=True, limiter=self._threads
                )
        except BaseException as error:
            worker.kill()
            await self._gone(worker)
            if isinstance(error, TimeoutError):
                raise NotAnImage(f"preparing it takes longer than {self._bounds.within_s:g} s") from error
            if isinstance(error, OSError):
                raise SetupError(
                    f"No process can be started to prepare images: {error.strerror}.",
                    next_step="Nothing was sent. Ask the person to look at the limits of the machine, or call again.",
                ) from error
            raise
        if answer is None or self._is_ending:
            code = await self._gone(worker)
            self._check_open()
            raise NotAnImage(self._cause(code))
        self._idle.append(worker)
        return _read(*answer)

    async def _gone(self, worker: "_Worker") -> int:
        """Its exit code, when it has ended."""
        codes: list[int] = []
        with anyio.CancelScope(shield=True):
            codes.append(await to_thread.run_sync(worker.end, limiter=self._threads))
        return codes[0]

    def _check_open(self) -> None:
        if self._is_ending:
            raise NotSubmitted("The server ended before the images were prepared.")

    def _cause(self, code: int) -> str:
        """Why a process ended by itself, as its exit code tells."""
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"the process that prepared it ended (exit code {code})"
        if name == "SIGXCPU":
            return f"preparing it takes more than {self._bounds.cpu_s} s of computing time"
        if name == "SIGKILL":
            return "the system ended the process that prepared it, perhaps for want of memory"
        return f"the process that prepared it crashed ({name})"


def _read(facts: Mapping[str, Any], content: bytes) -> Done:
    """What a process answered; hostile bytes may have taken it over."""
    match facts:
        case {"refused": str(reason)}:
            raise NotAnImage(cleaned(reason))
        case {"result": dict(result), "notices": list(notices)}:
            return Done(content=content, result=result, notices=tuple(map(_notice, notices[:_MOST_NOTICES])))
        case _:
            raise NotAnImage(_UNREADABLE)


def _notice(plain: Any) -> Notice:
    match plain:
        case {"code": str(code), "parameters": dict(parameters)}:
            known = {str(name): v if type(v) is int else cleaned(str(v)) for name, v in parameters.items()}
            return Notice.of(cleaned(code), **known)
        case _:
            raise NotAnImage(_UNREADABLE)


class _Worker:
    """A process that does one job at a time, started with the first. Its methods block, but for `kill`."""

    def __init__(self, bounds: Bounds) -> None:
        self.is_unused = False
        """It was not needed when somebody looked."""
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False
        self._starting = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """It has not ended yet."""
        return self._process is not None and self._process.poll() is None

    def ask(self, job: str, content: bytes, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """What it answers; `None` when that cannot be read, or it ended.

        Raises:
            OSError: it cannot be started.
        """
        with self._starting:
            process = self._process = self._process or (None if self._is_killed else _started(self._bounds))
        if process is None:
            return None
        if self._is_killed:  # while it was started
            process.kill()
        try:
            worker_protocol.send(_open(process.stdin), {"job": job, "parameters": parameters}, content)
            return worker_protocol.receive(_open(process.stdout), max_bytes=MAX_BYTES)
        except (OSError, worker_protocol.BadFrame):
            return None

    def kill(self) -> None:
        """Let it end at once, or as soon as it is started."""
        self._is_killed = True
        if self._process:
            self._process.kill()

    def end(self) -> int:
        """Wait until it has ended, not for long, and return its exit code."""
        with self._starting:
            process = self._process
        if process is None:
            return 0
        with suppress(OSError):  # what it did not read is lost
            _open(process.stdin).close()
        try:
            process.wait(_DIES_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        _open(process.stdout).close()
        return code


def _started(bounds: Bounds) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603  # our own module
        # neither the working directory nor what others put beside the packages is imported from
        [sys.executable, "-P", "-S", "-m", _MODULE, str(bounds.cpu_s), str(bounds.memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**{name: os.environ[name] for name in _INHERITED if name in os.environ}, "PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C is for the server alone
        creationflags=_CREATE_NO_WINDOW,
    )


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101  # both are pipes
    return stream


class Turns:
    """So many at once, and the rest in line: the next is of the caller with the fewest turns, who waits longest."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[anyio.Event]] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for the turn, and have it for the block."""
        if self._free:
            self._free -= 1
            self._running[caller] += 1
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._running -= Counter([caller])
            self._free += 1
            self._give_on()

    async def _wait(self, caller: str) -> None:
        is_next = anyio.Event()
        self._waiting.setdefault(caller, deque()).append(is_next)
        try:
            await is_next.wait()
        except BaseException:
            if is_next.is_set():
                self._running -= Counter([caller])
                self._free += 1
                self._give_on()
            else:
                self._waiting[caller].remove(is_next)
                if not self._waiting[caller]:
                    del self._waiting[caller]
            raise

    def _give_on(self) -> None:
        if not self._waiting:
            return
        caller = min(self._waiting, key=self._running.__getitem__)
        line = self._waiting.pop(caller)
        is_next = line.popleft()
        if line:
            self._waiting[caller] = line  # the last of the callers now
        self._free -= 1
        self._running[caller] += 1
        is_next.set()
