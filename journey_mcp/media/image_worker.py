"""The process that works on the bytes of images: `python -m journey_mcp.media.image_worker CPU_S MEMORY_BYTES`.

It reads jobs from stdin and writes their results to stdout (`worker_protocol`), one at a time, until stdin ends. Its
environment contains no key, and the system ends it when a job takes too much time or memory.

A job names one of `JOBS`, with parameters. The response has the `result`, its `notices` and bytes, or the reason why
the image is `refused`.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from journey_mcp.core.notices import Notice, to_plain
from journey_mcp.core.views import RasterForm, SheetForm
from journey_mcp.media import worker_protocol
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import MAX_BYTES, Limits
from journey_mcp.media.masks import scaled_mask
from journey_mcp.media.reencode import fit_to_limits
from journey_mcp.media.rendering import Rendered, captioned_sheet, contact_sheet, raster, thumbnail


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """The result of a job."""

    content: bytes
    result: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the bytes."""
    notices: tuple[Notice, ...] = ()


def _fit(content: bytes, *, formats: list[str] | None, **limits: int | None) -> JobResult:
    done, notices = fit_to_limits(content, Limits(formats=tuple(formats) if formats else None, **limits))
    return JobResult(
        content=done.content,
        result={"format": done.format, "width": done.width, "height": done.height},
        notices=notices,
    )


def _mask(content: bytes, *, width: int, height: int) -> JobResult:
    done = scaled_mask(content, width, height)
    return JobResult(content=done.content, result={"format": done.format, "width": done.width, "height": done.height})


def _thumbnail(content: bytes, *, path: str | None, **limits: int) -> JobResult:
    """Make a thumbnail of the bytes, or of the file at the path, which need not pass through the pipe then."""
    return _rendered(thumbnail(_read(path) if path else content, **limits))


def _contact_sheet(content: bytes, *, lengths: list[int], labels: list[str], **limits: int) -> JobResult:
    """Make a contact sheet of the files that follow one another in the bytes."""
    return _rendered(contact_sheet(_split(content, lengths), labels, **limits))


def _captioned_sheet(
    content: bytes, *, lengths: list[int], captions: list[list[str]], cell: int, form: SheetForm
) -> JobResult:
    """Make a sheet with captions of the files that follow one another in the bytes; no bytes are an empty cell."""
    return _rendered(captioned_sheet(_split(content, lengths), captions, cell=cell, form=form))


def _split(content: bytes, lengths: list[int]) -> list[bytes]:
    ends = list(accumulate(lengths))
    return [content[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _raster(content: bytes, *, size: int, form: RasterForm) -> JobResult:
    """Make a raster: its palette, if it has one, is in front of its bytes."""
    done = raster(content, size=size, form=form)
    return JobResult(content=done.palette + done.content, result={"width": done.width, "height": done.height})


def _rendered(done: Rendered) -> JobResult:
    return JobResult(content=done.content, result={"width": done.width, "height": done.height})


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)  # more is refused later
    except OSError as error:
        raise NotAnImage(f"its file cannot be read ({error.strerror})") from error


def _warm_up(_content: bytes) -> JobResult:
    """Do nothing: the process has started."""
    return JobResult(content=b"")


JOBS: Mapping[str, Callable[..., JobResult]] = {
    "fit": _fit,
    "thumbnail": _thumbnail,
    "contact_sheet": _contact_sheet,
    "captioned_sheet": _captioned_sheet,
    "raster": _raster,
    "warm_up": _warm_up,
    "mask": _mask,
}
"""Functions of the bytes and parameters, by name."""


def work(incoming: IO[bytes], outgoing: IO[bytes], before_each: Callable[[], None] = lambda: None) -> None:
    """Do one job after another until stdin ends; `before_each` sets the limits of the next job."""
    while message := worker_protocol.receive(incoming, max_bytes=MAX_BYTES):
        facts, content = message
        before_each()
        try:
            done = JOBS[facts["job"]](content, **facts["parameters"])
        except NotAnImage as error:
            worker_protocol.send(outgoing, {"refused": str(error)})
        except MemoryError:
            worker_protocol.send(outgoing, {"refused": "decoding it needs more memory than one image may take"})
        except Exception as error:  # noqa: BLE001  # decoders fail on hostile bytes in any way
            worker_protocol.send(outgoing, {"refused": f"it cannot be decoded ({type(error).__name__})"})
        else:
            worker_protocol.send(
                outgoing,
                {"result": done.result, "notices": [to_plain(notice) for notice in done.notices]},
                done.content,
            )
        del message, content


def limit_memory(limit: int) -> None:
    """Limit the memory of this process, in bytes, where the system supports that; and disable core dumps.

    If memory runs out anyway, Linux ends this process before any other.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(ImportError):  # Windows has neither
        import resource  # noqa: PLC0415  # see above

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError, ValueError):  # macOS refuses; or a stricter limit exists already
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_time(seconds: int) -> None:
    """Limit the CPU time of the next job; the system then ends the process, where it supports that."""
    with suppress(ImportError):
        import resource  # noqa: PLC0415  # Windows has none

        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime) + 1 + seconds
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        if hard == resource.RLIM_INFINITY or until < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def main() -> None:
    """Serve the process that started this one."""
    cpu_s, memory = int(sys.argv[1]), int(sys.argv[2])
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what a library prints is not a response
        os.dup2(nothing, stream)
    limit_memory(memory)
    work(incoming, outgoing, before_each=lambda: limit_time(cpu_s))


if __name__ == "__main__":
    main()
