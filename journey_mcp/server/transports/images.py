"""`GET /images/<file name>?e=…&s=…`: stored images behind signed links, as images and never as something that runs."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from journey_mcp.core import telemetry
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.image_links import PATH

if TYPE_CHECKING:
    from journey_mcp.studio.public_images import PublicImage, PublicImages

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)
_SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "cross-origin",
}
_RETRY_AFTER_S = 5
_OUTCOMES: Mapping[int, str] = {
    302: "redirected",
    304: "not_modified",
    404: "unknown_image",
    416: "range_not_satisfiable",
    503: "image_unavailable",
}
"""By status; of the others `completed`."""
_WITH_IMAGE = {200, 206}
_UNVERIFIED = {404, 503}
"""Where what the address names may be anything."""

_log = logging.getLogger(__name__)

OpenImages = Callable[[], "PublicImages | None"]
"""Returns the images; `None` as long as the server is starting."""


def image_route(images: OpenImages) -> Route:
    """Return the route. It needs no authentication: the link is the right to read the image."""

    async def serve(request: Request) -> Response:
        opened = images()
        if opened is None:
            return _later()
        try:
            return await _serve(request, opened)
        except (OSError, StoreUnavailable):
            return _later()

    return Route(f"{PATH}/{{file_name:path}}", serve, methods=["GET"], middleware=[Middleware(_RecordedReads)])


class _RecordedReads:
    """ASGI middleware that reports each reading of an image when it has ended: never its link."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        with telemetry.measure("read", outcome="interrupted", bytes=0) as operation:
            await self._app(scope, receive, _observed(send, operation, scope["path_params"]["file_name"]))


def _observed(send: Send, operation: telemetry.Operation, file_name: str) -> Send:
    """Return a `send` that adds to the operation what was sent: outcome, bytes of the image, and its id."""
    status = sent_bytes = 0

    async def observe(message: Message) -> None:
        nonlocal status, sent_bytes
        await send(message)
        if message["type"] == "http.response.start":
            status = message["status"]
            return
        if status in _WITH_IMAGE:
            sent_bytes += len(message.get("body", b""))
        if status not in _UNVERIFIED:
            operation.set(image_id=file_name.rpartition(".")[0], bytes=sent_bytes)
        if not message.get("more_body", False):
            operation.set(outcome=_OUTCOMES.get(status, telemetry.COMPLETED))

    return observe


async def _serve(request: Request, images: "PublicImages") -> Response:
    file_name = request.path_params["file_name"]
    query = request.query_params
    # the signature of a store's link holds for one method
    may_redirect = request.method == "GET"
    found = await images.open(file_name, query.get("e", ""), query.get("s", ""), may_redirect=may_redirect)
    if found is None:
        # the same for a wrong, an expired and an unknown one
        return Response(
            "There is no such image, or its link has expired.\n", 404, headers=_SAFE, media_type="text/plain"
        )
    if isinstance(found, str):
        return RedirectResponse(found, 302, headers={**_SAFE, "cache-control": "no-store"})
    headers = {
        **_SAFE,
        "etag": f'"{found.digest}"',
        "cache-control": f"private, max-age={found.seconds_left}, immutable",
        "accept-ranges": "bytes",
    }
    if _is_known(request.headers.get("if-none-match", ""), headers["etag"]):
        return Response(status_code=304, headers=headers)
    headers |= {"content-type": found.mime_type, "content-disposition": f'inline; filename="{file_name}"'}
    return await _content(request, images, found, headers)


async def _content(request: Request, images: "PublicImages", found: "PublicImage", headers: dict[str, str]) -> Response:
    size = found.size_bytes
    part = _part(request, size, headers["etag"])
    if part is None:
        return Response(status_code=416, headers={**_SAFE, "content-range": f"bytes */{size}"})
    start, end = part
    status = 200
    if end - start < size:
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    stream = images.stream(found, start, end)
    # an error before the first byte can still be answered
    first = await anext(aiter(stream), b"")
    return _ImageResponse(_from(first, stream), status, headers)


class _ImageResponse(StreamingResponse):
    """A response that ends with a broken connection, and not with a traceback, if the rest cannot be read."""

    async def stream_response(self, send: Send) -> None:
        """Send the image; leave the response incomplete after an error, so that the client sees that it is."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for part in self.body_iterator:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except OSError as error:
            _log.warning("an image is cut off, because the rest cannot be read: %s", error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


def _part(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return which bytes are asked for, from the first to before the last; `None` if there are none of them.

    Several ranges, another unit and a range of another version mean the whole image.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if not match or not (match[1] or match[2]) or request.headers.get("if-range", etag) != etag:
        return 0, size
    if not match[1]:
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
        if match[2] and int(match[2]) < start:
            return 0, size
    return (start, end) if start < end else None


def _is_known(given: str, etag: str) -> bool:
    """Return whether a client has this version already."""
    return etag in {one.strip().removeprefix("W/") for one in given.split(",")} or given.strip() == "*"


def _later() -> Response:
    headers = {**_SAFE, "retry-after": str(_RETRY_AFTER_S)}
    return Response("Images cannot be read now.\n", 503, headers=headers, media_type="text/plain")
