"""What became of a creating request, and what the refusal of any request means: the same for every provider."""

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
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.text import quoted
from journey_mcp.providers.base import Account
from journey_mcp.providers.http import HttpResponse, IncompleteResponse, Later

_SERVER_FAULTS = 500
_NO_SUCH_ADDRESS = {404, 405}
_PERHAPS_CREATED = {408, 409, 425, 499}
"""Refusals that a gateway may give while the service behind it works on."""


def parse_submission(
    sending: Awaitable[HttpResponse],
    account: Account,
    *,
    refusal: Callable[[HttpResponse], JourneyError | None],
    read: Callable[[Mapping[str, Any]], Prediction | None],
) -> Awaitable[Prediction]:
    """The prediction that a creating request makes once this is awaited.

    Where the status is no refusal, an id counts, whatever it is.

    Raises:
        Unreachable: nothing was sent.
        JourneyError: what `refusal` finds in the answer; nothing was created.
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
    """The error that the status stands for where nothing was created; `None` for every other answer.

    `reason` is what the provider told, quoted; `credentials` are the statuses by which it refuses a key, and
    `retry_after_s` is what its body says, where no header does.
    """
    who, status = account.provider, response.status
    if status in credentials:
        return CredentialsRejected(
            f"{who} does not accept the key.",
            next_step=f"Put a valid key into {account.key_variable} and restart the server. Nothing was charged.",
        )
    if status == httpx2.codes.PAYMENT_REQUIRED:
        return OutOfCredits(
            f"{who} has too little money for this: {reason}.",
            next_step="Add money at the provider, or choose a cheaper model. Nothing was charged.",
        )
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        told_s = response.retry_after_s if response.retry_after_s is not None else retry_after_s
        return RateLimited(f"{who} is at its limit.", retry_after_s=told_s)
    if httpx2.codes.BAD_REQUEST <= status < _SERVER_FAULTS and status not in _PERHAPS_CREATED:
        wrong_address = (
            "Nothing was charged. Choose another model, or ask the person to check "
            f"{account.base_url_variable}; `journey-mcp doctor` helps."
        )
        return Refused(
            f"{who} refused the request (HTTP {status}): {reason}.",
            next_step=wrong_address if status in _NO_SUCH_ADDRESS else None,
        )
    return None


def unusable_response(response: HttpResponse, account: Account) -> UpstreamError:
    """An answer to a question that tells nothing."""
    return UpstreamError(f"{account.provider} answered HTTP {response.status}: {quoted(response.text)}.")


def _without_id(response: HttpResponse, account: Account) -> SubmissionUnconfirmed:
    """An answer to a creating request that nobody can ask on with."""
    return SubmissionUnconfirmed(
        f"{account.provider} answered HTTP {response.status} without a task id: {quoted(response.text)}. "
        "The task may have been created."
    )


def quoted_reason(*candidates: object, response: HttpResponse) -> str:
    """The first text among these, quoted; else the body as it is."""
    words = next((c for c in candidates if isinstance(c, str) and c.strip()), None)
    if words is not None:
        return quoted(words)
    return quoted(response.text) if response.text.strip() not in {"", "{}"} else "no reason given"
