"""Asking the person at the terminal to confirm a cost; without a terminal nobody can be asked."""

from collections.abc import Awaitable, Callable

from journey_mcp.cli.terminal import console
from journey_mcp.engine.budget import Confirm, ConfirmationRequest, TotalConfirmationRequest

AskTotal = Callable[[TotalConfirmationRequest], Awaitable[bool]]
"""Asks the person about the sum of several costs; returns whether the person agrees."""


def ask_about_one() -> Confirm | None:
    """Return what asks about the cost of one task; `None` if nobody can be asked."""
    return Confirm(_ask_about_one) if console.can_ask() else None


def ask_about_all() -> AskTotal | None:
    """Return what asks once about the sum of several tasks; `None` if nobody can be asked."""
    return _ask_about_all if console.can_ask() else None


async def _ask_about_one(question: ConfirmationRequest) -> bool:
    return await console.ask(f"Make an image with {question}? This exceeds {question.limit}.")


async def _ask_about_all(question: TotalConfirmationRequest) -> bool:
    return await console.ask(f"Make {question}? This exceeds {question.limit}.")
