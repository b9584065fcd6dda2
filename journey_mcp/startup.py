"""The start of every command: the settings are read and checked, and logs go to stderr."""

import logging
import os
from collections.abc import Mapping
from types import MappingProxyType

from journey_mcp import logs
from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import secrets_in
from journey_mcp.handshake.plugins import has_plugins
from journey_mcp.settings import Settings, misspelled, read_settings

_NOTHING: Mapping[str, str] = MappingProxyType({})


def ready_settings(given: Mapping[str, str] = _NOTHING) -> Settings:
    """Return the settings of the environment, after setting up the logs. `given` replaces variables of it.

    Raises:
        SetupError: as `read_settings`.
    """
    try:
        settings = read_settings({**os.environ, **given})
    except SetupError:
        logs.set_up("warning", secrets_in(os.environ))
        raise
    logs.set_up(settings.log_level, settings.secrets, settings.log_format)
    for name in misspelled(os.environ):
        logging.getLogger("journey_mcp").warning("%s is not a setting of journey-mcp", name)
    return settings


def checked_settings(given: Mapping[str, str] = _NOTHING) -> Settings:
    """Return the settings for a server, which must not fail at its first call; `given` as in `ready_settings`.

    Raises:
        SetupError: as `ready_settings` and `check`.
    """
    settings = ready_settings(given)
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Check plugins and settings that name models, providers or tools, before serving; without them it costs nothing.

    Raises:
        SetupError: as `read_tool_set`, `accounts_of` and `adapter_of`.
    """
    names = (settings.registry, settings.default_model, settings.default_edit_model, settings.providers, settings.tools)
    if any((*names, settings.budget, settings.credit_price, settings.max_concurrent, has_plugins())):
        # not before the first answer
        from journey_mcp.providers.accounts import accounts_of  # noqa: PLC0415
        from journey_mcp.providers.clients import adapter_of  # noqa: PLC0415
        from journey_mcp.registry import load  # noqa: PLC0415
        from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415

        read_tool_set(settings)
        registry = load(settings.registry)
        for account in accounts_of(settings, registry):
            adapter_of(registry.providers[account.facts_id].wire)
