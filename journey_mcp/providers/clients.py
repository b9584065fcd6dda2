"""Clients of the providers: the configured accounts and their adapters, or the built-in sandbox without a key."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakValueDictionary

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.core.errors import KeyLost, SetupError
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.core.urls import BaseUrl
from journey_mcp.providers.accounts import (
    SANDBOX_KEY,
    CallerAccounts,
    accounts_of,
    can_poll,
    header_of,
    not_polled_reason,
    sandbox_account,
)
from journey_mcp.providers.base import Account, Provider
from journey_mcp.providers.bfl import BlackForestLabs
from journey_mcp.providers.http import new_http_client
from journey_mcp.providers.journeyapi import JourneyApi
from journey_mcp.providers.replicate import Replicate
from journey_mcp.providers.vtrix import Vtrix
from journey_mcp.registry import Action, Catalog, Offer, Registry, load
from journey_mcp.registry.facts import Feature
from journey_mcp.registry.plugins import installed_plugins
from journey_mcp.registry.selection import catalog_of
from journey_mcp.settings import Settings

Adapter = Callable[[Account, httpx2.AsyncBaseTransport], Provider]
"""Makes a provider from an account and the HTTP client of the process."""
ADAPTERS: Mapping[str, Adapter] = {
    "journeyapi": JourneyApi,
    "vtrix": Vtrix,
    "replicate": Replicate,
    "bfl": BlackForestLabs,
}
"""The protocols, by the name in `wire` of a provider's facts."""

_POLLS_AT_ONCE = 100
"""Of one address: more would slow all of them down, and each needs a file descriptor."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Upstream:
    """One address that is polled."""

    name: str
    """Of the provider."""
    provider: Provider
    batch_limit: int
    is_sandbox: bool = False
    is_of_caller: bool = False
    """It is polled with a caller's own key."""
    room: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(_POLLS_AT_ONCE, fast_acquire=True))
    """Bounds the polls that have no answer yet."""


@dataclass(frozen=True, kw_only=True)
class UsableProviders:
    """What one call may use: accounts with their adapters, the preferred one first, and the offers of these."""

    catalog: Catalog
    accounts: Sequence[Account]
    adapters: Mapping[str, Provider]
    """By the provider whose facts apply."""

    def account_of(self, offer: Offer | Action) -> Account:
        """Return the account that runs an offer or an action of the catalog."""
        return next(account for account in self.accounts if account.facts_id == offer.provider)

    def provider_of(self, offer: Offer) -> Provider:
        """Return the adapter that runs an offer of the catalog."""
        return self.adapters[offer.provider]

    def own_accounts(self, offers: Sequence[Offer | Action]) -> dict[str, str]:
        """Return the ids of the caller's own accounts that may run one of these, by provider."""
        providers = {offer.provider for offer in offers}
        return {a.provider: a.own_id for a in self.accounts if a.own_id is not None and a.provider in providers}

    @property
    def sandbox_url(self) -> str | None:
        """The address of the sandbox that replaces all providers; `None` if real ones are used."""
        return next((account.base_url for account in self.accounts if account.provider == SANDBOX), None)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices of every task: that its images come from the sandbox."""
        variables = ", ".join(a.key_variable for a in self.accounts if a.provider == SANDBOX)
        return (Notice.of("sandbox_image", variables=variables),) if variables else ()


class ProviderClients:
    """The configured accounts, those of callers, and their adapters. Several processes may have the same accounts.

    It has one method more than a class should have: each answers one question about the account of a task or a call.
    """

    def __init__(
        self,
        registry: Registry,
        catalog: Catalog,
        accounts: list[Account],
        adapt: Callable[[Account], Provider],
        callers: CallerAccounts,
    ) -> None:
        self.catalog = catalog
        self._registry = registry
        self._accounts = accounts
        self._adapt = adapt
        self._callers = callers
        self._upstreams: dict[tuple[str, str], Upstream] = {
            (a.provider, a.base_url): self._upstream(a) for a in accounts
        }
        self._of_callers: WeakValueDictionary[tuple[str, str | None], Upstream] = WeakValueDictionary()
        """By principal and sealed key, while something of them runs."""
        self._catalogs: dict[tuple[str, ...], Catalog] = {}
        self.configured = UsableProviders(
            catalog=catalog,
            accounts=accounts,
            adapters={a.facts_id: self._upstreams[a.provider, a.base_url].provider for a in accounts},
        )
        """What a caller without keys and restrictions may use."""

    def usable(
        self, principal: Principal, *, providers: Collection[str] | None = None, keys: CallerKeys = NO_KEYS
    ) -> UsableProviders:
        """Return what a call may use: first the caller's own accounts, then those of the settings.

        Of these only the ones in `providers`, and none for which the caller has a key. The built-in sandbox makes no
        images for a caller with a key.

        Raises:
            SetupError: the caller's keys cannot be used, or there is neither a key of the caller nor another one.
        """
        if not keys:
            return self._without_own(providers)
        # ordered as the registry: the catalogs are kept
        names = [*(n for n in self._registry.providers if n in keys.by_provider), *keys.by_provider]
        own = [self._callers.of(name, keys.by_provider[name], principal) for name in dict.fromkeys(names)]
        others = [
            account
            for account in ([] if self.is_sandbox else self._accounts)
            if account.facts_id not in keys.by_provider and (providers is None or account.facts_id in providers)
        ]
        return UsableProviders(
            catalog=self._catalog_of(tuple(account.facts_id for account in (*own, *others))),
            accounts=(*own, *others),
            adapters={
                **{account.facts_id: self._upstream_of_caller(account, principal).provider for account in own},
                **{
                    account.facts_id: self._upstreams[account.provider, account.base_url].provider for account in others
                },
            },
        )

    def _without_own(self, providers: Collection[str] | None) -> UsableProviders:
        if not self._accounts or (providers is not None and not providers):
            raise SetupError(
                "This caller makes images with provider keys of their own, and this call has none. Nothing was sent.",
                next_step=ask_person(
                    f"Let this client send their key in the header {header_of('PROVIDER')} "
                    f"(one of {', '.join(self._registry.providers)}), or have it put into the line of their token."
                ),
            )
        if providers is None:
            return self.configured
        return replace(self.configured, catalog=self.catalog.only(providers))

    def _catalog_of(self, providers: tuple[str, ...]) -> Catalog:
        if providers not in self._catalogs:
            self._catalogs[providers] = self._registry.catalog(providers)
        return self._catalogs[providers]

    def _upstream_of_caller(self, account: Account, principal: Principal) -> Upstream:
        key = (principal, account.sealed_key)
        if (found := self._of_callers.get(key)) is None:
            found = self._of_callers[key] = self._upstream(account)
        return found

    @property
    def is_sandbox(self) -> bool:
        """Whether the built-in sandbox makes the images, free of charge."""
        return any(account.provider == SANDBOX for account in self._accounts)

    @property
    def accounts(self) -> Sequence[Account]:
        """The configured accounts, in the order of preference."""
        return self._accounts

    def runs_where(self, task: Task, action: Action) -> bool:
        """Return whether an action runs at the provider and address of a task, with whichever key."""
        if task.has_own_key:
            return action.provider == task.provider and self._callers.is_at_address(task)
        here = (a for a in self._accounts if a.facts_id == action.provider)
        return any((account.provider, account.base_url) == (task.provider, task.base_url) for account in here)

    def providers(self) -> Iterator[tuple[Account, Provider]]:
        """Yield every account with its adapter, in the order of preference."""
        for account in self._accounts:
            yield account, self._upstreams[account.provider, account.base_url].provider

    def addresses(self) -> list[tuple[str, str | None]]:
        """Return the provider and base URL of tasks to poll; any sandbox, if only to find that it is gone."""
        configured = [(a.provider, a.base_url) for a in self._accounts if a.provider != SANDBOX]
        return [*configured, (SANDBOX, None)]

    def serves(self, task: Task) -> bool:
        """Return whether this process may poll the task, with the key that made it."""
        if task.has_own_key:
            return self._callers.opened(task) is not None
        return can_poll(self._accounts, task)

    def lacks_key_of(self, task: Task) -> bool:
        """Return whether only the caller's own key is missing here to poll the task."""
        return task.has_own_key and self._callers.is_at_address(task) and not self.serves(task)

    def not_polled_reason(self, task: Task) -> Notice | None:
        """Return why this process does not poll a running task; `None` if it does."""
        return None if self.serves(task) else not_polled_reason(task, self._accounts)

    def upstream_of(self, task: Task) -> Upstream:
        """Return where to poll a task that this process serves: exactly where it was created.

        Raises:
            KeyLost: the caller's own key cannot be opened.
        """
        if task.has_own_key:
            if found := self._of_callers.get((task.principal, task.sealed_key)):
                return found
            account = self._callers.opened(task)
            if account is None:
                raise KeyLost(f"The caller's own key of task {task.id} cannot be opened.")
            return self._upstream_of_caller(account, task.principal)
        address = (task.provider, task.base_url)
        if address not in self._upstreams:
            self._upstreams[address] = self._upstream(sandbox_account(BaseUrl(task.base_url), self._registry))
        return self._upstreams[address]

    def has_feature(self, task: Task, feature: Feature) -> bool:
        """Return whether the provider of a task has the feature."""
        if task.has_own_key:
            return feature in self._registry.providers[task.provider].features
        return any(feature in account.features for account in self._accounts if account.provider == task.provider)

    def accepts_webhooks(self, task: Task) -> bool:
        """Return whether the task's provider calls webhooks, and this process is set up to poll it."""
        return self.serves(task) and self.has_feature(task, "webhook")

    def offer_of(self, task: Task) -> Offer | None:
        """Return the offer that a task was created with; `None` if it is not configured any more.

        An action counts as an offer.
        """
        facts_id = next((a.facts_id for a in self._accounts if a.provider == task.provider), None)
        catalog = self.catalog
        if task.has_own_key and task.provider in self._registry.providers:
            facts_id, catalog = task.provider, self._catalog_of((task.provider,))
        if task.request.action is not None:
            actions = catalog.actions.get(task.request.action, ())
            return next((a.offer_for(task.request.model) for a in actions if a.provider == facts_id), None)
        offers = catalog.offers.get(task.request.model, ())
        return next((offer for offer in offers if offer.provider == facts_id), None)

    def _upstream(self, account: Account) -> Upstream:
        facts = self._registry.providers[account.facts_id]
        return Upstream(
            account.provider,
            self._adapt(account),
            facts.batch_limit,
            is_sandbox=account.provider == SANDBOX,
            is_of_caller=account.own_id is not None,
        )


@asynccontextmanager
async def open_clients(
    settings: Settings, adapters: Mapping[str, Adapter] = ADAPTERS
) -> AsyncIterator[ProviderClients]:
    """Open the adapters of every configured account, or a local sandbox if there is none.

    Raises:
        SetupError: a registry file is wrong or names an unknown protocol, an address is not a valid URL, or a plugin
            cannot be loaded.
    """
    registry = load(settings.registry)
    catalog = catalog_of(settings, registry)
    accounts = accounts_of(settings, registry)
    async with AsyncExitStack() as stack:
        if not accounts and settings.sandbox == "auto":
            accounts = [await stack.enter_async_context(_local_sandbox(registry, catalog))]
        is_local = not settings.may_have_caller_keys and all(account.provider == SANDBOX for account in accounts)
        # a new client reads the machine's certificates: not in the event loop
        http = await to_thread.run_sync(partial(new_http_client, local_only=is_local))
        await stack.enter_async_context(http)

        def adapt(account: Account) -> Provider:
            _check_urls(account, registry)
            return adapter_of(registry.providers[account.facts_id].wire, adapters)(account, http)

        yield ProviderClients(registry, catalog, accounts, adapt, CallerAccounts(settings, registry))


def _check_urls(account: Account, registry: Registry) -> None:
    facts = registry.providers[account.facts_id]
    for variable, url in (
        (facts.base_url_variable, account.base_url),
        (facts.poll_url_variable, account.poll_url or ""),
    ):
        try:
            httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise SetupError(
                f"{variable}={url!r} is not a usable URL: {error}.", next_step="Correct or unset this variable."
            ) from error


def adapter_of(wire: str, adapters: Mapping[str, Adapter] = ADAPTERS) -> Adapter:
    """Return the shipped adapter of a protocol, or that of a plugin.

    Raises:
        SetupError: there is none, or the plugin cannot be loaded or has the protocol of a shipped adapter.
    """
    plugins = installed_plugins()
    if wire in adapters and wire in plugins:
        raise SetupError(
            f"The plugin {plugins[wire].package} has the protocol {wire!r}, which journey-mcp has already.",
            next_step="Uninstall this package.",
        )
    if wire in adapters:
        return adapters[wire]
    if wire in plugins:
        adapter: Adapter = plugins[wire].load()
        return adapter
    raise SetupError(
        f"wire={wire!r} is not a known protocol (allowed: {', '.join((*adapters, *plugins))}).",
        next_step="Correct the registry file that JOURNEY_MCP_REGISTRY names, or install the plugin of this protocol.",
    )


@asynccontextmanager
async def _local_sandbox(registry: Registry, catalog: Catalog) -> AsyncIterator[Account]:
    """Run a sandbox on a port of this machine for as long as the block runs."""
    from journey_mcp import sandbox  # noqa: PLC0415  # only without a key

    wire_ids = tuple(offer.wire_id for offers in catalog.offers.values() for offer in offers)
    fake = sandbox.JourneyApiSettings(keys=(SANDBOX_KEY,), credits=1_000_000, extra_models=wire_ids)
    async with sandbox.running(sandbox.Settings(journeyapi=fake)) as running:
        yield replace(sandbox_account(BaseUrl(running.base_url), registry), host=running.host)
