"""What every adapter implements: the `Provider` protocol, and one protocol for each optional feature."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from journey_mcp.core.key_sealing import account_id
from journey_mcp.core.predictions import Handle, Prediction
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.core.urls import BaseUrl, is_loopback
from journey_mcp.registry import Offer
from journey_mcp.registry.facts import Feature


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The credentials and addresses of a configured provider."""

    provider: str
    """The name in results: the registry's id, or `SANDBOX`."""
    facts_id: str
    """The registry's id of the provider whose facts apply."""
    base_url: BaseUrl
    key: str = field(repr=False)
    key_variable: str
    base_url_variable: str
    poll_url: BaseUrl | None = None
    """The address for polls, if the person set one."""
    features: tuple[Feature, ...] = ()
    """What the provider supports beyond `submit` and `fetch`."""
    webhook_retries_s: float | None = None
    """How long the webhook of a task may arrive after its end; `None` when the provider does not say."""
    longest_run_s: float | None = None
    """The provider ends a task after this time at the latest; `None` when it does not say."""
    host: Callable[[bytes], str] | None = field(default=None, repr=False, compare=False)
    """Hosts an image and returns its URL: only of a sandbox that runs in this process."""
    sealed_key: str | None = field(default=None, repr=False)
    """Of a caller's own account: its key, as tasks are stored with it; `None` for the accounts of the settings."""

    @property
    def own_id(self) -> str | None:
        """The id of a caller's own account; `None` for the accounts of the settings."""
        return None if self.sealed_key is None else account_id(self.sealed_key)

    @property
    def address(self) -> str:
        """The base URL, with the id of a caller's own account: what is of one account is kept under this."""
        return self.base_url if self.own_id is None else f"{self.base_url}#{self.own_id}"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the provider is a process of this machine, and can fetch from addresses that only it reaches."""
        return self.provider == SANDBOX or is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def label(self) -> str:
        """The provider, for messages; a caller's own account is called so."""
        return self.provider if self.own_id is None else f"{self.provider}, with your own key,"


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The balance of an account, as its provider reports it."""

    amount: str
    """A decimal number."""
    unit: str
    plan: str | None = None


class Provider(Protocol):
    """One upstream protocol. Knows URLs, auth and field names; nothing of tasks, storage or MCP.

    It does not wait, retry, or save: one method is one HTTP request.
    """

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Encode the one creating request; it is sent when the result is awaited.

        A request that cannot be encoded raises before that, so it is never journaled as sent. An `async def` works
        too, but encodes the request too late for that.

        Raises:
            SetupError: the request cannot be encoded; nothing was sent.
            Unreachable: nothing was sent.
            RateLimited, OutOfCredits, CredentialsRejected, Refused: nothing was created.
            SubmissionUnconfirmed: something may have been created.
        """
        ...

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch predictions, by id, at most the provider's `batch_limit` at once; unknown ones are left out.

        Raises:
            UpstreamError: this request failed; another one later is free.
            CredentialsRejected: the key is not valid.
        """
        ...


@runtime_checkable
class SupportsBalance(Protocol):
    """An adapter that can report the balance of the account."""

    async def balance(self) -> Balance:
        """Fetch the balance.

        Raises:
            UpstreamError, CredentialsRejected: as `Provider.fetch`.
        """
        ...


@runtime_checkable
class SupportsCancel(Protocol):
    """An adapter that can cancel a prediction, with the feature `cancel`."""

    async def cancel(self, handle: Handle) -> Prediction:
        """Cancel the prediction; return its state, which is final already if it finished before.

        Raises:
            UpstreamError, CredentialsRejected: as `Provider.fetch`.
        """
        ...


@runtime_checkable
class SupportsUpload(Protocol):
    """An adapter that uploads large images before the creating request, with the feature `upload`."""

    async def upload(self, request: PreparedRequest) -> PreparedRequest:
        """Upload the images that are too large for the request; return the request with their URLs.

        One HTTP request for each such image; it creates and charges nothing.

        Raises:
            Unreachable, RateLimited, OutOfCredits, CredentialsRejected, Refused: an image cannot be uploaded.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookDelivery:
    """A webhook as it was received; nothing in it is trusted before the adapter has verified it."""

    headers: Mapping[str, str] = field(repr=False)
    """By name in lower case. The secret may be among them."""
    body: bytes = field(repr=False)
    secret: str = field(repr=False)
    """The secret that the provider was given for this task alone."""
    at: float
    """When it was received, in seconds of the Unix epoch."""


@runtime_checkable
class SupportsWebhooks(Protocol):
    """An adapter of a provider that sends webhooks, with the feature `webhook`."""

    async def read_webhook(self, delivery: WebhookDelivery) -> Prediction | None:
        """Return the prediction in a verified delivery; `None` when it is forged, stale, or cannot be read.

        Raises:
            UpstreamError, CredentialsRejected: the signing key cannot be fetched now; the webhook may be sent again.
        """
        ...
