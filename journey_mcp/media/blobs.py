"""Our own copies of pictures whose links die soon: in the data folder, one file per picture."""

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
from journey_mcp.media import transcode
from journey_mcp.media.containers import NotAnImage
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient

_WITHIN_S = 60.0
_PAUSES_S = (1.0, 4.0)
"""Before the second and the third try."""
_FOLDER = "pictures"

_log = logging.getLogger(__name__)


async def read_copy(image: OutputImage) -> bytes | None:
    """The picture from our own copy; `None` when there is none, or the person has tidied it up."""
    if image.path is None:
        return None
    try:
        return await anyio.Path(image.path).read_bytes()
    except OSError:
        return None


class Blobs:
    """The folder of copies. With a limit of 0 bytes none are made."""

    def __init__(self, data_dir: Path, max_bytes: int, safe_http: SafeHttpClient, clock: Clock) -> None:
        self._folder = data_dir / _FOLDER
        self._max_bytes = max_bytes
        self._safe_http = safe_http
        self._clock = clock

    async def made(
        self, task_id: str, base_url: str, images: Sequence[OutputImage]
    ) -> tuple[tuple[OutputImage, ...], tuple[Notice, ...]]:
        """The pictures with the paths of their copies, and for each that could not be copied a notice.

        `base_url` is where the task was made: a picture of that very host and port is fetched without HTTPS too.
        """
        copied, notices = [], []
        for number, image in enumerate(images, start=1):
            if image.path is not None or not self._max_bytes:
                copied.append(image)
                continue
            try:
                copied.append(await self._copy_patiently(ImageId(task_id, number), base_url, image))
            except (FetchError, NotAnImage, OSError) as error:
                _log.warning("no copy of picture %s.%s: %s", task_id, number, error)
                # an error of the system would tell the folder, which callers elsewhere need not know
                reason = error.strerror if isinstance(error, OSError) else error
                id_ = str(ImageId(task_id, number))
                notices.append(Notice.of("copy_failed", image=id_, reason=str(reason)))
                copied.append(image)
        return tuple(copied), tuple(notices)

    async def forget_older(self, than: float) -> None:
        """Delete the copies made before then, in seconds of the Unix epoch."""
        await to_thread.run_sync(self._forget_older, than)

    async def _copy_patiently(self, id_: ImageId, base_url: str, image: OutputImage) -> OutputImage:
        """A picture that was just made may not be everywhere yet."""
        for pause_s in _PAUSES_S:
            try:
                return await self._copy(id_, base_url, image)
            except FetchError as error:
                _log.info("picture %s cannot be fetched yet: %s", id_, error)
            await self._clock.sleep(pause_s)
        return await self._copy(id_, base_url, image)

    async def _copy(self, id_: ImageId, base_url: str, image: OutputImage) -> OutputImage:
        safe_http = self._safe_http.with_trusted(base_url)
        content = (await safe_http.get(image.url, max_bytes=self._max_bytes, within_s=_WITHIN_S)).content
        seen = await to_thread.run_sync(transcode.look, content)
        path = self._folder / f"{id_}.{'jpg' if seen.format == 'jpeg' else seen.format}"
        await to_thread.run_sync(self._write, path, content)
        return replace(image, path=str(path), mime_type=seen.mime_type, width=seen.width, height=seen.height)

    def _write(self, path: Path, content: bytes) -> None:
        # pictures are private as prompts are
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
            with suppress(OSError):  # another process was faster, or it is none of ours
                if path.stat().st_mtime < than:
                    path.unlink()
