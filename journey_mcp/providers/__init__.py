"""Adapters: one module per protocol of an upstream, all with the same verbs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from journey_mcp.registry import Offer
from journey_mcp.requests import ImageRequest
from journey_mcp.tasks import Prediction

SANDBOX = "sandbox"
"""The name that results of the built-in sandbox carry in place of a provider's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """As whom, and where, a provider is asked."""

    provider: str
    """The name that results carry: the registry's id, or `SANDBOX`."""
    facts_id: str
    """The registry's id of the provider whose facts hold."""
    base_url: str
    key: str
    key_variable: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """What a provider tells of the account."""

    amount: str
    unit: str
    plan: str | None = None


class Provider(Protocol):
    """One upstream protocol. Knows URLs, auth and field names; nothing of tasks, storage or MCP.

    It does not wait, try again, or save: one verb, one HTTP exchange.
    """

    async def submit(self, request: ImageRequest, offer: Offer) -> Prediction:
        """Send the one creating request.

        Raises:
            Unreachable: nothing was sent.
            RateLimited, OutOfCredits, CredentialsRejected, Refused: nothing was created.
            SubmissionUnconfirmed: something may have been created.
        """
        ...

    async def fetch(self, prediction_ids: Sequence[str]) -> Mapping[str, Prediction]:
        """Ask for runs, at most the provider's `batch_limit` at once; those it does not know are left out.

        Raises:
            UpstreamError: this exchange failed; asking again later is free.
            CredentialsRejected: as long as the key is not mended.
        """
        ...

    async def balance(self) -> Balance:
        """Ask for the account's balance.

        Raises:
            UpstreamError, CredentialsRejected: as `fetch`.
        """
        ...
