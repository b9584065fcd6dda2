"""Black Forest Labs' protocol: POST `/{model}`, then GET its `polling_url` (docs.bfl.ml, docs.bfl.ai).

The polling URL is used exactly as it was received, and only on an allowed host: the key is sent nowhere else. The
response to a request with a webhook has none (stated); then the poll is `/get_result?id=` at the base URL. Balance and
cost are in credits there, and in US dollars here, as the prices of the registry are.
"""

import re
from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx2

from journey_mcp.core.errors import Failure, GenerationFailed, JourneyError
from journey_mcp.core.money import Cost
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.text import quoted
from journey_mcp.providers.base import Account, Balance, WebhookDelivery
from journey_mcp.providers.error_mapping import parse_submission, quoted_reason, refusal_of, unusable_response
from journey_mcp.providers.http import POLL_TIMEOUT_S, Auth, HttpResponse, http_request, read_id, read_json, read_url
from journey_mcp.providers.parsing import (
    generation_failure,
    read_amount,
    read_images,
    read_seconds,
    read_seed,
    read_share,
)
from journey_mcp.providers.payloads import submit_timeout_s, write_fields
from journey_mcp.providers.webhook_auth import is_hex_signature, is_secret
from journey_mcp.registry import Offer

_READY = {"ready", "completed"}
"""The vendor's client waits for `completed` too."""
_FAILED = {"error", "failed"}
"""The vendor's client knows `failed` too, and third parties show it; the schema has neither word."""
_MODERATED = {
    "request moderated": (
        "The provider's moderation refused the request",
        "Change the prompt or the image; the same request would be refused again.",
    ),
    "content moderated": (
        "The provider's moderation withheld the finished image",
        "Change the prompt or the image, then call again.",
    ),
}
"""The message and the next step, by status word."""
_UNKNOWN = "task not found"
_CREDENTIALS = (401, 403)
"""A missing key yields 403 "Not authenticated"; the vendor's repository says 401."""
_USD_PER_CREDIT = Decimal("0.01")
"""Stated in the vendor's repository."""
_VENDOR_DOMAIN = ".bfl.ai"
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name or an address, without characters that only some URL parsers take for delimiters."""
_PORTS = {"http": 80, "https": 443}


class BlackForestLabs:
    """The adapter. `Provider` in `providers/base.py` documents its methods."""

    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport) -> None:
        self._account = account
        self._http = http
        login = account.base_url.authorization
        # the key has its own header, so a gateway in front of the service can get a user name and password too
        self._login = {"authorization": login} if login else {}
        self._auth = Auth(header="x-key", value=account.key, secrets=(account.key, *account.base_url.secrets))

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Create one task."""
        url = httpx2.URL(f"{self._account.base_url}/{offer.wire_id}")
        auth = self._auth.redacting(request.webhook.secret) if request.webhook else self._auth
        timeout_s = submit_timeout_s(*request.images, request.mask)
        body = write_body(request, offer)
        sending = http_request(self._http, "POST", url, auth=auth, timeout_s=timeout_s, body=body, headers=self._login)
        return parse_submission(sending, self._account, refusal=self._refusal, read=read_submission)

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch one task; the protocol has no request for several."""
        (handle,) = handles
        response = await self._ask(self._poll_url(handle))
        # the HTTP status of "Task not found" is not documented
        if response.status == httpx2.codes.NOT_FOUND or _read_word(response.mapping) == _UNKNOWN:
            return {}
        if not httpx2.codes.is_success(response.status) or not response.mapping:
            raise self._refusal(response) or unusable_response(response, self._account)
        return {handle.prediction_id: read_result(response.mapping, handle.prediction_id)}

    async def balance(self) -> Balance:
        """Fetch the credits with GET `/credits`."""
        response = await self._ask(f"{self._account.base_url}/credits")
        amount = read_amount(response.mapping.get("credits"))
        if response.status != httpx2.codes.OK or amount is None:
            raise self._refusal(response) or unusable_response(response, self._account)
        return Balance(amount=f"{_usd(amount):f}", unit="usd")

    async def read_webhook(self, delivery: WebhookDelivery) -> Prediction | None:
        """Read a finished task. The webhook repeats the secret, or signs the body with it; the documents name both."""
        plain, signature = (delivery.headers.get(name, "") for name in ("x-webhook-secret", "x-bfl-signature"))
        if not (is_secret(plain, delivery.secret) or is_hex_signature(signature, delivery.secret, delivery.body)):
            return None
        return read_delivery(read_json(delivery.body, (*self._auth.secrets, delivery.secret)))

    def _ask(self, url: str) -> Awaitable[HttpResponse]:
        headers = self._login if _origin_of(url) == _origin_of(self._account.base_url) else {}
        return http_request(
            self._http, "GET", httpx2.URL(url), auth=self._auth, timeout_s=POLL_TIMEOUT_S, headers=headers
        )

    def _poll_url(self, handle: Handle) -> str:
        if handle.poll_url and is_allowed(handle.poll_url, self._account.base_url):
            return handle.poll_url
        return f"{self._account.base_url}/get_result?id={quote(handle.prediction_id, safe='')}"

    def _refusal(self, response: HttpResponse) -> JourneyError | None:
        return refusal_of(
            response,
            self._account,
            read_errors(response),
            credentials=_CREDENTIALS,
            retry_after_s=read_seconds(response.mapping.get("retry_after")),
        )


def write_body(request: PreparedRequest, offer: Offer) -> dict[str, Any]:
    """Return the body of a creating request: all fields are at the root."""
    body = write_fields(request, offer)
    if request.webhook:
        body |= {"webhook_url": request.webhook.url, "webhook_secret": request.webhook.secret}
    return body


def is_allowed(poll_url: str, base_url: str) -> bool:
    """Return whether the key may be sent there: the origin of the task, or another host of the vendor over HTTPS."""
    polled, base = _origin_of(poll_url), _origin_of(base_url)
    if polled is None or base is None:
        return False
    return polled == base or (
        _is_vendor(base) and _is_vendor(polled) and (polled.scheme, polled.port) == ("https", 443)
    )


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def _origin_of(url: str) -> _Origin | None:
    """Return the origin of a URL; `None` unless it is scheme, host and port without user information."""
    if read_url(url) != url:
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    if "@" in parts.netloc or not _HOST.fullmatch(host):
        return None
    return _Origin(parts.scheme, host, _PORTS[parts.scheme] if parts.port is None else parts.port)


def _is_vendor(origin: _Origin) -> bool:
    return origin.host.endswith(_VENDOR_DOMAIN)


def read_submission(body: Mapping[str, Any]) -> Prediction | None:
    """Read the response to a creating request; `None` when it has no id."""
    prediction_id = read_id(body.get("id"))
    if prediction_id is None:
        return None
    cost = read_amount(body.get("cost"))
    return Prediction(
        prediction_id=prediction_id,
        status=Status.RUNNING,
        poll_url=read_url(body.get("polling_url")),
        cost=None if cost is None else Cost(amount=_usd(cost), unit="usd", source="provider"),
    )


def read_result(body: Mapping[str, Any], prediction_id: str) -> Prediction:
    """Read the response to a poll for this task. An unknown status means that it is still running."""
    result = body.get("result")
    result = result if isinstance(result, dict) else {}
    images = read_images([result.get("sample")])
    failure = _read_failure(body)
    is_ready = _read_word(body) in _READY
    return Prediction(
        prediction_id=prediction_id,
        status=Status.FAILED if failure else Status.SUCCEEDED if is_ready and images.kept else Status.RUNNING,
        progress=read_share(body.get("progress")),
        images=images.kept,
        # "Ready" without an image is not a result; the next response may have it
        is_empty=is_ready and not images.kept,
        seed=read_seed(result.get("seed")),
        failure=failure,
    )


def read_delivery(body: Any) -> Prediction | None:
    """Read the body of a webhook, which is that of a poll; `None` when it is not about a task."""
    prediction_id = read_id(body.get("id")) if isinstance(body, dict) else None
    return None if prediction_id is None else read_result(body, prediction_id)


def read_errors(response: HttpResponse) -> str:
    """Return the text of an error body: `detail` as text or as a list, then `message`, then `error`; quoted."""
    detail = response.mapping.get("detail")
    if isinstance(detail, list):
        detail = "; ".join(filter(None, map(_read_problem, detail)))
    return quoted_reason(detail, response.mapping.get("message"), response.mapping.get("error"), response=response)


def _usd(credits_: Decimal) -> Decimal:
    return (credits_ * _USD_PER_CREDIT).normalize()


def _read_problem(problem: Any) -> str:
    """Return one item of a validation error: the place and the text."""
    if not isinstance(problem, dict):
        return problem if isinstance(problem, str) else ""
    place, words = problem.get("loc"), problem.get("msg")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return ": ".join(str(part) for part in (where, words) if part)


def _read_word(body: Mapping[str, Any]) -> str:
    return str(body.get("status")).lower()


def _read_failure(body: Mapping[str, Any]) -> Failure | None:
    word, reason = _read_word(body), _read_reason(body)
    if word in _FAILED:
        return generation_failure(reason)
    if word not in _MODERATED:
        return None
    what, next_step = _MODERATED[word]
    return GenerationFailed(f"{what}: {quoted(reason)}." if reason else f"{what}.", next_step=next_step).failure


def _read_reason(body: Mapping[str, Any]) -> str:
    """Return the code in `error` and the text in `message`, as in the vendor's repository; else `details`."""
    reason = ": ".join(str(part) for part in (body.get("error"), body.get("message")) if part)
    return reason or str(body.get("details") or "")
