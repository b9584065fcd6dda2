"""`doctor`: looks at everything a picture needs, and says what to do where something is missing."""

import os
import platform
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import anyio

from journey_mcp import __version__
from journey_mcp.accounts import catalog_of
from journey_mcp.cli import console
from journey_mcp.cli.setup import ready_settings
from journey_mcp.connections import open_connections
from journey_mcp.errors import CredentialsRejected, JourneyError, SetupError, Unreachable, UpstreamError
from journey_mcp.providers import SANDBOX, Account, Balance, Provider
from journey_mcp.registry import ProviderFacts, load
from journey_mcp.settings import Settings, misspelled

_PATIENCE_S = 20.0
"""How long a provider has to tell the balance."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    verdict: Literal["ok", "note", "problem"]
    told: str
    next_step: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""


def doctor(*, as_json: bool) -> int:
    """Look at everything and tell; the exit code."""
    findings = [_program(), *_examine()]
    is_well = all(finding.verdict != "problem" for finding in findings)
    if as_json:
        console.result_json({"ok": is_well, "findings": [_plain(finding) for finding in findings]})
    else:
        for finding in findings:
            console.result(f"{finding.verdict:<8} {finding.about}: {finding.told}")
            if finding.next_step:
                console.result(f"{'':<8} -> {finding.next_step}")
        console.result("Everything works." if is_well else "Something has to be done: see above.")
    return console.FINE if is_well else console.FAILED


def _program() -> Finding:
    python, system = platform.python_version(), platform.platform(terse=True)
    return Finding(
        about="journey-mcp",
        verdict="ok",
        told=f"{__version__} on Python {python}, {system}",
        facts={"version": __version__, "python": python, "system": system},
    )


def _examine() -> list[Finding]:
    try:
        settings = ready_settings()
    except SetupError as error:
        return [_problem("settings", error)]
    findings = [_settings(), *anyio.run(_guarded, "database", _database, settings)]
    registry = anyio.run(_guarded, "registry", _registry, settings)
    findings += registry
    if all(finding.verdict != "problem" for finding in registry):
        findings += anyio.run(_guarded, "providers", _providers, settings)
    return findings


def _settings() -> Finding:
    strange = misspelled(os.environ)
    if strange:
        return Finding(
            about="settings",
            verdict="note",
            told=f"{', '.join(strange)}: no setting of journey-mcp has this name, so it does nothing",
            next_step="The README lists all settings.",
        )
    return Finding(about="settings", verdict="ok", told="all are readable")


async def _guarded(
    about: str, look: Callable[[Settings], Awaitable[list[Finding]]], settings: Settings
) -> list[Finding]:
    """What a look finds. Whatever goes wrong in it is what the doctor is asked for."""
    try:
        return await look(settings)
    except JourneyError as error:
        return [_problem(about, error)]
    except Exception as error:  # noqa: BLE001  # no fault of another part may keep the doctor from the rest
        return [Finding(about=about, verdict="problem", told=f"{type(error).__name__}: {error}")]


async def _database(settings: Settings) -> list[Finding]:
    from sqlalchemy.engine import make_url  # noqa: PLC0415  # slow to import, and this may fail

    from journey_mcp.store import open_store  # noqa: PLC0415

    url = settings.resolved_database_url()
    where = make_url(url).render_as_string(hide_password=True)
    async with open_store(url):
        folder = str(settings.resolved_data_dir())
        return [
            Finding(
                about="database",
                verdict="ok",
                told=f"{where} opens (data folder {folder})",
                facts={"url": where, "data_folder": folder},
            )
        ]


async def _registry(settings: Settings) -> list[Finding]:
    catalog = catalog_of(settings, load(settings.registry))
    models, offers = len(catalog.models), sum(map(len, catalog.offers.values()))
    from journey_mcp.server.menu import read_menu  # noqa: PLC0415  # checks the default models

    defaults = read_menu(settings).defaults
    more = f", with {settings.registry}" if settings.registry else ""
    return [
        Finding(
            about="registry",
            verdict="ok",
            told=f"{models} models, {offers} offers; defaults {defaults.imagine} and {defaults.edit_image}{more}",
            facts={"models": models, "offers": offers, "imagine": defaults.imagine, "edit_image": defaults.edit_image},
        )
    ]


async def _providers(settings: Settings) -> list[Finding]:
    providers = load(settings.registry).providers
    async with open_connections(settings) as connections:
        return [
            await _provider(account, provider, providers[account.facts_id])
            for account, provider in connections.providers()
        ]


async def _provider(account: Account, provider: Provider, facts: ProviderFacts) -> Finding:
    try:
        with anyio.fail_after(_PATIENCE_S):
            balance = await provider.balance()
    except TimeoutError:
        return _ailing(account, facts, UpstreamError(f"{account.provider} said nothing for {_PATIENCE_S:g} s."))
    except JourneyError as error:
        return _ailing(account, facts, error)
    if account.provider == SANDBOX:
        return Finding(
            about=SANDBOX,
            verdict="ok",
            told=f"no key is set, so a built-in sandbox makes the pictures: free, and made up ({account.base_url})",
            next_step=f"For real pictures set {facts.key_variable}.",
            facts={"base_url": account.base_url, "key_set": False, "reachable": True},
        )
    return _well(account, facts, balance)


def _well(account: Account, facts: ProviderFacts, balance: Balance) -> Finding:
    is_empty = _is_empty(balance)
    plan = f", plan {balance.plan}" if balance.plan else ""
    add = f"Add credits at {facts.console_url or facts.title}."
    return Finding(
        about=account.provider,
        verdict="problem" if is_empty else "ok",
        told=f"reached at {account.base_url}, key accepted, balance {balance.amount} {balance.unit}{plan}",
        next_step=add if is_empty else None,
        facts={
            "base_url": account.base_url,
            "key_set": True,
            "reachable": True,
            "key_accepted": True,
            "balance": asdict(balance),
        },
    )


def _ailing(account: Account, facts: ProviderFacts, error: JourneyError) -> Finding:
    is_reachable, is_rejected = not isinstance(error, Unreachable), isinstance(error, CredentialsRejected)
    if not is_reachable:
        step = f"Look at the network, the proxy settings, and {facts.base_url_variable}."
    elif is_rejected:
        bare = ", without `Bearer` before it" if account.key.lower().startswith("bearer ") else ""
        step = f"Put a valid key into {facts.key_variable}{bare}; keys stand at {facts.console_url or facts.title}."
    else:
        step = f"Try again later; if it stays, look at {facts.base_url_variable} and at {facts.title}'s status."
    return Finding(
        about=account.provider,
        verdict="problem",
        told=f"asked at {account.base_url}, key set: {error}",
        next_step=step,
        facts={
            "base_url": account.base_url,
            "key_set": True,
            "reachable": is_reachable,
            **({"key_accepted": False} if is_rejected else {}),
            "error": error.failure.code,
        },
    )


def _is_empty(balance: Balance) -> bool:
    try:
        return Decimal(balance.amount) <= 0
    except InvalidOperation:
        return False


def _problem(about: str, error: JourneyError) -> Finding:
    return Finding(about=about, verdict="problem", told=str(error), next_step=error.failure.next_step)


def _plain(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value not in (None, {})}
