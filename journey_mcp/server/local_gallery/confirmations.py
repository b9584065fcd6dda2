"""Confirmations of costs by a person at the page.

A call that costs money is answered with the cost and a confirmation id, and is made when the same call comes again with
that id. An id is for these very arguments and this very cost, works once, and expires. Asking is not paying: a person
who declines does nothing.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from journey_mcp.engine.budget import Confirm, ConfirmationRequest, InputRequired

_VALID_S = 600.0
_MAX_OPEN = 100
"""The page asks about one cost at a time; older ones were declined."""


class ConfirmationRequired(InputRequired):
    """The call is repeated with this confirmation if the person agrees."""

    def __init__(self, confirmation: str, question: ConfirmationRequest) -> None:
        super().__init__(str(question))
        self.confirmation = confirmation
        self.question = question


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a person was asked, and until when the answer counts."""

    call: str
    cost: str
    expires_at: float


class Confirmations:
    """The costs that a person was asked about. `elapsed`: seconds since some moment."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._open: OrderedDict[str, _Asked] = OrderedDict()

    def for_call(self, call: str, confirmation: str | None) -> Confirm:
        """Return what confirms the cost of a call with this id, or raises `ConfirmationRequired`.

        `call` is the tool with all arguments.
        """

        async def ask(question: ConfirmationRequest) -> bool:
            if not self._redeem(confirmation, call, str(question)):
                raise ConfirmationRequired(self._issue(call, str(question)), question)
            return True

        return Confirm(ask, is_asked_always=True)

    def _issue(self, call: str, cost: str) -> str:
        confirmation = secrets.token_urlsafe(16)
        self._open[confirmation] = _Asked(call, cost, self._elapsed() + _VALID_S)
        if len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)
        return confirmation

    def _redeem(self, confirmation: str | None, call: str, cost: str) -> bool:
        asked = self._open.pop(confirmation, None) if confirmation else None
        return asked is not None and (asked.call, asked.cost) == (call, cost) and self._elapsed() < asked.expires_at
