"""`POST /images`: an image that is too large for a call gets an id, which the tools take."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from journey_mcp.auth.identity import GENERATE, Identity
from journey_mcp.core import telemetry
from journey_mcp.core.errors import (
    InvalidRequest,
    JourneyError,
    NotSubmitted,
    StoreUnavailable,
    UnknownImage,
)
from journey_mcp.core.image_links import PATH
from journey_mcp.core.principals import Principal
from journey_mcp.core.reports import internal_error
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.transports.request_bodies import BodiesTooLargeError, RequestBodies

if TYPE_CHECKING:
    from journey_mcp.studio import Studio

MAX_BYTES = 64 * 1024 * 1024
"""Of one image: as much as can be decoded."""
_MAX_TOTAL_BYTES = 256 * 1024 * 1024
_TIMEOUT_S = 60.0
_HINT = "Send the bytes of one image as the body, as in: curl --data-binary @image.png."
_FORMS = ("multipart/", "application/x-www-form-urlencoded")

OpenStudio = Callable[[], Awaitable["Studio"]]
"""Returns the studio; raises JourneyError if it cannot be opened."""


def upload_limits() -> RequestBodies:
    """Return the limits for the bodies of uploads."""
    return RequestBodies(max_bytes=MAX_BYTES, max_total_bytes=_MAX_TOTAL_BYTES, timeout_s=_TIMEOUT_S)


def upload_route(studio: OpenStudio, bodies: RequestBodies) -> Route:
    """Return the route, which belongs behind authentication."""

    async def upload(request: Request) -> Response:
        identity: Identity = request.scope["state"]["identity"]
        with telemetry.measure("upload", caller=identity.name, bytes=0) as operation:
            try:
                async with bodies.read(request.receive) as body:
                    operation.set(bytes=len(body) if isinstance(body, bytes) else None)
                    response = await _respond(request, body, studio, bodies.max_bytes)
            except ClientDisconnect:
                operation.set(outcome="interrupted")
                return Response(status_code=400)
            except TimeoutError:
                because = f"The body did not arrive within {bodies.timeout_s:g} s."
                response = _problem(408, because, "Send the image again.")
            except BodiesTooLargeError:
                because = "Other uploads fill the memory."
                response = _problem(503, because, "Send the image again in a moment.", retry_after_s=1)
            operation.set(outcome=response.outcome, image_id=response.image_id)
            return response

    return Route(PATH, upload, methods=["POST"])


class _Response(JSONResponse):
    """A response, with what is recorded of it."""

    def __init__(
        self,
        content: Mapping[str, Any],
        status: int,
        headers: Mapping[str, str],
        *,
        outcome: str,
        image_id: str | None = None,
    ) -> None:
        super().__init__(content, status, headers)
        self.outcome = outcome
        self.image_id = image_id


async def _respond(request: Request, body: bytes | Overlong, studio: OpenStudio, max_bytes: int) -> _Response:
    identity: Identity = request.scope["state"]["identity"]
    if not identity.allows(GENERATE):
        return _problem(403, f"The token lacks the scope {GENERATE}.", "Use a token that has it.")
    if isinstance(body, Overlong):
        return _problem(413, f"The image has more than {max_bytes:,} bytes.", "Make it smaller.")
    kind = request.headers.get("content-type", "").lower()
    if not body or kind.startswith(_FORMS):
        return _problem(400, f"There is no image{' but a form' if body else ''} in the body.", _HINT)
    try:
        return await _kept(await studio(), body, request.query_params.get("mask_of"), identity.principal)
    except JourneyError as error:
        return _error(error)
    except Exception as error:  # noqa: BLE001  # the outermost boundary of a request
        return _error(internal_error("an upload failed unexpectedly", error))


async def _kept(studio: "Studio", body: bytes, mask_of: str | None, principal: Principal) -> _Response:
    from journey_mcp.studio.keep import KeepRequest  # noqa: PLC0415  # not before the first answer

    kept = await studio.keep_image(KeepRequest(data=body, mask_of=mask_of), principal)
    plain = {"id": kept.id, "mime_type": kept.mime_type, "width": kept.width, "height": kept.height}
    return _Response(plain, 201, {"cache-control": "no-store"}, outcome=telemetry.COMPLETED, image_id=kept.id)


def _error(error: JourneyError) -> _Response:
    failure = error.failure
    if isinstance(error, UnknownImage):
        status = 404
    elif isinstance(error, InvalidRequest):
        status = 400
    else:
        status = 503 if isinstance(error, StoreUnavailable | NotSubmitted) else 500
    step = failure.next_step or ""
    return _problem(status, failure.message, step, code=failure.code, retry_after_s=5 if status == 503 else None)  # noqa: PLR2004  # a status of HTTP


def _problem(
    status: int, message: str, next_step: str, *, code: str = "upload_refused", retry_after_s: int | None = None
) -> _Response:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    plain = {"error": {"code": code, "message": message}, "next_step": next_step}
    return _Response(plain, status, headers, outcome=code)
