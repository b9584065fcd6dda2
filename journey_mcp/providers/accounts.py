"""Accounts at providers: one for every key that is set, or one at the sandbox if there is no key."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from journey_mcp.core.errors import SetupError
from journey_mcp.core.key_sealing import KeySealer
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.redaction import without_userinfo
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.core.urls import BaseUrl
from journey_mcp.providers.base import Account
from journey_mcp.registry import ProviderFacts, Registry
from journey_mcp.registry.selection import SANDBOX_FACTS, configured
from journey_mcp.settings import Settings

SANDBOX_KEY = "sandbox"
"""Every built-in sandbox accepts this key, so that a second process can poll the first one's."""
CALLER_KEY_HEADER = "x-journey-key-"
"""How the names of headers begin in which callers send keys of their own; the provider follows."""


def accounts_of(settings: Settings, registry: Registry) -> list[Account]:
    """Return an account for every configured provider, the preferred one first.

    Raises:
        SetupError: as `configured`, or a registry file has a base address that cannot be read.
    """
    return [_account(facts, key, settings) for facts, key in configured(settings, registry)]


def sandbox_account(base_url: BaseUrl, registry: Registry) -> Account:
    """Return the account at a built-in sandbox."""
    facts = registry.providers[SANDBOX_FACTS]
    return Account(
        provider=SANDBOX,
        facts_id=SANDBOX_FACTS,
        base_url=base_url,
        key=SANDBOX_KEY,
        key_variable=facts.key_variable,
        base_url_variable=facts.base_url_variable,
        features=facts.features,
        webhook_retries_s=facts.webhook_retries_s,
        longest_run_s=facts.longest_run_s,
    )


class CallerAccounts:
    """Accounts of callers, at the configured addresses of all providers.

    A key is bound to its principal, its provider and the address: stored for another one it does not open.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._at: dict[str, Account] = {}
        """An account without a key at each provider that was asked for."""

    @cached_property
    def _sealer(self) -> KeySealer | None:
        secret = self._settings.secret
        return KeySealer(secret.keys("keys of callers")) if secret else None

    def of(self, provider: str, key: str, principal: Principal) -> Account:
        """Return the account that a key opens.

        Raises:
            SetupError: there is no such provider, or no secret with which keys are sealed.
        """
        if self._sealer is None:
            raise SetupError(
                "Keys of callers are stored sealed, and JOURNEY_MCP_SECRET is not set. Nothing was sent.",
                next_step=ask_person(
                    "Set it; `openssl rand -hex 32` makes a secret.", who="the person who runs the server"
                ),
            )
        account = self._account_at(provider)
        if account is None:
            raise SetupError(
                f"There is no provider {provider[:80]!r} of which a caller could have a key "
                f"(allowed: {', '.join(self._registry.providers)}).",
                next_step="Correct the header, or the line of the token.",
            )
        return replace(account, key=key, sealed_key=self._sealer.seal(key, _context(principal, account)))

    def opened(self, task: Task) -> Account | None:
        """Return the account of a task that runs with the caller's own key; `None` if the key cannot be opened here."""
        account = self._account_at(task.provider)
        if account is None or self._sealer is None or not self.is_at_address(task):
            return None
        key = self._sealer.open(task.sealed_key or "", _context(task.principal, account))
        return None if key is None else replace(account, key=key, sealed_key=task.sealed_key)

    def is_at_address(self, task: Task) -> bool:
        """Return whether a caller's key of now would be sent where the task's was."""
        account = self._account_at(task.provider)
        return account is not None and task.base_url.partition("#")[0] == account.base_url

    def _account_at(self, provider: str) -> Account | None:
        if provider not in self._at:
            facts = self._registry.providers.get(provider)
            if facts is None:
                return None
            self._at[provider] = replace(_account(facts, "", self._settings), key_variable=header_of(provider))
        return self._at[provider]


def header_of(provider: str) -> str:
    """Return the name of the header with which a caller sends a key of their own."""
    return f"{CALLER_KEY_HEADER}{provider}"


def _context(principal: Principal, account: Account) -> tuple[str, str, str]:
    return principal, account.provider, account.base_url


def can_poll(accounts: Iterable[Account], task: Task) -> bool:
    """Return whether a process with these accounts may poll the task; a sandbox may be polled by any process."""
    address = (task.provider, task.base_url)
    return task.provider == SANDBOX or any((account.provider, account.address) == address for account in accounts)


def not_polled_reason(task: Task, accounts: Iterable[Account]) -> Notice | None:
    """Return why a process with these accounts does not poll a running task; `None` if it does."""
    if task.status.is_final or can_poll(accounts, task):
        return None
    if task.has_own_key:
        return Notice.of("key_sealed", provider=task.provider)
    return Notice.of("not_configured", provider=task.provider, base_url=task.base_url)


def _account(facts: ProviderFacts, key: str, settings: Settings) -> Account:
    return Account(
        provider=facts.id,
        facts_id=facts.id,
        base_url=settings.address(facts.base_url_variable) or _stated(facts),
        key=key,
        key_variable=facts.key_variable,
        base_url_variable=facts.base_url_variable,
        poll_url=settings.address(facts.poll_url_variable),
        features=facts.features,
        webhook_retries_s=facts.webhook_retries_s,
        longest_run_s=facts.longest_run_s,
    )


def _stated(facts: ProviderFacts) -> BaseUrl:
    try:
        return BaseUrl(facts.base_url)
    except ValueError as error:
        raise SetupError(
            f"Provider {facts.id}: base_url={without_userinfo(facts.base_url)!r}: {error}.",
            next_step="Correct the registry file that JOURNEY_MCP_REGISTRY names.",
        ) from None
