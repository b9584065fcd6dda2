"""Bringing the picture that an edit starts from."""

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.sandbox import outgoing


class SourceError(Exception):
    """The picture could not be brought; the message says why."""


async def bring(url: str, *, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the bytes of the picture at `url`, which are known to be one. Raises SourceError."""
    try:
        with anyio.fail_after(timeout_s):
            content = await _read(url, limit_bytes)
    except TimeoutError as error:
        raise SourceError(f"no answer within {timeout_s:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SourceError(str(error) or type(error).__name__) from error
    await to_thread.run_sync(_check, content)
    return content


async def _read(url: str, limit_bytes: int) -> bytes:
    content = bytearray()
    async with outgoing.client(follow_redirects=True) as client, client.stream("GET", url) as response:
        if not response.is_success:
            raise SourceError(f"HTTP {response.status_code}")
        async for part in response.aiter_bytes():
            content += part
            if len(content) > limit_bytes:
                raise SourceError(f"more than {limit_bytes} bytes")
    return bytes(content)


def _check(content: bytes) -> None:
    from journey_mcp.sandbox.drawing import NotAPictureError, check  # noqa: PLC0415 - loads Pillow

    try:
        check(content)
    except NotAPictureError as error:
        raise SourceError(str(error)) from error
