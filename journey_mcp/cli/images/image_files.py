"""Saving of finished images as files: from the stored copy or the link, validated, and never half written."""

import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import to_thread

from journey_mcp.core.errors import InvalidArguments, JourneyError, SetupError, UpstreamError
from journey_mcp.core.images import OutputImage
from journey_mcp.core.text import timestamp
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.save_folder import has_content
from journey_mcp.net.address_policy import FetchError, TooLarge
from journey_mcp.net.safe_http import SafeHttpClient

_TIMEOUT_S = 120.0
"""Limit for the download of one image."""
_SUFFIXES = {
    "png": {".png"},
    "jpeg": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "webp": {".webp"},
    "gif": {".gif"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """An image that was loaded."""

    content: bytes
    format: str
    """Its format by its bytes, one of `transcode.FORMATS`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """An image on the disk."""

    path: Path
    """Absolute."""
    format: str
    """Its format by its bytes, one of `transcode.FORMATS`."""

    @property
    def is_misnamed(self) -> bool:
        """Whether the file's suffix is that of another format."""
        suffix = self.path.suffix.lower()
        return bool(suffix) and suffix not in _SUFFIXES[self.format]


def check_writable(paths: Iterable[Path], *, replace: bool) -> None:
    """Check, before anything is paid, that these files can be written.

    Raises:
        InvalidArguments: one exists and may not be replaced, is not a regular file, or its folder is not writable.
    """
    for path in paths:
        try:
            problem = _why_occupied(path, replace=replace) or _why_unwritable(_target(path).parent)
        except OSError as error:
            problem = f"it cannot be read: {error.strerror}"
        if problem:
            raise InvalidArguments(
                f"{path} cannot be written: {problem}.",
                next_step="Name another file with -o. Nothing was sent and nothing was charged.",
            )


def check_folder(folder: Path) -> None:
    """Check that files can be made in a folder, which need not exist.

    Raises:
        InvalidArguments: they cannot.
    """
    if problem := _why_unwritable(folder):
        raise InvalidArguments(
            f"Nothing can be saved in {folder}: {problem}.",
            next_step="Name another folder with -o. Nothing was sent and nothing was charged.",
        )


async def save(
    image: OutputImage, path: Path, safe_http: SafeHttpClient, *, copy: bytes | None = None, replace: bool = False
) -> Saved:
    """Load the image and write it; see `load` and `write`."""
    return await write(image, await load(image, safe_http, copy=copy), path, replace=replace)


Renew = Callable[[], Awaitable[str | None]]
"""Returns another link to an image, which works now; `None` if there is none."""


async def load(
    image: OutputImage, safe_http: SafeHttpClient, *, copy: bytes | None = None, renew: Renew | None = None
) -> Content:
    """Return the image: the stored `copy` if there is one, because the URL may have expired, else from a link.

    Raises:
        UpstreamError: it cannot be fetched, or is not an image.
    """
    try:
        content = copy or await _fetched(image, safe_http, renew)
        return Content(content=content, format=await to_thread.run_sync(formats.format_of, content))
    except (FetchError, NotAnImage) as error:
        raise _not_saved(image, error) from error


async def write(image: OutputImage, content: Content, path: Path, *, replace: bool, may_exist: bool = False) -> Saved:
    """Write the image under exactly this name, completely or not at all; create the folders.

    A symbolic link stays, and its target is written; only regular files are replaced. With `may_exist`, a file of the
    same content counts as written.

    Raises:
        SetupError: the file cannot be written, or exists and may not be replaced.
    """
    try:
        written = await to_thread.run_sync(partial(_write, path, content.content, replace=replace, may_exist=may_exist))
    except OSError as error:
        raise unwritable(image, path, error) from error
    return Saved(path=written, format=content.format)


def write_file(path: Path, content: bytes, *, replace: bool) -> Path:
    """Write a file completely or not at all, as `write` does; return its absolute path. It blocks.

    Raises:
        OSError: it cannot be written, or exists and may not be replaced.
    """
    return _write(path, content, replace=replace, may_exist=False)


def unwritable(image: OutputImage, path: Path, error: OSError) -> SetupError:
    """Return the error of an image that is not saved."""
    return SetupError(
        f"The image {image.url} cannot be written to {path}: {error.strerror or error}.", next_step=_next_step(image)
    )


async def _fetched(image: OutputImage, safe_http: SafeHttpClient, renew: Renew | None) -> bytes:
    try:
        return await _downloaded(image.url, safe_http)
    except FetchError as error:
        url = await renew() if renew and not isinstance(error, TooLarge) else None
        if url is None:
            raise
    return await _downloaded(url, safe_http)


async def _downloaded(url: str, safe_http: SafeHttpClient) -> bytes:
    return (await safe_http.get(url, max_bytes=formats.MAX_BYTES, within_s=_TIMEOUT_S)).content


def _not_saved(image: OutputImage, reason: Exception) -> JourneyError:
    return UpstreamError(f"The image {image.url} cannot be saved: {reason}.", next_step=_next_step(image))


def _next_step(image: OutputImage) -> str:
    if image.expires_at is None:
        return "The image is not lost: open its URL, or fetch it again."
    return f"Its link expires at {timestamp(image.expires_at)}: open it before then, or fetch it again."


def _why_occupied(path: Path, *, replace: bool) -> str | None:
    """Return why the target of all symbolic links prevents writing; `None` if it does not."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "it is a folder"
    if not stat.S_ISREG(mode):
        return "it is a device, a pipe or a socket, and only regular files are replaced"
    return None if replace else "it exists (--force replaces it)"


def _why_unwritable(wanted: Path) -> str | None:
    folder = next(folder for folder in (wanted, *wanted.parents) if folder.exists())
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"


def _target(path: Path) -> Path:
    """Return the target of all symbolic links, which need not exist."""
    return Path(os.path.realpath(path))


def _write(path: Path, content: bytes, *, replace: bool, may_exist: bool) -> Path:
    if may_exist and has_content(path, content):
        return path.absolute()
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".journey-{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        # the target may have changed since it was checked
        if problem := _why_occupied(target, replace=replace):
            raise OSError(None, problem)
        temporary.replace(target)
        return path.absolute()
    finally:
        temporary.unlink(missing_ok=True)
