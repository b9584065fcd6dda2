"""JourneyAPI's protocol: POST `/imagine`, then `/fetch` or `/fetch-many` (docs: journeyapi.co/docs).

Contradictions are followed in their tolerant reading: a creating answer may carry the finished picture or
only the id (C2), any status word but `finished` and `failed` means running (C3), ids are opaque (C12).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeGuard
from urllib.parse import urlsplit

import httpx2

from journey_mcp.errors import (
    CredentialsRejected,
    Failure,
    GenerationFailed,
    JourneyError,
    OutOfCredits,
    RateLimited,
    Refused,
    SubmissionUnconfirmed,
    UpstreamError,
    cleaned,
    quoted,
)
from journey_mcp.images import OutputImage
from journey_mcp.providers import Account, Balance
from journey_mcp.providers.client import ASK_WITHIN_S, SUBMIT_WITHIN_S, Answer, ExchangeBroken, exchange
from journey_mcp.registry import Offer
from journey_mcp.requests import ImageRequest
from journey_mcp.tasks import Prediction, Status

_FINAL = {"finished": Status.SUCCEEDED, "failed": Status.FAILED}
_PATHS = ("/imagine", "/fetch", "/fetch-many", "/account")
_UNKNOWN_TASK = {400, 404}
_SERVER_FAULTS = 500
_NO_SUCH_ADDRESS = {404, 405}
_WRONG_ADDRESS = "Nothing was charged. Ask the person to check JOURNEYAPI_BASE_URL; `journey-mcp doctor` helps."
_PERHAPS_CREATED = {408, 409, 425, 499}
"""Refusals that a gateway may give while the service behind it works on."""
_LONGEST_ID, _LONGEST_SEED, _LONGEST_PLAN, _LONGEST_ADDRESS = 200, 80, 40, 4096


class JourneyApi:
    """The adapter. See `journey_mcp.providers.Provider` for the contract of its verbs."""

    def __init__(self, account: Account, http: httpx2.AsyncClient, webhook_secret: str | None = None) -> None:
        self._account = account
        self._http = http
        self._webhook_secret = webhook_secret
        # parsed once: reading an address takes a fifth of an exchange on this machine's own network
        self._urls = {path: httpx2.URL(account.base_url + path) for path in _PATHS}

    async def submit(self, request: ImageRequest, offer: Offer) -> Prediction:
        """Create one task with `/imagine`."""
        try:
            body = write_imagine(request, offer, self._webhook_secret)
            answer = await self._exchange("POST", "/imagine", body, within_s=SUBMIT_WITHIN_S)
        except ExchangeBroken as broken:
            raise SubmissionUnconfirmed(f"{broken} The task may have been created.") from broken
        if refusal := self._refusal(answer):
            raise refusal
        # an id is an id, whatever status it comes with
        prediction = read_task(answer.mapping)
        if prediction is None:
            raise SubmissionUnconfirmed(
                f"{self._account.provider} answered HTTP {answer.status} without a task id: {quoted(answer.text)}. "
                "The task may have been created."
            )
        return prediction

    async def fetch(self, prediction_ids: Sequence[str]) -> Mapping[str, Prediction]:
        """One id by `/fetch`, more by `/fetch-many`; ids that are not known are left out (U2)."""
        if len(prediction_ids) == 1:
            answer = await self._exchange("POST", "/fetch", {"task_id": prediction_ids[0]})
            if answer.status in _UNKNOWN_TASK:
                return {}
            # the id was asked for, so an answer that leaves it out is still about it
            found: Any = [{"task_id": prediction_ids[0], **answer.mapping}] if answer.mapping else []
        else:
            answer = await self._exchange("POST", "/fetch-many", {"task_ids": list(prediction_ids)})
            found = answer.mapping.get("tasks")
        if answer.status != httpx2.codes.OK or answer.body is None or not isinstance(found, list):
            raise self._unusable(answer)
        read = (read_task(task) for task in found if isinstance(task, dict))
        return {p.prediction_id: p for p in read if p is not None and p.prediction_id in prediction_ids}

    async def balance(self) -> Balance:
        """GET `/account`."""
        answer = await self._exchange("GET", "/account")
        amount, plan = answer.mapping.get("credits"), answer.mapping.get("plan")
        if answer.status != httpx2.codes.OK or isinstance(amount, bool) or not isinstance(amount, int | float):
            raise self._unusable(answer)
        return Balance(amount=f"{amount:g}", unit="credits", plan=cleaned(str(plan), _LONGEST_PLAN) if plan else None)

    async def _exchange(
        self, method: Literal["GET", "POST"], path: str, body: Any = None, *, within_s: float = ASK_WITHIN_S
    ) -> Answer:
        # the raw key, without "Bearer" (stated; a key with it is not documented, U1)
        return await exchange(self._http, method, self._urls[path], key=self._account.key, within_s=within_s, body=body)

    def _unusable(self, answer: Answer) -> JourneyError:
        return self._refusal(answer) or UpstreamError(
            f"{self._account.provider} answered HTTP {answer.status}: {quoted(answer.text)}."
        )

    def _refusal(self, answer: Answer) -> JourneyError | None:
        """The error that an HTTP status stands for where nothing was created; other 4xx are never mentioned (U7)."""
        who, variable = self._account.provider, self._account.key_variable
        if answer.status == httpx2.codes.UNAUTHORIZED:
            return CredentialsRejected(
                f"{who} does not accept the key.",
                next_step=f"Put a valid key into {variable} and restart the server. Nothing was charged.",
            )
        if answer.status == httpx2.codes.PAYMENT_REQUIRED:
            return OutOfCredits(
                f"{who} has too few credits for this: {read_errors(answer)}.",
                next_step="Add credits at the provider, or choose a cheaper model. Nothing was charged.",
            )
        if answer.status == httpx2.codes.TOO_MANY_REQUESTS:
            return RateLimited(f"{who} is at its limit.", retry_after_s=answer.retry_after_s)
        if httpx2.codes.BAD_REQUEST <= answer.status < _SERVER_FAULTS and answer.status not in _PERHAPS_CREATED:
            told = f"{who} refused the request (HTTP {answer.status}): {read_errors(answer)}."
            return Refused(told, next_step=_WRONG_ADDRESS if answer.status in _NO_SUCH_ADDRESS else None)
        return None


def write_imagine(request: ImageRequest, offer: Offer, webhook_secret: str | None) -> dict[str, Any]:
    """The body of `/imagine`. `model` is always sent: its default is contradicted (C13)."""
    body: dict[str, Any] = {"model": offer.wire_id, "prompt": request.prompt}
    for name, value in request.options.items():
        parameter = offer.parameters[name]
        body[parameter.wire_name or name] = parameter.wire_values.get(str(value), value)
    body.update(zip(offer.images.fields, request.pictures, strict=False))
    if request.webhook_url:
        body["webhook_url"] = request.webhook_url
        if webhook_secret:
            body["webhook_secret"] = webhook_secret
    return body


def read_task(body: Mapping[str, Any]) -> Prediction | None:
    """Read a task object; `None` when it carries no id. A status word we do not know means: still running."""
    prediction_id = str(body.get("task_id") or "")
    if not prediction_id.isprintable() or " " in prediction_id or not 0 < len(prediction_id) <= _LONGEST_ID:
        return None
    status = _FINAL.get(str(body.get("status")).lower(), Status.RUNNING)
    images = _read_images(body)
    # "finished" without a picture is no result; the next answer may bring it
    is_empty = status is Status.SUCCEEDED and not images
    if is_empty:
        status = Status.RUNNING
    seed, grid = body.get("seed"), body.get("original_image_url")
    return Prediction(
        prediction_id=prediction_id,
        status=status,
        progress=read_percentage(body.get("percentage")),
        images=images,
        is_empty=is_empty,
        grid_url=grid if _is_address(grid) else None,
        seed=None if seed in (None, "") else cleaned(str(seed), _LONGEST_SEED),
        failure=_read_failure(body) if status is Status.FAILED else None,
    )


def _read_images(body: Mapping[str, Any]) -> tuple[OutputImage, ...]:
    many, one = body.get("image_urls"), body.get("image_url")
    urls = many if isinstance(many, list) and many else [one]
    return tuple(OutputImage(url=url) for url in urls if _is_address(url))


def _is_address(url: Any) -> TypeGuard[str]:
    """A web address and nothing else: it is shown to models as it is."""
    if not isinstance(url, str) or not url.isprintable() or " " in url or len(url) > _LONGEST_ADDRESS:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def read_percentage(value: Any) -> float | None:
    """`"30"`, `30` or `"30%"` as 0.3; anything else is not told."""
    try:
        told = float(str(value).removesuffix("%"))
    except ValueError:
        return None
    return min(max(told / 100, 0.0), 1.0) if told == told else None  # noqa: PLR0124  # NaN


def _read_failure(body: Mapping[str, Any]) -> Failure:
    reason = body.get("error")
    return GenerationFailed(
        f"The provider could not make the picture: {quoted(reason)}."
        if reason
        else "The provider could not make the picture and gave no reason."
    ).failure


def read_errors(answer: Answer) -> str:
    """The provider's own words from `{"errors": [{"msg": …}]}`, quoted; other bodies as they are."""
    listed = answer.mapping.get("errors")
    if isinstance(listed, list):
        words = [str(e.get("msg")) for e in listed if isinstance(e, dict) and e.get("msg")]
        if words:
            return quoted("; ".join(words))
    return quoted(answer.text) if answer.text.strip() not in {"", "{}"} else "no reason given"
