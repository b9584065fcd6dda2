"""Concurrency limits: how many tasks may run at once, written as `25@journeyapi`."""

import re
from collections.abc import Mapping

_PART = re.compile(r"([1-9]\d{0,5})(?:\s*@\s*([a-z0-9_-]+))?", re.IGNORECASE)

Limits = Mapping[str | None, int]
"""Tasks at once, by provider; the key `None` is every provider that is not named."""


def parse_limits_at_once(text: str) -> Limits:
    """Parse a comma-separated list of `N` and `N@PROVIDER`.

    Raises:
        ValueError: names the wrong part and the form.
    """
    found: dict[str | None, int] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _PART.fullmatch(part)
        provider = match[2].lower() if match and match[2] else None
        if match is None or provider in found:
            raise ValueError(
                f"{part!r} must be N or N@PROVIDER with N from 1 to 999999, such as 25@journeyapi, each provider once"
            )
        found[provider] = int(match[1])
    return found


def limit_at(limits: Limits, provider: str) -> int | None:
    """Return the limit of a provider; `None` is no limit."""
    return limits.get(provider, limits.get(None))
