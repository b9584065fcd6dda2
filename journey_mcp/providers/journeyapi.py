"""JourneyAPI's protocol: POST `/imagine` or a follow-up, then `/fetch` or `/fetch-many` (docs: journeyapi.co/docs).

Where the documents contradict each other, the adapter accepts both: a creating request may return the finished image or
only the id (C2), any status word but `finished` and `failed` means running (C3), ids are opaque (C12).
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Literal

import httpx2

from journey_mcp.core.errors import JourneyError, Refused
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.providers.base import Account, Balance, WebhookDelivery
from journey_mcp.providers.error_mapping import parse_submission, quoted_reason, refusal_of, unusable_response
from journey_mcp.providers.http import (
    POLL_TIMEOUT_S,
    SUBMIT_TIMEOUT_S,
    Auth,
    HttpResponse,
    http_request,
    raw_key,
    read_id,
    read_json,
    read_url,
    read_word,
)
from journey_mcp.providers.parsing import Images, generation_failure, read_amount, read_images, read_seed
from journey_mcp.providers.payloads import write_fields
from journey_mcp.providers.webhook_auth import is_secret
from journey_mcp.registry import Offer

_FINAL = {"finished": Status.SUCCEEDED, "failed": Status.FAILED}
_PATHS = ("/imagine", "/fetch", "/fetch-many", "/account")
_UNKNOWN_TASK = {400, 404}
_PARENT_STEP = (
    "Nothing was charged. If the provider does not know the parent any more, make the image again and refine that one."
)


class JourneyApi:
    """The adapter. `Provider` in `providers/base.py` documents its methods."""

    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport) -> None:
        self._account = account
        self._http = http
        # the raw key, without "Bearer" (stated; a key with it is not documented, U1)
        self._auth = raw_key(account.key)
        # parsed once: parsing a URL takes a fifth of the time of a request to this machine
        self._urls = {path: httpx2.URL(account.base_url + path) for path in _PATHS}

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Create one task, at the endpoint of the offer if it has one."""
        auth = self._auth.redacting(request.webhook.secret) if request.webhook else self._auth
        body = write_creation(request, offer)
        sending = self._request("POST", offer.endpoint or "/imagine", body, timeout_s=SUBMIT_TIMEOUT_S, auth=auth)
        refusal = self._refusal_of_follow_up if request.parent else self._refusal
        return parse_submission(sending, self._account, refusal=refusal, read=read_task)

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch one id by `/fetch`, more by `/fetch-many`; unknown ids are left out (U2)."""
        ids = [handle.prediction_id for handle in handles]
        if len(ids) == 1:
            response = await self._request("POST", "/fetch", {"task_id": ids[0]})
            if response.status in _UNKNOWN_TASK:
                return {}
            # the request named the id, so a response without one is still about it
            found: Any = (
                [{"task_id": ids[0], **response.mapping}] if response.mapping else [] if response.body == {} else None
            )
        else:
            response = await self._request("POST", "/fetch-many", {"task_ids": ids})
            if response.status in _UNKNOWN_TASK:
                # the refusal may be due to one unknown id (U2): each is fetched alone
                return {id_: found for handle in handles for id_, found in (await self.fetch([handle])).items()}
            found = response.mapping.get("tasks")
        if response.status != httpx2.codes.OK or response.body is None or not isinstance(found, list):
            raise self._refusal(response) or unusable_response(response, self._account)
        read = (read_task(task) for task in found if isinstance(task, dict))
        return {p.prediction_id: p for p in read if p is not None and p.prediction_id in ids}

    async def balance(self) -> Balance:
        """Fetch the credits with GET `/account`."""
        response = await self._request("GET", "/account")
        amount = read_amount(response.mapping.get("credits"))
        if response.status != httpx2.codes.OK or amount is None:
            raise self._refusal(response) or unusable_response(response, self._account)
        return Balance(amount=f"{amount:f}", unit="credits", plan=read_word(response.mapping.get("plan")))

    async def read_webhook(self, delivery: WebhookDelivery) -> Prediction | None:
        """Read a task object; the webhook repeats the secret as it is."""
        if not is_secret(delivery.headers.get("x-webhook-secret", ""), delivery.secret):
            return None
        task = read_json(delivery.body, (self._account.key, delivery.secret))
        return read_task(task) if isinstance(task, dict) else None

    def _request(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: Any = None,
        *,
        timeout_s: float = POLL_TIMEOUT_S,
        auth: Auth | None = None,
    ) -> Awaitable[HttpResponse]:
        url, auth = self._url(path), auth or self._auth
        return http_request(self._http, method, url, auth=auth, timeout_s=timeout_s, body=body)

    def _url(self, path: str) -> httpx2.URL:
        if path not in self._urls:
            self._urls[path] = httpx2.URL(self._account.base_url + path)
        return self._urls[path]

    def _refusal_of_follow_up(self, response: HttpResponse) -> JourneyError | None:
        """Return the error for a refused follow-up; how long parents are known there is not documented."""
        error = self._refusal(response)
        return Refused(str(error), next_step=_PARENT_STEP) if isinstance(error, Refused) else error

    def _refusal(self, response: HttpResponse) -> JourneyError | None:
        if response.status < httpx2.codes.BAD_REQUEST:
            return None
        # other 4xx than 400, 401, 402 and 429 are never mentioned (U7)
        return refusal_of(response, self._account, read_errors(response))


def write_creation(request: PreparedRequest, offer: Offer) -> dict[str, Any]:
    """Return the body of a creating request.

    `/imagine` always gets `model`: the documents disagree on its default (C13). The other endpoints have no such field.
    """
    body = write_fields(request, offer)
    if offer.endpoint is None:
        body = {"model": offer.wire_id, **body}
    if request.parent:
        body["parent_task_id"] = request.parent.prediction_id
        if request.parent.number is not None:
            body["index"] = str(request.parent.number)
    if request.webhook:
        body |= {"webhook_url": request.webhook.url, "webhook_secret": request.webhook.secret}
    return body


def read_task(body: Mapping[str, Any]) -> Prediction | None:
    """Read a task object; `None` when it has no id. An unknown status word means that it is still running."""
    prediction_id = read_id(body.get("task_id"))
    if prediction_id is None:
        return None
    status = _FINAL.get(str(body.get("status")).lower(), Status.RUNNING)
    images = _read_images(body)
    # "finished" without an image is not a result; the next response may have it
    is_empty = status is Status.SUCCEEDED and not images.kept
    if is_empty:
        status = Status.RUNNING
    return Prediction(
        prediction_id=prediction_id,
        status=status,
        progress=read_percentage(body.get("percentage")),
        images=images.kept,
        notices=images.notices,
        is_empty=is_empty,
        grid_url=read_url(body.get("original_image_url")),
        seed=read_seed(body.get("seed")),
        failure=generation_failure(body.get("error")) if status is Status.FAILED else None,
    )


def _read_images(body: Mapping[str, Any]) -> Images:
    many, one = body.get("image_urls"), body.get("image_url")
    return read_images(many if isinstance(many, list) and many else [one])


def read_percentage(value: Any) -> float | None:
    """Return `"30"`, `30` or `"30%"` as 0.3; `None` for anything else."""
    try:
        percent = float(str(value).removesuffix("%"))
    except ValueError:
        return None
    return min(max(percent / 100, 0.0), 1.0) if percent == percent else None  # noqa: PLR0124  # NaN


def read_errors(response: HttpResponse) -> str:
    """Return the provider's text from `{"errors": [{"msg": …}]}`, quoted; other bodies as they are."""
    listed = response.mapping.get("errors")
    words = (
        [str(e.get("msg")) for e in listed if isinstance(e, dict) and e.get("msg")] if isinstance(listed, list) else []
    )
    return quoted_reason("; ".join(words), response=response)
