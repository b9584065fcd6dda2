"""Results of creating requests, and the errors that HTTP statuses stand for: the same for every provider."""

from collections.abc import Awaitable, Callable, Container, Mapping
from typing import Any

import httpx2

from journey_mcp.core.errors import (
    CredentialsRejected,
    JourneyError,
    OutOfCredits,
    RateLimited,
    Refused,
    SubmissionUnconfirmed,
    UpstreamError,
)
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.text import quoted
from journey_mcp.providers.base import Account
from journey_mcp.providers.http import HttpResponse, IncompleteResponse, Later

_SERVER_FAULTS = 500
_NO_SUCH_ADDRESS = {404, 405}
_PERHAPS_CREATED = {408, 409, 425, 499}
"""Statuses that a gateway may return while the service behind it continues."""


def parse_submission(
    sending: Awaitable[HttpResponse],
    account: Account,
    *,
    refusal: Callable[[HttpResponse], JourneyError | None],
    read: Callable[[Mapping[str, Any]], Prediction | None],
) -> Awaitable[Prediction]:
    """Return the prediction of a creating request, which is sent when the result is awaited.

    If the status is not a refusal, a response with an id counts, whatever the status is.

    Raises:
        Unreachable: nothing was sent.
        JourneyError: what `refusal` finds in the response; nothing was created.
        SubmissionUnconfirmed: something may have been created.
    """

    async def send() -> Prediction:
        try:
            response = await sending
        except IncompleteResponse as broken:
            raise SubmissionUnconfirmed(f"{broken} The task may have been created.") from broken
        if error := refusal(response):
            raise error
        prediction = read(response.mapping)
        if prediction is None:
            raise _without_id(response, account)
        return prediction

    return Later(send)


def refusal_of(
    response: HttpResponse,
    account: Account,
    reason: str,
    *,
    credentials: Container[int] = (401,),
    retry_after_s: float | None = None,
) -> JourneyError | None:
    """Return the error for a status by which nothing was created; `None` for every other response.

    `reason` is the provider's text, quoted; `credentials` are the statuses by which it refuses a key, and
    `retry_after_s` is the wait that its body states, used if no header does.
    """
    provider, status = account.label, response.status
    if status in credentials:
        return _rejected(account)
    if status == httpx2.codes.PAYMENT_REQUIRED:
        return OutOfCredits(
            f"{provider} has too little money for this: {reason}.",
            next_step="Add money at the provider, or choose a cheaper model. Nothing was charged.",
        )
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        stated_s = response.retry_after_s if response.retry_after_s is not None else retry_after_s
        return RateLimited(f"{provider} is at its limit.", retry_after_s=stated_s)
    if httpx2.codes.BAD_REQUEST <= status < _SERVER_FAULTS and status not in _PERHAPS_CREATED:
        wrong_address = "Nothing was charged. Choose another model, or " + ask_person(
            f"check {account.base_url_variable}; `journey-mcp doctor` helps."
        )
        return Refused(
            f"{provider} refused the request (HTTP {status}): {reason}.",
            next_step=wrong_address if status in _NO_SUCH_ADDRESS else None,
        )
    return None


def _rejected(account: Account) -> CredentialsRejected:
    if account.own_id is None:
        return CredentialsRejected(
            f"{account.provider} does not accept the key.",
            next_step=f"Put a valid key into {account.key_variable} and restart the server. Nothing was charged.",
        )
    return CredentialsRejected(
        f"{account.provider} does not accept your own key.",
        next_step=ask_person(
            f"Correct the header {account.key_variable} of this client, or the key in the line of its token."
        )
        + " Nothing was charged.",
    )


def unusable_response(response: HttpResponse, account: Account) -> UpstreamError:
    """Return the error for a response without usable content."""
    return UpstreamError(f"{account.provider} answered HTTP {response.status}: {quoted(response.text)}.")


def _without_id(response: HttpResponse, account: Account) -> SubmissionUnconfirmed:
    """Return the error for a creating request whose response has no id to poll with."""
    return SubmissionUnconfirmed(
        f"{account.provider} answered HTTP {response.status} without a task id: {quoted(response.text)}. "
        "The task may have been created."
    )


def quoted_reason(*candidates: object, response: HttpResponse) -> str:
    """Return the first text among the candidates, quoted; else the body."""
    words = next((c for c in candidates if isinstance(c, str) and c.strip()), None)
    if words is not None:
        return quoted(words)
    return quoted(response.text) if response.text.strip() not in {"", "{}"} else "no reason given"
