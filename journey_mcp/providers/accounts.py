"""Accounts at providers: one for every key that is set, or one at the sandbox if there is no key."""

from collections.abc import Iterable

from journey_mcp.core.errors import SetupError
from journey_mcp.core.notices import Notice
from journey_mcp.core.redaction import without_userinfo
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.core.urls import BaseUrl
from journey_mcp.providers.base import Account
from journey_mcp.registry import ProviderFacts, Registry
from journey_mcp.registry.selection import SANDBOX_FACTS, configured
from journey_mcp.settings import Settings

SANDBOX_KEY = "sandbox"
"""Every built-in sandbox accepts this key, so that a second process can poll the first one's."""


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


def can_poll(accounts: Iterable[Account], task: Task) -> bool:
    """Return whether a process with these accounts may poll the task; a sandbox may be polled by any process."""
    address = (task.provider, task.base_url)
    return task.provider == SANDBOX or any((account.provider, account.base_url) == address for account in accounts)


def not_polled_reason(task: Task, accounts: Iterable[Account]) -> Notice | None:
    """Return why a process with these accounts does not poll a running task; `None` if it does."""
    if task.status.is_final or can_poll(accounts, task):
        return None
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
