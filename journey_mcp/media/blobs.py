"""Stored copies of images whose links expire soon: in the data folder, one file per image."""

import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient

_TIMEOUT_S = 60.0
_RETRY_DELAYS_S = (1.0, 4.0)
"""Before the second and the third attempt."""
_FOLDER = "pictures"

_log = logging.getLogger(__name__)


async def read_copy(image: OutputImage) -> bytes | None:
    """Return the image from its copy; `None` when there is none, or the person has deleted it."""
    if image.path is None:
        return None
    try:
        return await anyio.Path(image.path).read_bytes()
    except OSError:
        return None


class Blobs:
    """The folder of copies. A limit of 0 bytes disables them."""

    def __init__(self, data_dir: Path, max_bytes: int, safe_http: SafeHttpClient, clock: Clock) -> None:
        self._folder = data_dir / _FOLDER
        self._max_bytes = max_bytes
        self._safe_http = safe_http
        self._clock = clock

    async def with_copies(
        self, task_id: str, base_url: str, images: Sequence[OutputImage]
    ) -> tuple[tuple[OutputImage, ...], tuple[Notice, ...]]:
        """Copy the images; return them with the paths of their copies, and a notice for each failed copy.

        `base_url` is that of the task's provider: an image of the same host and port is fetched without HTTPS too.
        """
        copied, notices = [], []
        for number, image in enumerate(images, start=1):
            if image.path is not None or not self._max_bytes:
                copied.append(image)
                continue
            id_ = ImageId(task_id, number)
            try:
                copied.append(await self._copy_with_retries(id_, base_url, image))
            except (FetchError, NotAnImage, OSError) as error:
                _log.warning("no copy of image %s: %s", id_, error)
                # an error of the system would reveal the folder to remote callers
                reason = error.strerror if isinstance(error, OSError) else error
                notices.append(Notice.of("copy_failed", image=str(id_), reason=str(reason)))
                copied.append(image)
        return tuple(copied), tuple(notices)

    async def forget_older(self, than: float) -> None:
        """Delete the copies made before then, in seconds of the Unix epoch."""
        await to_thread.run_sync(self._forget_older, than)

    async def _copy_with_retries(self, id_: ImageId, base_url: str, image: OutputImage) -> OutputImage:
        """Copy an image, with retries: a new image may not be on every server yet."""
        for pause_s in _RETRY_DELAYS_S:
            try:
                return await self._copy(id_, base_url, image)
            except FetchError as error:
                _log.info("image %s cannot be fetched yet: %s", id_, error)
            await self._clock.sleep(pause_s)
        return await self._copy(id_, base_url, image)

    async def _copy(self, id_: ImageId, base_url: str, image: OutputImage) -> OutputImage:
        safe_http = self._safe_http.with_trusted(base_url)
        content = (await safe_http.get(image.url, max_bytes=self._max_bytes, within_s=_TIMEOUT_S)).content
        found = await to_thread.run_sync(formats.probe, content)
        path = self._folder / f"{id_}.{'jpg' if found.format == 'jpeg' else found.format}"
        await to_thread.run_sync(self._write, path, content)
        return replace(image, path=str(path), mime_type=found.mime_type, width=found.width, height=found.height)

    def _write(self, path: Path, content: bytes) -> None:
        # images are private, as prompts are
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _forget_older(self, than: float) -> None:
        for path in self._folder.glob("*.*") if self._folder.is_dir() else ():
            with suppress(OSError):  # another process was faster, or the file is not ours
                if path.stat().st_mtime < than:
                    path.unlink()
