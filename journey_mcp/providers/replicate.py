"""Replicate's protocol, which KKIAI speaks as well: POST a prediction by model or by version, then GET it by id.

The URLs in a response (`urls.*`) are never followed: at KKIAI they point at another company. What only Replicate
supports (holding a request, uploads, cancellation, webhooks) is listed as `features` in the registry.
"""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

import httpx2

from journey_mcp.core.errors import Failure, JourneyError, NoImage, Unreachable, UpstreamError
from journey_mcp.core.images import InputImage
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.text import quoted
from journey_mcp.providers.base import Account, WebhookDelivery
from journey_mcp.providers.error_mapping import parse_submission, quoted_reason, refusal_of, unusable_response
from journey_mcp.providers.http import (
    POLL_TIMEOUT_S,
    HttpResponse,
    IncompleteResponse,
    bearer,
    http_request,
    read_id,
    read_json,
    read_url,
)
from journey_mcp.providers.parsing import generation_failure, read_images, read_seconds
from journey_mcp.providers.payloads import submit_timeout_s, write_fields
from journey_mcp.providers.webhook_auth import SigningKey, read_signed, read_signing_key
from journey_mcp.registry import Offer

_FINAL = {
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
    # the deadline passed before it started; not billed (stated, though both official clients miss it)
    "aborted": Status.CANCELED,
}
_HOLD_S = 5
"""How long the creating request is held: quick models finish by then, and a lost response stays unlikely."""
_UPLOAD_ABOVE_BYTES = 190_000
"""256 kB is the strictest of three stated limits for a data URI; base64 adds a third to the bytes of the image."""
_WAIT = re.compile(r"in ~?([0-9.]+) ?s", re.IGNORECASE)


class Replicate:
    """The adapter. `Provider` in `providers/base.py` documents its methods."""

    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport) -> None:
        self._account = account
        self._http = http
        self._auth = bearer(account.key)
        self._signing_key = SigningKey(self._fetch_signing_key)

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Create one prediction."""
        path, body = write_creation(request, offer)
        headers = {"prefer": f"wait={_HOLD_S}"} if "hold" in self._account.features else {}
        timeout_s = submit_timeout_s(*request.images, request.mask)
        sending = self._request("POST", path, timeout_s, body=body, headers=headers)
        return parse_submission(sending, self._account, refusal=self._refusal, read=read_prediction)

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch one prediction; the protocol has no request for several."""
        (handle,) = handles
        response = await self._request("GET", _path_of(handle), POLL_TIMEOUT_S)
        if response.status == httpx2.codes.NOT_FOUND:
            return {}
        return {handle.prediction_id: self._read(response, handle)}

    async def cancel(self, handle: Handle) -> Prediction:
        """Cancel a prediction, if `Account.features` has `cancel`; return its state."""
        return self._read(await self._request("POST", f"{_path_of(handle)}/cancel", POLL_TIMEOUT_S), handle)

    async def upload(self, request: PreparedRequest) -> PreparedRequest:
        """Upload the images that are too large for a data URI, if `Account.features` has `upload`."""
        if "upload" not in self._account.features:
            return request
        images = [await self._uploaded(image) for image in request.images]
        mask = await self._uploaded(request.mask) if request.mask else None
        return replace(request, images=tuple(images), mask=mask)

    async def read_webhook(self, delivery: WebhookDelivery) -> Prediction | None:
        """Read a prediction, signed with the key of the account, if `Account.features` has `webhook`."""
        message = read_signed(delivery) if "webhook" in self._account.features else None
        if message is None or not await self._signing_key.has_signed(message, delivery.at):
            return None
        body = read_json(delivery.body, (self._account.key, delivery.secret))
        return read_prediction(body) if isinstance(body, dict) else None

    def _read(self, response: HttpResponse, handle: Handle) -> Prediction:
        # the request named the id, so a response without one is still about it
        prediction = read_prediction({**response.mapping, "id": handle.prediction_id})
        if not httpx2.codes.is_success(response.status) or not response.mapping or prediction is None:
            raise self._refusal(response) or unusable_response(response, self._account)
        return prediction

    async def _uploaded(self, image: InputImage) -> InputImage:
        """Return the image, as a URL of the provider if it is too large for the request."""
        if len(image.content) <= _UPLOAD_ABOVE_BYTES:
            return image
        try:
            response = await self._request("POST", "/files", submit_timeout_s(image), files=write_upload(image))
        except IncompleteResponse as broken:
            raise Unreachable(f"An image could not be uploaded: {broken}") from broken
        url = read_upload(response.mapping)
        if httpx2.codes.is_success(response.status) and url:
            return InputImage(url=url)
        raise self._refusal(response) or _not_uploaded(response, self._account)

    async def _fetch_signing_key(self) -> bytes:
        response = await self._request("GET", "/webhooks/default/secret", POLL_TIMEOUT_S)
        key = read_signing_key(response.mapping.get("key"))
        if httpx2.codes.is_success(response.status) and key:
            return key
        reason = "its text is not shown because it may contain the key"
        raise refusal_of(response, self._account, reason) or UpstreamError(
            f"{self._account.provider} answered HTTP {response.status} without the signing key of webhooks."
        )

    def _request(
        self, method: Literal["GET", "POST"], path: str, timeout_s: float, **sent: Any
    ) -> Awaitable[HttpResponse]:
        url = httpx2.URL(self._account.base_url + path)
        return http_request(self._http, method, url, auth=self._auth, timeout_s=timeout_s, **sent)

    def _refusal(self, response: HttpResponse) -> JourneyError | None:
        reason = read_errors(response)
        return refusal_of(response, self._account, reason, retry_after_s=read_wait(reason))


def write_creation(request: PreparedRequest, offer: Offer) -> tuple[str, dict[str, Any]]:
    """Return path and body of a creating request: by model (`owner/name`) or version (`owner/name:id`, or its id)."""
    body: dict[str, Any] = {"input": write_fields(request, offer)}
    if request.webhook:
        # there is no field for a secret: the account has a signing key
        body |= {"webhook": request.webhook.url, "webhook_events_filter": ["completed"]}
    if "/" in offer.wire_id and ":" not in offer.wire_id:
        return f"/models/{offer.wire_id}/predictions", body
    return "/predictions", {"version": offer.wire_id, **body}


def write_upload(image: InputImage) -> dict[str, tuple[str, bytes, str]]:
    """Return the form of an upload: a name, the bytes and their type."""
    kind = image.mime_type or "application/octet-stream"
    return {"content": (f"picture.{kind.partition('/')[2]}", image.content, kind)}


def read_upload(body: Mapping[str, Any]) -> str | None:
    """Return the URL that stands for an uploaded file in a request."""
    urls = body.get("urls")
    return read_url(urls.get("get")) if isinstance(urls, dict) else None


def read_prediction(body: Mapping[str, Any]) -> Prediction | None:
    """Read a prediction; `None` when it has no id. An unknown status means that it is still running.

    `output` may be there while the status is still `processing` (stated, for held requests).
    """
    prediction_id = read_id(body.get("id"))
    if prediction_id is None:
        return None
    status = _FINAL.get(str(body.get("status")).lower(), Status.RUNNING)
    output = body.get("output")
    images = read_images(output if isinstance(output, list) else [output])
    is_empty = status is Status.SUCCEEDED and not images.kept
    if is_empty and body.get("data_removed") is True:
        return Prediction(prediction_id=prediction_id, status=Status.FAILED, failure=_removed())
    return Prediction(
        prediction_id=prediction_id,
        # "succeeded" without an image is not a result; the next response may have it
        status=Status.RUNNING if is_empty else status,
        images=images.kept,
        notices=images.notices,
        is_empty=is_empty,
        failure=generation_failure(body.get("error")) if status is Status.FAILED else None,
    )


def read_errors(response: HttpResponse) -> str:
    """Return the text of a problem (RFC 9457), of which only `detail` is reliable, or of another body; quoted."""
    error = response.mapping.get("error")
    nested = error.get("message") if isinstance(error, dict) else error
    return quoted_reason(
        response.mapping.get("detail"),
        nested,
        response.mapping.get("message"),
        response.mapping.get("title"),
        response=response,
    )


def read_wait(reason: str) -> float | None:
    """Return the wait of a throttled response in seconds: "in 1 second." or "in ~30s.", by date."""
    found = _WAIT.search(reason)
    return read_seconds(found[1]) if found else None


def _path_of(handle: Handle) -> str:
    return f"/predictions/{quote(handle.prediction_id, safe='')}"


def _removed() -> Failure:
    return NoImage(
        "The provider has deleted the finished image.",
        next_step="Call again for a new image, which is charged again.",
    ).failure


def _not_uploaded(response: HttpResponse, account: Account) -> Unreachable:
    return Unreachable(
        f"{account.provider} did not accept the image (HTTP {response.status}): {quoted(response.text)}.",
        next_step="Nothing was charged. Call again, or give the image as a public URL.",
    )
