"""Saving finished pictures as files: fetched within bounds, looked at, and never half written."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.errors import InvalidArguments, JourneyError, SetupError, UpstreamError, quoted

_MAX_BYTES = 64 * 1024 * 1024
_MAX_REDIRECTS = 5
_TIMEOUT_S = 120.0
"""For one picture as a whole."""
_SUFFIXES = {
    "PNG": {".png"},
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "WebP": {".webp"},
    "GIF": {".gif"},
}
_NEXT_STEP = "The picture is not lost: open its URL, or run `journey-mcp fetch TASK -o FILE` to try again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A picture that lies on the disk."""

    path: Path
    """Absolute."""
    format: str
    """What it is by its bytes, one of PNG, JPEG, WebP, GIF."""

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
        InvalidArguments: one exists and may not be replaced, is a folder, or lies where nothing can be written.
    """
    for path in paths:
        try:
            problem = _obstacle(path, replace=replace)
        except OSError as error:
            problem = f"it cannot be looked at: {error.strerror}"
        if problem:
            raise InvalidArguments(
                f"{path} cannot be written: {problem}.",
                next_step="Name another file with -o. Nothing was sent and nothing was charged.",
            )


async def save(url: str, path: Path, *, replace: bool = False) -> Saved:
    """Fetch the picture and write it under exactly this name, whole or not at all; folders are made.

    Raises:
        UpstreamError: it cannot be fetched, or is no picture.
        SetupError: the file cannot be written, or exists and may not be replaced.
    """
    content = await _fetch(url)
    kind = picture_format(content)
    if kind is None:
        raise _lost(url, f"what came is neither PNG, JPEG, WebP nor GIF: {quoted(content[:40].decode('latin-1'))}")
    try:
        written = await to_thread.run_sync(_write, path, content, replace)
    except OSError as error:
        raise SetupError(
            f"The picture {url} cannot be written to {path}: {error.strerror or error}.", next_step=_NEXT_STEP
        ) from error
    return Saved(path=written, format=kind)


def picture_format(content: bytes) -> str | None:
    """The format by the first bytes; `None` for anything that is no picture we know."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    return "GIF" if content.startswith((b"GIF87a", b"GIF89a")) else None


def _obstacle(path: Path, *, replace: bool) -> str | None:
    if path.is_dir():
        return "it is a folder"
    if path.exists() and not replace:
        return "it exists (--force replaces it)"
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        return f"{folder} is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} may not be written to"
    return None


async def _fetch(url: str) -> bytes:
    client = httpx2.AsyncClient(
        follow_redirects=True, max_redirects=_MAX_REDIRECTS, timeout=httpx2.Timeout(30.0, connect=10.0)
    )
    try:
        with anyio.fail_after(_TIMEOUT_S):
            async with client, client.stream("GET", url) as response:
                return await _read(url, response)
    except TimeoutError as error:
        raise _lost(url, f"it took more than {_TIMEOUT_S:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _lost(url, quoted(str(error) or type(error).__name__)) from error


async def _read(url: str, response: httpx2.Response) -> bytes:
    if response.status_code != httpx2.codes.OK:
        raise _lost(url, f"its server answered HTTP {response.status_code}")
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_BYTES:
            raise _lost(url, f"it is larger than {_MAX_BYTES // 1024**2} MiB")
    return bytes(content)


def _lost(url: str, reason: str) -> JourneyError:
    return UpstreamError(f"The picture {url} cannot be saved: {reason}.", next_step=_NEXT_STEP)


def _write(path: Path, content: bytes, replace: bool) -> Path:  # noqa: FBT001  # handed over to a thread
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".journey-{secrets.token_hex(6)}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
        if path.exists() and not replace:
            raise FileExistsError(None, "it exists by now (--force replaces it)")
        return beside.replace(path).absolute()
    finally:
        beside.unlink(missing_ok=True)
