"""Asking the person at the terminal to confirm a cost; without a terminal nobody can be asked."""

from collections.abc import Awaitable, Callable

from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import Declined, NotConfirmed
from journey_mcp.engine.budget import Confirm, ConfirmationRequest, TotalConfirmationRequest

AskTotal = Callable[[TotalConfirmationRequest], Awaitable[bool]]
"""Asks the person about the sum of several costs; returns whether the person agrees."""


def ask_about_one() -> Confirm:
    """Return what asks about the cost of one task, and raises `Declined` or `NotConfirmed` in words for the person."""
    return Confirm(_ask_about_one)


def ask_about_all() -> AskTotal | None:
    """Return what asks once about the sum of several tasks; `None` if nobody can be asked."""
    return _ask_about_all if console.can_ask() else None


def declined(question: ConfirmationRequest | TotalConfirmationRequest) -> Declined:
    """Return the error of a cost that the person does not agree to."""
    return Declined(f"You declined: {question}.")


def not_asked(above: str) -> NotConfirmed:
    """Return the error of a cost that nobody can be asked about; `above` says what is above which limit."""
    return NotConfirmed(
        f"{above}, and without a terminal you cannot be asked.",
        next_step="Nothing was sent. Choose a cheaper model, or confirm the cost with --yes.",
    )


async def _ask_about_one(question: ConfirmationRequest) -> bool:
    if not console.can_ask():
        raise not_asked(f"{question} is above {question.limit}")
    if not await console.ask(f"Make an image with {question}? This exceeds {question.limit}."):
        raise declined(question)
    return True


async def _ask_about_all(question: TotalConfirmationRequest) -> bool:
    return await console.ask(f"Make {question}? This exceeds {question.limit}.")
