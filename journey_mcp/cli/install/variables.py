"""The settings that a client gets: those that are set in this shell, checked, and as they mean the same elsewhere."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from journey_mcp.core.redaction import KEY_ENDINGS
from journey_mcp.registry import load
from journey_mcp.settings import Settings, read_settings, variables

DEFAULT_KEY = "JOURNEYAPI_API_KEY"
"""The key that is asked for if none is set."""


def set_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return all settings that are set, with full paths: clients start servers in other folders.

    Raises:
        SetupError: as `read_settings` and `load`.
    """
    settings = read_settings(environment)
    known = {
        name: _written(getattr(settings, field), environment[name].strip())
        for name, field in variables().items()
        if environment.get(name, "").strip()
    }
    return known | _of_other_providers(settings)


def has_key(names: Iterable[str]) -> bool:
    """Return whether the key of a provider is among these variables; without one the sandbox runs."""
    return any(name.endswith(KEY_ENDINGS) for name in names)


def titles(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the keys of all providers are called, by variable."""
    registry = load(read_settings(environment).registry)
    return {facts.key_variable: f"{facts.title} key" for facts in registry.providers.values()}


def _of_other_providers(settings: Settings) -> dict[str, str]:
    """Return the variables of providers in the user's registry file, and of no other program."""
    if not settings.others:
        return {}
    providers = load(settings.registry).providers.values()
    names = {name for facts in providers for name in (facts.key_variable, facts.base_url_variable)}
    return {name: secret.get_secret_value() for name, secret in settings.others.items() if name in names}


def _written(value: Any, text: str) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple) and value and all(isinstance(part, Path) for part in value):
        return ",".join(str(part.absolute()) for part in value)
    return text
