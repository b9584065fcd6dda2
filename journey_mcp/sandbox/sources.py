"""Loading input images: URLs are fetched, base64 is decoded."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Literal

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.sandbox import outgoing

Form = Literal["url", "base64", "data_uri"]
"""The forms of an image in a request."""

_DATA_URI = re.compile(r"data:image/([a-z0-9.+-]+);base64,", re.IGNORECASE)


class SourceError(Exception):
    """The image could not be loaded; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A loaded image."""

    content: bytes
    size: tuple[int, int]
    """Width and height, with the EXIF rotation applied."""

    @property
    def megapixels(self) -> float:
        """Its pixels in millions."""
        return self.size[0] * self.size[1] / 1_000_000


def form_of(image: str) -> Form:
    """Return the form of an image. What is neither a web URL nor a data URI counts as base64."""
    if image.startswith(("http://", "https://")):
        return "url"
    return "data_uri" if image[:5].lower() == "data:" else "base64"


def decode(image: str) -> bytes:
    """Return the bytes of an image in raw base64 or in a data URI. Raises SourceError."""
    text = image
    if form_of(image) == "data_uri":
        head = _DATA_URI.match(image)
        if head is None:
            raise SourceError("a data URI reads data:image/...;base64,...")
        text = image[head.end() :]
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError("this is not base64") from error
    if not content:
        raise SourceError("the image is empty")
    return content


async def load_source(image: str, *, limit_bytes: int, timeout_s: float, ca_file: str | None = None) -> Source:
    """Return the verified image at a URL or in base64. Raises SourceError."""
    if form_of(image) != "url":
        content = decode(image)
        if len(content) > limit_bytes:
            raise SourceError(f"more than {limit_bytes} bytes")
        return await _checked(content)
    try:
        with anyio.fail_after(timeout_s):
            content = await _read(image, limit_bytes, ca_file)
    except TimeoutError as error:
        raise SourceError(f"no answer within {timeout_s:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SourceError(str(error) or type(error).__name__) from error
    return await _checked(content)


async def _read(url: str, limit_bytes: int, ca_file: str | None) -> bytes:
    content = bytearray()
    async with (
        outgoing.client(ca_file=ca_file, follow_redirects=True) as client,
        client.stream("GET", url) as response,
    ):
        if not response.is_success:
            raise SourceError(f"HTTP {response.status_code}")
        async for part in response.aiter_bytes():
            content += part
            if len(content) > limit_bytes:
                raise SourceError(f"more than {limit_bytes} bytes")
    return bytes(content)


async def _checked(content: bytes) -> Source:
    return Source(content=content, size=await to_thread.run_sync(_check, content))


def _check(content: bytes) -> tuple[int, int]:
    from journey_mcp.sandbox.drawing import NotAnImageError, check  # noqa: PLC0415 - loads Pillow

    try:
        return check(content)
    except NotAnImageError as error:
        raise SourceError(str(error)) from error
