"""`doctor`: checks everything that making an image needs, and suggests fixes."""

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

import anyio

from journey_mcp import __version__
from journey_mcp.auth.access import access_of, issuer_keys
from journey_mcp.auth.tokens_file import read
from journey_mcp.cli import cooldowns
from journey_mcp.cli.event_loop import run
from journey_mcp.cli.terminal import console
from journey_mcp.core.clock import Clock
from journey_mcp.core.concurrency import limit_at
from journey_mcp.core.errors import (
    CredentialsRejected,
    JourneyError,
    OutOfCredits,
    SetupError,
    Unreachable,
    UpstreamError,
)
from journey_mcp.core.limits import format_amounts, format_credit_prices, format_limits
from journey_mcp.core.next_steps import person_words
from journey_mcp.core.plain import without_empty
from journey_mcp.core.predictions import Handle
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.core.urls import BaseUrl
from journey_mcp.engine.budget import Reach, reaches
from journey_mcp.engine.webhook_policy import SECRET_ORIGINS_SETTING
from journey_mcp.media.local_files import FOLDERS_SETTING
from journey_mcp.media.object_store import open_object_store
from journey_mcp.media.save_folder import SaveFolder
from journey_mcp.net.address_policy import FetchError
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.base import Account, Balance, Provider, SupportsBalance
from journey_mcp.providers.clients import open_clients
from journey_mcp.registry import ProviderFacts, Registry, load
from journey_mcp.registry.plugins import installed_plugins
from journey_mcp.registry.selection import catalog_of
from journey_mcp.settings import Settings, misspelled, variables
from journey_mcp.startup import ready_settings
from journey_mcp.store import open_store
from journey_mcp.store.address import parse, without_password
from journey_mcp.store.cooldowns import Cooldown

_TIMEOUT_S = 15.0
"""Limit for each check."""
_INDENT = 9
"""Where messages begin, behind the verdicts."""
_UNKNOWN_TASK = Handle(prediction_id="journey-mcp-doctor")
"""A task that does not exist: the provider's answer shows whether it accepts the key."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    about: str
    verdict: Literal["ok", "note", "problem"]
    message: str
    next_step: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """The same as data, for programs."""


def doctor(*, as_json: bool) -> int:
    """Check everything, print the findings and return the exit code."""
    findings = [_program(), *_findings()]
    is_healthy = all(finding.verdict != "problem" for finding in findings)
    if as_json:
        console.result_json({"ok": is_healthy, "findings": [_plain(finding) for finding in findings]}, rows="findings")
    else:
        for finding in findings:
            console.result(console.wrapped(f"{finding.verdict:<8} {finding.about}: {finding.message}", hanging=_INDENT))
            if finding.next_step:
                console.result(console.wrapped(f"{'':<8} -> {finding.next_step}", hanging=_INDENT + 3))
        console.result(_summary(findings))
    return console.OK if is_healthy else console.FAILED


def _program() -> Finding:
    python, system = platform.python_version(), platform.platform(terse=True)
    return Finding(
        about="journey-mcp",
        verdict="ok",
        message=f"{__version__} on Python {python}, {system}",
        facts={"version": __version__, "python": python, "system": system},
    )


def _findings() -> list[Finding]:
    try:
        settings = ready_settings()
    except SetupError as error:
        return [_problem("settings", error)]
    return [
        _settings(),
        *_userinfo(settings),
        *_image_sources(settings),
        *_saved_images(settings),
        *_call_rules(settings),
        *run(examine, settings),
    ]


async def examine(settings: Settings, timeout_s: float = _TIMEOUT_S) -> list[Finding]:
    """Check database, image store, registry, authentication and providers concurrently."""
    database, images, registry, authentication, providers = await asyncio.gather(
        _check("database", lambda: _database(settings), timeout_s),
        _check("image store", lambda: _image_store(settings), timeout_s),
        _check("registry", lambda: _registry(settings), timeout_s),
        _check("authentication", lambda: _authentication(settings), 2 * timeout_s),
        _check("providers", lambda: _providers(settings, timeout_s), 2 * timeout_s),
    )
    if any(finding.verdict == "problem" for finding in registry):
        providers = []  # they would repeat the problem
    return [*database, *images, *registry, *authentication, *providers]


def _settings() -> Finding:
    unknown = misspelled(os.environ)
    if unknown:
        return Finding(
            about="settings",
            verdict="note",
            message=f"{', '.join(unknown)}: not a setting of journey-mcp; it has no effect",
            next_step="The README lists all settings.",
        )
    return Finding(about="settings", verdict="ok", message="all are valid")


def _userinfo(settings: Settings) -> Iterator[Finding]:
    """Report base URLs with a user name or a password."""
    found = [name for name in variables() if isinstance(url := settings.value_of(name), BaseUrl) and url.has_userinfo]
    if found:
        yield Finding(
            about="addresses",
            verdict="note",
            message=f"{', '.join(found)}: user name and password are sent only if the key has a separate header",
            next_step="Remove them if they are not needed. Keys belong in the variables for keys.",
        )


def _image_sources(settings: Settings) -> Iterator[Finding]:
    """Report additional sources of input images."""
    if settings.image_dirs:
        missing = [str(folder) for folder in settings.image_dirs if not folder.is_dir()]
        gone = f"; folder not found: {', '.join(missing)}" if missing else ""
        yield Finding(
            about="image folders",
            verdict="note" if missing else "ok",
            message=f"images may also be read from {', '.join(map(str, settings.image_dirs))}{gone}",
            next_step=f"Create the folder, or correct {FOLDERS_SETTING}." if missing else None,
            facts={"folders": list(map(str, settings.image_dirs)), "missing": missing},
        )
    if settings.trusted_hosts:
        hosts = list(map(str, settings.trusted_hosts.hosts))
        yield Finding(
            about="trusted hosts",
            verdict="ok",
            message=f"images are also fetched over plain HTTP and from private addresses at {', '.join(hosts)}",
            facts={"hosts": hosts},
        )


def _saved_images(settings: Settings) -> Iterator[Finding]:
    """Report the folder in which finished images appear for the person."""
    if settings.save_dir is None:
        return
    folder = SaveFolder(settings.save_dir)
    facts = {"folder": str(folder.path)}
    try:
        folder.prepare()
    except OSError as error:
        yield Finding(
            about="saved images",
            verdict="problem",
            message=f"finished images cannot be saved in {folder.path}: {error.strerror}",
            next_step="Create the folder, make it writable, or correct JOURNEY_MCP_SAVE_DIR.",
            facts=facts,
        )
    else:
        yield Finding(
            about="saved images", verdict="ok", message=f"finished images are saved in {folder.path}", facts=facts
        )


def _call_rules(settings: Settings) -> Iterator[Finding]:
    """Report what applies to every call: limits on spending, and webhooks."""
    yield _spending(settings)
    if settings.public_url:
        command = "journey-mcp serve --webhooks HOST:PORT"
        yield Finding(
            about="webhooks",
            verdict="ok",
            message=f"providers send webhooks to {settings.public_url} while `{command}` runs",
            facts={"public_url": settings.public_url},
        )
    if settings.webhook_secret or settings.webhook_origins or settings.webhook_secret_origins:
        yield _outbound_webhooks(settings)


def _outbound_webhooks(settings: Settings) -> Finding:
    """Report how webhooks are sent to a `webhook_url`."""
    origins = list(map(str, settings.webhook_origins))
    secret_origins = list(map(str, settings.webhook_secret_origins))
    is_signed = settings.webhook_secret is not None
    where = f"to {', '.join(origins)} only" if origins else "to any public HTTPS address"
    message = "signed" if is_signed else "not signed: set JOURNEY_MCP_WEBHOOK_SECRET to sign them"
    if secret_origins:
        with_secret = f"with the secret to {', '.join(secret_origins)}"
        message = f"{message}, {with_secret if is_signed else f'{SECRET_ORIGINS_SETTING} has no effect without it'}"
    return Finding(
        about="webhook_url",
        verdict="ok" if is_signed else "note",
        message=f"webhooks are sent {where}, {message}",
        facts={"signed": is_signed, "origins": origins, "secret_origins": secret_origins},
    )


def _spending(settings: Settings) -> Finding:
    """Report the limits, and what they apply to unless that is everything."""
    known = {
        "budget": format_limits(settings.budget),
        "confirm_above": format_amounts(settings.confirm_above),
        "credit_price": format_credit_prices(settings.credit_price),
    }
    limits = f"limits {known['budget']}" if settings.budget else "no limit"
    asked = f", confirmation above {known['confirm_above']}" if settings.confirm_above else ""
    found = _reaches(settings)
    partial = "".join(f"; {reach}" for reach in found if reach.missed or not reach.covered)
    unused_limit = next((reach for reach in found if not reach.covered), None)
    return Finding(
        about="spending",
        verdict="note" if unused_limit else "ok",
        message=f"{limits}{asked} (JOURNEY_MCP_BUDGET, JOURNEY_MCP_CONFIRM_ABOVE){partial}",
        next_step=unused_limit.next_step if unused_limit else None,
        facts={
            **{name: value for name, value in known.items() if value},
            **({"covers": {reach.limit: list(reach.covered) for reach in found}} if found else {}),
        },
    )


def _reaches(settings: Settings) -> list[Reach]:
    """Return what every limit applies to; nothing for the sandbox, which is free."""
    try:
        registry = load(settings.registry)
        return list(reaches(settings, catalog_of(settings, registry))) if accounts_of(settings, registry) else []
    except SetupError:
        return []  # the finding on the registry or the providers reports it


async def _check(about: str, check: Callable[[], Awaitable[list[Finding]]], timeout_s: float) -> list[Finding]:
    """Run a check. Any error in it is a finding."""
    try:
        with anyio.fail_after(timeout_s):
            return await check()
    except JourneyError as error:
        return [_problem(about, error)]
    except TimeoutError:
        return [Finding(about=about, verdict="problem", message=f"no result within {timeout_s:g} s")]
    except Exception as error:  # noqa: BLE001  # a fault in one check must not prevent the others
        return [Finding(about=about, verdict="problem", message=f"{type(error).__name__}: {error}")]


def _summary(findings: Sequence[Finding]) -> str:
    if any(finding.verdict == "problem" for finding in findings):
        return "There are problems: see above."
    hints = any(finding.verdict == "note" and finding.next_step for finding in findings)
    return "It works. The notes suggest improvements." if hints else "Everything works."


async def _image_store(settings: Settings) -> list[Finding]:
    """Write, read and delete an object, if there is an object store."""
    if settings.store is None:
        return []
    facts = {"store": str(settings.store)}
    async with open_store(settings.resolved_database_url()) as store:
        try:
            await open_object_store(settings.store, store.objects).check()
        except OSError as error:
            return [
                Finding(
                    about="image store",
                    verdict="problem",
                    message=f"{settings.store}: {error}",
                    next_step="Correct JOURNEY_MCP_STORE or its credentials, which docs/images.md names.",
                    facts=facts,
                )
            ]
    return [
        Finding(about="image store", verdict="ok", message=f"{settings.store} can be written and read", facts=facts)
    ]


async def _database(settings: Settings) -> list[Finding]:
    url = settings.resolved_database_url()
    where = without_password(parse(url))
    async with open_store(url):
        folder = str(settings.resolved_data_dir())
        return [
            Finding(
                about="database",
                verdict="ok",
                message=f"{where} can be opened (data folder {folder})",
                facts={"url": where, "data_folder": folder},
            )
        ]


async def _registry(settings: Settings) -> list[Finding]:
    catalog = catalog_of(settings, load(settings.registry))
    models, offers = len(catalog.models), sum(map(len, catalog.offers.values()))
    from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415  # validates the default models

    defaults = read_tool_set(settings).defaults
    default_models = " and ".join(model or "none" for model in (defaults.imagine, defaults.edit_image))
    plugins = [plugin.package for plugin in installed_plugins().values()]
    more = f", with {', '.join([*plugins, *map(str, settings.registry)])}" if plugins or settings.registry else ""
    return [
        Finding(
            about="registry",
            verdict="ok",
            message=f"{models} models, {offers} offers; defaults {default_models}{more}",
            facts={
                "models": models,
                "offers": offers,
                "imagine": defaults.imagine,
                "edit_image": defaults.edit_image,
                **({"plugins": plugins} if plugins else {}),
            },
        )
    ]


async def _authentication(settings: Settings) -> list[Finding]:
    """Check which tokens a server over HTTP would accept; nothing without authentication."""
    accepted: list[str] = []
    facts: dict[str, Any] = {}
    if access_of(settings) is None:
        return []
    if file := settings.tokens_file:
        parsed = read(file)
        accepted.append(f"{len(parsed.entries)} tokens in {file}")
        facts |= {"tokens": len(parsed.entries), "problems": list(parsed.problems)}
    if issuer := settings.oauth_issuer:
        try:
            count = await issuer_keys(settings, issuer, Clock()).count()
        except FetchError as error:
            next_step = "Correct JOURNEY_MCP_OAUTH_ISSUER, or make it reachable from here."
            raise SetupError(f"the keys of {issuer} cannot be had: {error}", next_step=next_step) from error
        audience = settings.oauth_audience or settings.endpoint_url
        accepted.append(f"access tokens of {issuer} for {audience}, with {count} keys")
        facts |= {"issuer": issuer, "audience": audience, "keys": count}
    wrong = facts.get("problems", ())
    return [
        Finding(
            about="authentication",
            verdict="note" if wrong else "ok",
            message="; ".join([*accepted, *(f"skipped {problem}" for problem in wrong)]),
            next_step="Correct or remove these lines of the tokens file." if wrong else None,
            facts=facts,
        ),
        *_caller_keys(settings),
    ]


def _caller_keys(settings: Settings) -> list[Finding]:
    """Report tokens whose provider keys cannot be used."""
    entries = read(settings.tokens_file).entries if settings.tokens_file and settings.secret is None else ()
    names = [entry.name for entry in entries if entry.keys]
    if not names:
        return []
    return [
        Finding(
            about="keys of callers",
            verdict="problem",
            message=f"provider keys in the tokens file cannot be stored sealed: those of {', '.join(names)}",
            next_step="Set JOURNEY_MCP_SECRET; `openssl rand -hex 32` makes a secret.",
        )
    ]


async def _providers(settings: Settings, timeout_s: float) -> list[Finding]:
    registry = load(settings.registry)
    async with open_clients(settings) as clients:
        accounts = list(clients.providers())
        checks = (_provider(account, provider, registry, timeout_s) for account, provider in accounts)
        found, on_cooldown = await asyncio.gather(asyncio.gather(*checks), cooldowns.read_cooldowns(settings))
    limits = settings.max_concurrent
    findings = [_with_cooldown(_with_limit(f, limit_at(limits, f.about)), on_cooldown.get(f.about)) for f in found]
    return [*findings, *_unused(settings, registry, {account.provider for account, _ in accounts})]


def _with_limit(finding: Finding, limit: int | None) -> Finding:
    """Add the limit on concurrent tasks to the finding on a provider."""
    if limit is None:
        return finding
    message = f"{finding.message}; at most {limit} task{'s' if limit > 1 else ''} at once"
    return replace(finding, message=message, facts={**finding.facts, "max_concurrent": limit})


def _with_cooldown(finding: Finding, cooldown: Cooldown | None) -> Finding:
    """Add the cooldown to the finding on a provider, whatever it answers now."""
    if cooldown is None:
        return finding
    return replace(
        finding,
        verdict="note" if finding.verdict == "ok" else finding.verdict,
        message=f"{finding.message.removesuffix('.')}; tried last: {cooldowns.describe(cooldown)}",
        next_step=finding.next_step or "Fix the cause, or wait until then. Other providers run its models meanwhile.",
        facts={**finding.facts, "rests": {"until": cooldowns.until(cooldown), "reason": cooldown.reason}},
    )


async def _provider(account: Account, provider: Provider, registry: Registry, timeout_s: float) -> Finding:
    facts = registry.providers[account.facts_id]
    try:
        with anyio.fail_after(timeout_s):
            balance = await _probe(provider)
    except TimeoutError:
        return _unhealthy(account, facts, UpstreamError(f"{account.provider} did not answer within {timeout_s:g} s."))
    except JourneyError as error:
        return _unhealthy(account, facts, error)
    if account.provider == SANDBOX:
        keys = ", ".join(provider.key_variable for provider in registry.providers.values())
        return Finding(
            about=SANDBOX,
            verdict="ok",
            message=f"no key is set: a built-in sandbox makes free, made-up images ({account.base_url})",
            next_step=f"For real images set the key of a provider: {keys}.",
            facts={"base_url": account.base_url, "key_set": False, "reachable": True},
        )
    return _healthy(account, facts, balance)


async def _probe(provider: Provider) -> Balance | None:
    """Send one free request; return the balance, or `None` if the provider reports none."""
    if isinstance(provider, SupportsBalance):
        return await provider.balance()
    await provider.fetch([_UNKNOWN_TASK])
    return None


def _healthy(account: Account, facts: ProviderFacts, balance: Balance | None) -> Finding:
    known = {"base_url": account.base_url, "key_set": True, "reachable": True, "key_accepted": True}
    if balance is None:
        return Finding(
            about=account.provider,
            verdict="ok",
            message=f"reachable at {_polled_at(account)}, key not rejected; it reports no balance",
            facts=known,
        )
    is_empty = Decimal(balance.amount) <= 0
    plan = f", plan {balance.plan}" if balance.plan else ""
    return Finding(
        about=account.provider,
        verdict="problem" if is_empty else "ok",
        message=f"reachable at {_polled_at(account)}, key accepted, balance {balance.amount} {balance.unit}{plan}",
        next_step=f"Add money at {_console(facts)}." if is_empty else None,
        facts={**known, "balance": asdict(balance)},
    )


def _unhealthy(account: Account, facts: ProviderFacts, error: JourneyError) -> Finding:
    is_reachable, is_rejected = not isinstance(error, Unreachable), isinstance(error, CredentialsRejected)
    return Finding(
        about=account.provider,
        verdict="problem",
        message=f"request to {_polled_at(account)} failed, key set: {error}",
        next_step=_remedy(account, facts, error),
        facts={
            "base_url": account.base_url,
            "key_set": True,
            "reachable": is_reachable,
            **({"key_accepted": False} if is_rejected else {}),
            "error": error.failure.code,
        },
    )


def _remedy(account: Account, facts: ProviderFacts, error: JourneyError) -> str:
    address = account.base_url_variable if account.poll_url is None else facts.poll_url_variable
    if isinstance(error, Unreachable):
        return f"Check the network, the proxy settings and {address}."
    if isinstance(error, CredentialsRejected):
        return f"Put a valid key into {facts.key_variable}; keys are at {_console(facts)}."
    if isinstance(error, OutOfCredits):
        return f"Add money at {_console(facts)}, or check there that the key in {facts.key_variable} has permission."
    return f"Try again later. If the problem persists, check {address} and the status of {facts.title}."


def _unused(settings: Settings, registry: Registry, used: set[str]) -> Iterator[Finding]:
    """Report providers whose keys are set but not used."""
    if not settings.providers:
        return
    for facts in registry.providers.values():
        if facts.id not in used and settings.value_of(facts.key_variable):
            yield Finding(
                about=facts.id,
                verdict="note",
                message=f"not used: {facts.key_variable} is set, but JOURNEY_MCP_PROVIDERS omits {facts.id}",
                facts={"key_set": True, "used": False},
            )


def _polled_at(account: Account) -> str:
    """Return the address that is polled."""
    return account.poll_url or account.base_url


def _console(facts: ProviderFacts) -> str:
    return facts.console_url or facts.title


def _problem(about: str, error: JourneyError) -> Finding:
    next_step = person_words(error.failure.advice or "")
    return Finding(about=about, verdict="problem", message=str(error), next_step=next_step or None)


def _plain(finding: Finding) -> dict[str, Any]:
    plain = {
        "about": finding.about,
        "verdict": finding.verdict,
        "told": finding.message,
        "next_step": finding.next_step,
        "facts": finding.facts,
    }
    return without_empty(plain)
