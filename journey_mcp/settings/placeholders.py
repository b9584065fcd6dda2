"""Leftovers of configuration files and documents in settings: references, quotes, placeholders."""

import re

from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import KEY_ENDINGS, is_reference

_UNEXPANDED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_.:-]{0,80}\}")
"""A reference in a configuration file that was not replaced by its value."""
_FIRST_PART = re.compile(r"[^/\\]*")
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\.{2,}|x{3,}|\*+|(?:your|insert|paste|enter|replace)[-_ ].*|your(?:api)?(?:key|token)"
    r"|null|none|undefined|change[-_ ]?me|todo",
    re.IGNORECASE,
)
"""Text of documents and templates in place of a key."""


def check_written(variable: str, value: str, *, is_secret: bool) -> None:
    """Refuse quotes around a value and references or placeholders in place of one. A secret is not shown.

    Raises:
        SetupError: names the variable and the problem.
    """
    if reference := _reference_in(variable, value, is_secret=is_secret):
        raise SetupError(
            f"{variable} has {reference} in it: the reference was not replaced by its value.",
            next_step="Write the value itself, or unset this variable; not every client supports such references.",
        )
    if value[:1] in {'"', "'", "`"} and value[-1:] == value[:1]:
        raise SetupError(
            f"{variable} is in quotes, and the quotes would become part of the value.",
            next_step=f"Set it without the {value[0]} at both ends.",
        )
    if variable.endswith(KEY_ENDINGS):
        _check_alone(variable, value)


def _reference_in(variable: str, value: str, *, is_secret: bool) -> str | None:
    """Return the reference in a value, or `None`."""
    # a secret may contain such characters by chance, and no part of it may be shown
    if found := _UNEXPANDED.fullmatch(value) if is_secret else _UNEXPANDED.search(value):
        return found[0]
    if is_secret:
        return value if variable.endswith(KEY_ENDINGS) and is_reference(value) else None
    firsts = [match[0] for part in value.split(",") if (match := _FIRST_PART.match(part.strip()))]
    return next(filter(is_reference, firsts), None)


def _check_alone(variable: str, key: str) -> None:
    """Refuse a text that is not a key, or is more than a key.

    Raises:
        SetupError: names the variable.
    """
    if _PLACEHOLDER.fullmatch(key):
        raise SetupError(
            f"{variable} is a placeholder, not a key.",
            next_step="Write your key in its place, or unset this variable.",
        )
    if key.startswith(f"{variable}=") or key.strip("\"'`,;") != key:
        raise SetupError(
            f"{variable} has its name, a quote or a comma at an end, which would become part of the key.",
            next_step="Set it to the key alone.",
        )
