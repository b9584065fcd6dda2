"""Vtrix's protocol: POST `/model/v1/generation`, then GET `…/task/{id}` (doc.vtrix.ai, github.com/VtrixAI/vtrix-cli).

Where the documents contradict each other, the adapter accepts both: parameters go into `input[0].params`, as the
vendor's client sends them; the id may be called `task_id`; every status but `completed` and `failed` means running; an
error is an object with `message` or `error_message`, or a string.
"""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import httpx2

from journey_mcp.core.errors import JourneyError, OutOfCredits, Refused
from journey_mcp.core.money import Cost
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.text import quoted
from journey_mcp.providers.base import Account
from journey_mcp.providers.error_mapping import parse_submission, quoted_reason, refusal_of, unusable_response
from journey_mcp.providers.http import POLL_TIMEOUT_S, HttpResponse, bearer, http_request, read_id
from journey_mcp.providers.parsing import generation_failure, read_amount, read_images, read_share
from journey_mcp.providers.payloads import submit_timeout_s, write_fields
from journey_mcp.registry import Offer

_FINAL = {"completed": Status.SUCCEEDED, "failed": Status.FAILED}
_PATH = "/model/v1/generation"


class Vtrix:
    """The adapter. `Provider` in `providers/base.py` documents its methods."""

    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport) -> None:
        self._account = account
        self._http = http
        self._auth = bearer(account.key)
        self._submit_url = account.base_url + _PATH
        self._task_url = f"{account.poll_url or account.base_url}{_PATH}/task/"

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Create one task."""
        timeout_s = submit_timeout_s(*request.images, request.mask)
        sending = self._request("POST", self._submit_url, timeout_s, write_creation(request, offer))
        return parse_submission(sending, self._account, refusal=self._refusal_of_creation, read=read_task)

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch one task; the protocol has no request for several."""
        (handle,) = handles
        response = await self._request("GET", self._task_url + quote(handle.prediction_id, safe=""), POLL_TIMEOUT_S)
        if response.status == httpx2.codes.NOT_FOUND:
            return {}
        # the request named the id, so a response without one is still about it
        prediction = read_task({**response.mapping, "id": handle.prediction_id})
        if not httpx2.codes.is_success(response.status) or not response.mapping or prediction is None:
            raise self._refusal(response) or unusable_response(response, self._account)
        return {handle.prediction_id: prediction}

    def _request(
        self, method: Literal["GET", "POST"], url: str, timeout_s: float, body: Any = None
    ) -> Awaitable[HttpResponse]:
        return http_request(self._http, method, httpx2.URL(url), auth=self._auth, timeout_s=timeout_s, body=body)

    def _refusal_of_creation(self, response: HttpResponse) -> JourneyError | None:
        """Return the error, also for a 2xx with an error and no id: the vendor's client reads it as a refusal."""
        words = read_error(response.mapping.get("error"))
        if words and httpx2.codes.is_success(response.status) and read_task(response.mapping) is None:
            return Refused(f"{self._account.provider} refused the request: {quoted(words)}.")
        return self._refusal(response)

    def _refusal(self, response: HttpResponse) -> JourneyError | None:
        reason = quoted_reason(
            response.mapping.get("message"), read_error(response.mapping.get("error")), response=response
        )
        if response.status != httpx2.codes.FORBIDDEN:
            return refusal_of(response, self._account, reason)
        # the documents name 403 for both, and nothing distinguishes them; there is no 402
        return OutOfCredits(
            f"{self._account.label} has too little money for this, or does not permit it: {reason}.",
            next_step="Add money at the provider, or choose another model. Nothing was charged.",
        )


def write_creation(request: PreparedRequest, offer: Offer) -> dict[str, Any]:
    """Return the body of a creating request."""
    return {"model": offer.wire_id, "input": [{"params": write_fields(request, offer)}]}


def read_task(body: Mapping[str, Any]) -> Prediction | None:
    """Read a task object; `None` when it has no id."""
    prediction_id = read_id(body.get("id")) or read_id(body.get("task_id"))
    if prediction_id is None:
        return None
    status = _FINAL.get(str(body.get("status")).lower(), Status.RUNNING)
    images = read_images(_read_urls(body.get("output")))
    # "completed" without an image is not a result; the next response may have it
    is_empty = status is Status.SUCCEEDED and not images.kept
    return Prediction(
        prediction_id=prediction_id,
        status=Status.RUNNING if is_empty else status,
        progress=read_share(body.get("progress")),
        images=images.kept,
        notices=images.notices,
        is_empty=is_empty,
        cost=_read_cost(body.get("usage")),
        failure=generation_failure(read_error(body.get("error"))) if status is Status.FAILED else None,
    )


def read_error(error: Any) -> str | None:
    """Return the text of an error in any of its three forms."""
    if isinstance(error, str):
        return error.strip() or None
    if not isinstance(error, dict):
        return None
    words, code = error.get("error_message") or error.get("message"), error.get("code")
    return " ".join(str(part) for part in (words, f"(code {code})" if code not in (None, "") else None) if part) or None


def _read_urls(output: Any) -> Iterator[Any]:
    """Yield `output[].content[].url`, whatever the type of a part (the documents contradict each other)."""
    for part in output if isinstance(output, list) else ():
        content = part.get("content") if isinstance(part, dict) else None
        for item in content if isinstance(content, list) else ():
            if isinstance(item, dict):
                yield item.get("url")


def _read_cost(usage: Any) -> Cost | None:
    """Return `usage.cost`: the total in USD, a string."""
    amount = read_amount(usage.get("cost")) if isinstance(usage, dict) else None
    return None if amount is None else Cost(amount=amount, unit="usd", source="provider")
