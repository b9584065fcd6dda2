"""Processes that work on the bytes of images, so that no image can block or crash the server.

A process is started when it is first needed and kept for the next image. It is ended when it is idle for over a minute,
when its image takes too much time or memory, when its caller is canceled, and with the server.
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
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.text import cleaned
from journey_mcp.media import worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import FORMATS, MAX_BYTES, ImageData, Limits, check_bytes

_MODULE = "journey_mcp.media.image_worker"
_INHERITED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""Environment variables that Python may need to start. Hostile bytes cannot reach keys."""
_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(64 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2)}
"""Lets glibc keep the memory of one image for the next one: a tenth of the time of a thumbnail."""
_MAX_PROCESSES = 2
_IDLE_TIMEOUT_S = 60.0
_EXIT_TIMEOUT_S = 1.0
_MAX_NOTICES = 20
_UNREADABLE = "the process that prepared it returned an unreadable response"
_CREATE_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""0 where the system is not Windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """The limits of one image."""

    cpu_s: int = 30
    """CPU time, where the system limits it."""
    timeout_s: float = 45.0
    """From the moment it gets a slot."""
    memory: int = 2 * 1024**3
    """In bytes, where the system limits it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """The result of one job."""

    content: bytes
    result: Mapping[str, Any]
    """Facts about the bytes."""
    notices: tuple[Notice, ...]


class Workers:
    """Up to two processes. Of the callers that wait, the one with the fewest running images is next."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._limiter = FairLimiter(_MAX_PROCESSES)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._is_ending = False
        # a process that is ended uses a second thread
        self._threads = anyio.CapacityLimiter(2 * _MAX_PROCESSES)

    async def fit(self, content: bytes, limits: Limits, *, caller: str) -> tuple[ImageData, tuple[Notice, ...]]:
        """Return the image within the limits, and a notice of each change, as `reencode.fit_to_limits` does.

        Raises:
            NotAnImage: it cannot be converted, takes too much time or memory, or its process crashed.
            SetupError: no process can be started.
            NotSubmitted: the server is ending.
        """
        done = await self.run("fit", content, asdict(limits), caller=caller)
        return _image(done), done.notices

    async def mask(self, content: bytes, size: tuple[int, int], *, caller: str) -> ImageData:
        """Return the image as a mask of this width and height, as `masks.scaled_mask` does.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `fit`.
        """
        return _image(await self.run("mask", content, {"width": size[0], "height": size[1]}, caller=caller))

    async def run(self, job: str, content: bytes, parameters: Mapping[str, Any], *, caller: str) -> WorkerResult:
        """Do one of `image_worker.JOBS` once the caller has a slot; `parameters` are plain as in JSON.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `fit`.
        """
        check_bytes(content)
        async with self._limiter.slot(caller):
            worker = await self._acquire()
            self._busy.add(worker)
            try:
                return await self._run_on(worker, job, content, parameters)
            finally:
                self._busy.discard(worker)

    async def warm_up(self, *, caller: str) -> None:
        """Start a process, unless there is one: the next image need not wait for that.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `fit`.
        """
        if not self._idle and not self._busy:
            await self.run("warm_up", b"", {}, caller=caller)

    def end(self) -> None:
        """End all processes at once; their callers get an error that the server is ending."""
        self._is_ending = True
        for worker in (*self._busy, *self._idle):
            worker.kill()

    async def aclose(self) -> None:
        """End all processes, and wait until the idle ones have exited."""
        self.end()
        while self._idle:
            await self._reap(self._idle.pop())

    async def end_idle(self, clock: Clock) -> None:
        """End, every minute, the processes that were not used since the last check; for ever."""
        while True:
            await clock.sleep(_IDLE_TIMEOUT_S)
            # searched again each time: while one ends, another may be used
            while unused := next((worker for worker in self._idle if worker.is_unused), None):
                self._idle.remove(unused)
                await self._reap(unused)
            for worker in self._idle:
                worker.is_unused = True

    async def _acquire(self) -> "_Worker":
        """Return an idle process, or a new one."""
        while self._idle and not self._is_ending:
            worker = self._idle.pop()
            if worker.is_alive:
                worker.is_unused = False
                return worker
            await self._reap(worker)
        self._check_open()
        return _Worker(self._bounds)

    async def _run_on(self, worker: "_Worker", job: str, content: bytes, parameters: Mapping[str, Any]) -> WorkerResult:
        try:
            with anyio.fail_after(self._bounds.timeout_s):
                response = await to_thread.run_sync(
                    worker.request, job, content, parameters, abandon_on_cancel=True, limiter=self._threads
                )
        except BaseException as error:
            worker.kill()
            await self._reap(worker)
            if isinstance(error, TimeoutError):
                raise NotAnImage(f"preparing it takes longer than {self._bounds.timeout_s:g} s") from error
            if isinstance(error, OSError):
                raise SetupError(
                    f"No process can be started to prepare images: {error.strerror}.",
                    next_step="Nothing was sent. " + ask_person("Look at the limits of the machine, or call again."),
                ) from error
            raise
        if response is None or self._is_ending:
            code = await self._reap(worker)
            self._check_open()
            raise NotAnImage(self._reason_of(code))
        self._idle.append(worker)
        return _read(*response)

    async def _reap(self, worker: "_Worker") -> int:
        """Wait until a process has ended, and return its exit code."""
        codes: list[int] = []
        with anyio.CancelScope(shield=True):
            codes.append(await to_thread.run_sync(worker.end, limiter=self._threads))
        return codes[0]

    def _check_open(self) -> None:
        if self._is_ending:
            raise NotSubmitted("The server ended before the images were prepared.")

    def _reason_of(self, code: int) -> str:
        """Return why a process ended by itself, from its exit code."""
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"the process that prepared it ended (exit code {code})"
        if name == "SIGXCPU":
            return f"preparing it takes more than {self._bounds.cpu_s} s of computing time"
        if name == "SIGKILL":
            return "the system ended the process that prepared it, perhaps because memory ran out"
        return f"the process that prepared it crashed ({name})"


def _read(facts: Mapping[str, Any], content: bytes) -> WorkerResult:
    """Check the response of a process, which hostile bytes may control."""
    match facts:
        case {"refused": str(reason)}:
            raise NotAnImage(cleaned(reason))
        case {"result": dict(result), "notices": list(notices)}:
            return WorkerResult(content=content, result=result, notices=tuple(map(_notice, notices[:_MAX_NOTICES])))
        case _:
            raise NotAnImage(_UNREADABLE)


def _image(done: WorkerResult) -> ImageData:
    match done.result:
        case {"format": str(kind), "width": int(width), "height": int(height)} if kind in FORMATS:
            return ImageData(content=done.content, format=kind, width=width, height=height)
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
    """A process that does one job at a time, started with the first. Its methods block, except `kill`."""

    def __init__(self, bounds: Bounds) -> None:
        self.is_unused = False
        """It was idle at the last check."""
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False
        self._starting = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """The process has not ended yet."""
        return self._process is not None and self._process.poll() is None

    def request(self, job: str, content: bytes, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Send one job and return the response; `None` when it cannot be read, or the process ended.

        Raises:
            OSError: the process cannot be started.
        """
        with self._starting:
            process = self._process = self._process or (None if self._is_killed else _start(self._bounds))
        if process is None:
            return None
        if self._is_killed:  # during its start
            process.kill()
        try:
            worker_protocol.send(_open(process.stdin), {"job": job, "parameters": parameters}, content)
            return worker_protocol.receive(_open(process.stdout), max_bytes=MAX_BYTES)
        except (OSError, worker_protocol.BadFrame):
            return None

    def kill(self) -> None:
        """End the process at once, or as soon as it is started."""
        self._is_killed = True
        if self._process:
            self._process.kill()

    def end(self) -> int:
        """Wait a second for the exit, then kill; return the exit code."""
        with self._starting:
            process = self._process
        if process is None:
            return 0
        with suppress(OSError):  # unread input is lost
            _open(process.stdin).close()
        try:
            process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        _open(process.stdout).close()
        return code


def _start(bounds: Bounds) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603  # a module of this package
        # nothing is imported from the working directory, and no .pth file runs
        [sys.executable, "-P", "-S", "-m", _MODULE, str(bounds.cpu_s), str(bounds.memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**{n: os.environ[n] for n in _INHERITED if n in os.environ}, **_ALLOCATION, "PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C is for the server alone
        creationflags=_CREATE_NO_WINDOW,
    )


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101  # both are pipes
    return stream


@dataclass(frozen=True, slots=True)
class CallersWorkers:
    """The processes, for one caller."""

    workers: Workers
    caller: str

    async def fit(self, content: bytes, limits: Limits) -> tuple[ImageData, tuple[Notice, ...]]:
        """Fit an image to limits; see `Workers.fit`."""
        return await self.workers.fit(content, limits, caller=self.caller)

    async def mask(self, content: bytes, size: tuple[int, int]) -> ImageData:
        """Scale a mask; see `Workers.mask`."""
        return await self.workers.mask(content, size, caller=self.caller)


class FairLimiter:
    """A limited number of slots. The next goes to the caller with the fewest, else to the one that waited longest."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[anyio.Event]] = {}

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for the block."""
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
            self._hand_over()

    async def _wait(self, caller: str) -> None:
        is_next = anyio.Event()
        self._waiting.setdefault(caller, deque()).append(is_next)
        try:
            await is_next.wait()
        except BaseException:
            if is_next.is_set():
                self._running -= Counter([caller])
                self._free += 1
                self._hand_over()
            else:
                self._waiting[caller].remove(is_next)
                if not self._waiting[caller]:
                    del self._waiting[caller]
            raise

    def _hand_over(self) -> None:
        if not self._waiting:
            return
        caller = min(self._waiting, key=self._running.__getitem__)
        queue = self._waiting.pop(caller)
        is_next = queue.popleft()
        if queue:
            self._waiting[caller] = queue  # the caller is now the last one
        self._free -= 1
        self._running[caller] += 1
        is_next.set()
