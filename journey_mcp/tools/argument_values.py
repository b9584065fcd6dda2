"""Argument values as models and clients write them: numbers, ratios, ids, and placeholders for no value."""

import re
from typing import Any

from journey_mcp.routing import number_words

_PLACEHOLDERS = frozenset(
    {
        *("", "null", "none", "undefined", "auto", "default", "automatic", "unset", "unspecified", "nil", "nan"),
        *("n/a", "na", "not given", "not provided", "not specified", "not applicable", "omit", "-", "--", "\u2014"),
    }
)
"""What models write for an argument that they want to omit but that a strict schema requires."""
_WRAPPING = " \t\r\n\"'`<>()[]{}.\u2026"
_MAX_PLACEHOLDER_LENGTH = 40
_DIGITS = re.compile(r"(-?\d[\d.,_'\s]{0,40}?)\s{0,9}(?:px|pixels?|s|secs?|seconds?|steps?)?\.?", re.IGNORECASE)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:([,_'\s])\d{3})(?:\1\d{3})*")
_TASK_ID = re.compile(r"(?<![A-Za-z0-9_-])(?i:tsk)(_[A-Za-z0-9_-]{22}(?:\.[1-9]\d{0,2})?)(?![A-Za-z0-9_-])")
_MAX_IDS_LENGTH = 4_000
_ID_KEYS = ("task_ids", "task_id", "ids", "id")
_IMAGE_ID = re.compile(
    r"(?<![A-Za-z0-9_-])(?:tsk_[A-Za-z0-9_-]{22}(?:\.[1-9]\d{0,2})?|up_[A-Za-z0-9_-]{22})(?![A-Za-z0-9_-])"
)
_IMAGE_ID_KEYS = ("image_ids", "image_id", *_ID_KEYS)
_SIDES = re.compile(r"(\d{2,5})\s?[x\u00d7*]\s?(\d{2,5})(?:\s?px)?")
_SIZES = {"small": 320, "thumbnail": 320, "medium": 512, "normal": 512, "large": 1024, "full": 1024, "max": 1024}


def is_placeholder(text: str) -> bool:
    """Return whether the text of an optional argument means no value, such as `null`, `"n/a"` or `<none>`."""
    return len(text) <= _MAX_PLACEHOLDER_LENGTH and text.strip(_WRAPPING).lower() in _PLACEHOLDERS


def parse_number(value: Any) -> Any:
    """Return the number that a text holds, with a unit, with separators or in words; return other values unchanged."""
    if not isinstance(value, str):
        return value
    match = _DIGITS.fullmatch(value.strip())
    if match is None:
        spoken = number_words.value_of(value)
        return value if spoken is None else spoken
    digits = match[1].strip()
    if _THOUSANDS.fullmatch(digits):
        return re.sub(r"[,_'\s]", "", digits)
    return digits.replace(",", ".") if digits.count(",") == 1 and "." not in digits else digits


def parse_ratio(value: Any) -> Any:
    """Return an aspect ratio as text, also from one number, two numbers, or width and height."""
    if isinstance(value, dict) and {"width", "height"} <= set(value):
        value = [value["width"], value["height"]]
    if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):  # noqa: PLR2004  # width and height
        return f"{value[0]}:{value[1]}"
    return str(value) if _is_number(value) else value


def parse_task_ids(value: Any) -> list[Any]:
    """Return the ids in a text, a list or an object, each once; a text without ids is split into words."""
    if isinstance(value, str) and len(value) <= _MAX_IDS_LENGTH:
        ids = [f"tsk{rest}" for rest in _TASK_ID.findall(value)] or re.split(r"[,;|\s]+", value)
        return list(dict.fromkeys(filter(None, ids)))
    if isinstance(value, dict):
        inner = next((value[key] for key in _ID_KEYS if isinstance(value.get(key), str | list)), None)
        return [value] if inner is None else parse_task_ids(inner)
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        found = [id_ for item in value for id_ in parse_task_ids(item)]
        return list(dict.fromkeys(found)) if all(isinstance(id_, str) for id_ in found) else found
    return [value]


def parse_image_ids(value: Any) -> list[Any]:
    """Return the ids of images and tasks in a text, a list, JSON or an object, each once."""
    if isinstance(value, str) and len(value) <= _MAX_IDS_LENGTH:
        ids = [match[0] for match in _IMAGE_ID.finditer(value)] or [value.strip()]
        return list(dict.fromkeys(filter(None, ids)))
    if isinstance(value, dict):
        inner = next((value[key] for key in _IMAGE_ID_KEYS if isinstance(value.get(key), str | list)), None)
        return [value] if inner is None else parse_image_ids(inner)
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        found = [id_ for item in value for id_ in parse_image_ids(item)]
        return list(dict.fromkeys(found)) if all(isinstance(id_, str) for id_ in found) else found
    return [value]


def parse_size(value: Any) -> Any:
    """Return the longest side of a view: a word, a number in any form, or `512x512`; other values unchanged."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    sides = _SIDES.fullmatch(text)
    return max(map(int, sides.groups())) if sides else _SIZES.get(text) or parse_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
