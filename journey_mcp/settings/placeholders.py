"""What configuration files and documents leave in the values of settings: references, quotes, placeholders."""

import re

from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import KEY_ENDINGS, is_reference

_UNEXPANDED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_.:-]{0,80}\}")
"""A reference to a variable that a configuration file has and that nothing replaced by its value."""
_FIRST_PART = re.compile(r"[^/\\]*")
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\.{2,}|x{3,}|\*+|(?:your|insert|paste|enter|replace)[-_ ].*|your(?:api)?(?:key|token)"
    r"|null|none|undefined|change[-_ ]?me|todo",
    re.IGNORECASE,
)
"""What documents and templates have in a key's place."""


def check_written(variable: str, value: str, *, is_secret: bool) -> None:
    """Refuse what a configuration file left around or in place of a value; of a secret nothing is shown.

    Raises:
        SetupError: names the variable and what is wrong with it.
    """
    if reference := _reference_in(variable, value, is_secret=is_secret):
        raise SetupError(
            f"{variable} has {reference} in it: nothing has put the value in its place.",
            next_step="Write the value itself, or unset this variable; not every client's file knows such references.",
        )
    if value[:1] in {'"', "'", "`"} and value[-1:] == value[:1]:
        raise SetupError(
            f"{variable} is in quotes, which would be sent or looked for as a part of it.",
            next_step=f"Set it without the {value[0]} at both ends.",
        )
    if variable.endswith(KEY_ENDINGS):
        _check_alone(variable, value)


def _reference_in(variable: str, value: str, *, is_secret: bool) -> str | None:
    """What refers to a value; `None` when nothing does."""
    # a secret may have such characters in it by chance, and a part of it must not be shown
    if found := _UNEXPANDED.fullmatch(value) if is_secret else _UNEXPANDED.search(value):
        return found[0]
    if is_secret:
        return value if variable.endswith(KEY_ENDINGS) and is_reference(value) else None
    firsts = [match[0] for part in value.split(",") if (match := _FIRST_PART.match(part.strip()))]
    return next(filter(is_reference, firsts), None)


def _check_alone(variable: str, key: str) -> None:
    """Refuse what is no key, or more than one.

    Raises:
        SetupError: names the variable.
    """
    if _PLACEHOLDER.fullmatch(key):
        raise SetupError(
            f"{variable} is a placeholder and no key.",
            next_step="Write your key in its place, or unset this variable.",
        )
    if key.startswith(f"{variable}=") or key.strip("\"'`,;") != key:
        raise SetupError(
            f"{variable} has its own name, a quote or a comma at an end, which would be sent as a part of it.",
            next_step="Set it to the key alone.",
        )
