"""Plain data: mappings as JSON has them."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")
# `json.dumps` makes a new encoder for each call that does not want its defaults
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact_json(plain: Any) -> str:
    """Return JSON without blanks, with all characters as they are."""
    return _COMPACT.encode(plain)


def without_empty(plain: Mapping[str, Value]) -> dict[str, Value]:
    """Return the entries whose value is neither `None` nor an empty list, tuple or mapping."""
    return {name: value for name, value in plain.items() if value or (value is not None and value not in ([], (), {}))}
