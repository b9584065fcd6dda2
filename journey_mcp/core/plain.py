"""Plain data: mappings as JSON has them."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def without_empty(plain: Mapping[str, Value]) -> dict[str, Value]:
    """Return the entries whose value is neither `None` nor an empty list, tuple or mapping."""
    return {name: value for name, value in plain.items() if value or (value is not None and value not in ([], (), {}))}
