"""What every adapter implements: the `Provider` protocol, and one protocol for each optional feature."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from journey_mcp.core.predictions import Handle, Prediction
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.urls import BaseUrl
from journey_mcp.registry import Offer
from journey_mcp.registry.facts import Feature


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """As whom, and where, a provider is asked."""

    provider: str
    """The name that results carry: the registry's id, or `SANDBOX`."""
    facts_id: str
    """The registry's id of the provider whose facts hold."""
    base_url: BaseUrl
    key: str = field(repr=False)
    key_variable: str
    base_url_variable: str
    poll_url: BaseUrl | None = None
    """The address to ask at, where the person set one."""
    features: tuple[Feature, ...] = ()
    """What the provider has beyond creating and asking."""
    webhook_retries_s: float | None = None
    """How long after a task has ended its webhook may still come, as far as it is stated."""
    longest_run_s: float | None = None
    """When the provider ends a task by itself at the latest, as far as it says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """What a provider tells of the account."""

    amount: str
    """A decimal number."""
    unit: str
    plan: str | None = None


class Provider(Protocol):
    """One upstream protocol. Knows URLs, auth and field names; nothing of tasks, storage or MCP.

    It does not wait, try again, or save: one verb, one HTTP exchange.
    """

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Encode the one creating request, which leaves when the answer is awaited.

        Whatever is wrong with it is raised before that, so it is never journaled as sent. An `async def` will do as
        well, and then encodes it too late for that.

        Raises:
            SetupError: it cannot be encoded; nothing was sent.
            Unreachable: nothing was sent.
            RateLimited, OutOfCredits, CredentialsRejected, Refused: nothing was created.
            SubmissionUnconfirmed: something may have been created.
        """
        ...

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Ask for runs, by prediction id, at most the provider's `batch_limit` at once; unknown ones are left out.

        Raises:
            UpstreamError: this exchange failed; asking again later is free.
            CredentialsRejected: as long as the key is not mended.
        """
        ...


@runtime_checkable
class SupportsBalance(Protocol):
    """A provider that can be asked for the account's balance."""

    async def balance(self) -> Balance:
        """Ask for it.

        Raises:
            UpstreamError, CredentialsRejected: as `Provider.fetch`.
        """
        ...


@runtime_checkable
class SupportsCancel(Protocol):
    """An adapter that can end a run, at providers that have the feature `cancel`."""

    async def cancel(self, handle: Handle) -> Prediction:
        """End it; what has become of it, which may be that it was finished before.

        Raises:
            UpstreamError, CredentialsRejected: as `Provider.fetch`.
        """
        ...


@runtime_checkable
class SupportsUpload(Protocol):
    """An adapter that brings large pictures to the provider before the creating request, with the feature `upload`."""

    async def upload(self, request: PreparedRequest) -> PreparedRequest:
        """Upload what is too large to go with the request; the same request, naming what was uploaded.

        One exchange for every such picture; nothing is created or charged by it.

        Raises:
            Unreachable, RateLimited, OutOfCredits, CredentialsRejected, Refused: it cannot be uploaded.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookDelivery:
    """A webhook as it came in; nothing in it is believed before the adapter has looked at it."""

    headers: Mapping[str, str] = field(repr=False)
    """By name in lower case. The secret may be among them."""
    body: bytes = field(repr=False)
    secret: str = field(repr=False)
    """What the provider was given for this task alone."""
    at: float
    """When it came, in seconds of the Unix epoch."""


@runtime_checkable
class SupportsWebhooks(Protocol):
    """An adapter of a provider that calls webhooks, with the feature `webhook`."""

    async def read_webhook(self, delivery: WebhookDelivery) -> Prediction | None:
        """What a genuine delivery tells; `None` when it is forged, stale, or cannot be read.

        Raises:
            UpstreamError, CredentialsRejected: what is needed to tell cannot be had now; it may be delivered again.
        """
        ...
