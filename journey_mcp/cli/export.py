"""Saving finished pictures as files: from our own copy or by the link, looked at, and never half written."""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from journey_mcp.core.errors import InvalidArguments, JourneyError, SetupError, UpstreamError
from journey_mcp.core.images import OutputImage
from journey_mcp.core.text import timestamp
from journey_mcp.media import transcode
from journey_mcp.media.blobs import read_copy
from journey_mcp.media.containers import NotAnImage
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient

_TIMEOUT_S = 120.0
"""For one picture as a whole."""
_SUFFIXES = {
    "png": {".png"},
    "jpeg": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "webp": {".webp"},
    "gif": {".gif"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A picture that lies on the disk."""

    path: Path
    """Absolute."""
    format: str
    """What it is by its bytes, one of `imaging.FORMATS`."""

    @property
    def is_misnamed(self) -> bool:
        """The file's suffix belongs to something else."""
        suffix = self.path.suffix.lower()
        return bool(suffix) and suffix not in _SUFFIXES[self.format]


def targets(output: Path, count: int) -> list[Path]:
    """The files for so many pictures: `output` itself for one, else numbered from 1 as in FILE-1.png."""
    if output.name in {"", "-"}:
        raise InvalidArguments(f"-o {output}: name a file, such as picture.png.")
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, count + 1)]


def check_writable(paths: list[Path], *, replace: bool) -> None:
    """Make sure, before anything is paid, that these files can be written.

    Raises:
        InvalidArguments: one exists and may not be replaced, is no regular file, or lies where nothing can be written.
    """
    for path in paths:
        try:
            problem = _why_occupied(path, replace=replace) or _why_unwritable(_target(path).parent)
        except OSError as error:
            problem = f"it cannot be looked at: {error.strerror}"
        if problem:
            raise InvalidArguments(
                f"{path} cannot be written: {problem}.",
                next_step="Name another file with -o. Nothing was sent and nothing was charged.",
            )


async def save(image: OutputImage, path: Path, safe_http: SafeHttpClient, *, replace: bool = False) -> Saved:
    """Write the picture under exactly this name, whole or not at all; folders are made.

    A symbolic link stays, and the file that it leads to is written; nothing but a regular file is replaced. The picture
    is taken from our own copy where there is one: the URL may be dead.

    Raises:
        UpstreamError: it cannot be fetched, or is no picture.
        SetupError: the file cannot be written, or exists and may not be replaced.
    """
    content = await read_copy(image) or await _fetched(image, safe_http)
    try:
        format_ = await to_thread.run_sync(transcode.format_of, content)
    except NotAnImage as error:
        raise _not_saved(image, error) from error
    try:
        written = await to_thread.run_sync(_write, path, content, replace)
    except OSError as error:
        raise SetupError(
            f"The picture {image.url} cannot be written to {path}: {error.strerror or error}.",
            next_step=_next_step(image),
        ) from error
    return Saved(path=written, format=format_)


async def _fetched(image: OutputImage, safe_http: SafeHttpClient) -> bytes:
    try:
        return (await safe_http.get(image.url, max_bytes=transcode.MAX_BYTES, within_s=_TIMEOUT_S)).content
    except FetchError as error:
        raise _not_saved(image, error) from error


def _not_saved(image: OutputImage, reason: Exception) -> JourneyError:
    return UpstreamError(f"The picture {image.url} cannot be saved: {reason}.", next_step=_next_step(image))


def _next_step(image: OutputImage) -> str:
    if image.expires_at is None:
        return "The picture is not lost: open its URL, or fetch it again."
    return f"Its link lives until {timestamp(image.expires_at)}: open it before, or fetch it again."


def _why_occupied(path: Path, *, replace: bool) -> str | None:
    """Why what is there, at the end of all symbolic links, keeps a file from being written; `None`: it does not."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "it is a folder"
    if not stat.S_ISREG(mode):
        return "it is a device, a pipe or a socket, and only files are replaced"
    return None if replace else "it exists (--force replaces it)"


def _why_unwritable(folder_wanted: Path) -> str | None:
    folder = next(folder for folder in (folder_wanted, *folder_wanted.parents) if folder.exists())
    if not folder.is_dir():
        return f"{folder} is no folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"


def _target(path: Path) -> Path:
    """The file that a name stands for, which need not exist."""
    return Path(os.path.realpath(path))


def _write(path: Path, content: bytes, replace: bool) -> Path:  # noqa: FBT001  # handed over to a thread
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".journey-{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        # what is there may be something else by now
        if problem := _why_occupied(target, replace=replace):
            raise OSError(None, problem)
        temporary.replace(target)
        return path.absolute()
    finally:
        temporary.unlink(missing_ok=True)
