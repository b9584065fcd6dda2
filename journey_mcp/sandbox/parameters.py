"""Validation of a request's parameters against a model's.

The texts and types of the problems are pydantic's, as in the schema of one of these services.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from journey_mcp.sandbox.render_specs import Ratio
from journey_mcp.sandbox.sources import Form, form_of

Kind = Literal[
    "any",
    "text",
    "integer",
    "number",
    "flag",
    "digits",
    "ratio",
    "image",
    "images",
    "image or images",
    "image objects",
]
"""digits: an integer, as a number or as text. image objects: a list of {"image": ...}."""

ANY_FORM: tuple[Form, ...] = ("url", "base64", "data_uri")
_RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The allowed values of one parameter. null means not given, unless it is required."""

    kind: Kind = "any"
    is_required: bool = False
    allowed: tuple[str, ...] = ()
    """The allowed texts; empty: any."""
    also: tuple[Any, ...] = ()
    """Allowed values besides those that the other fields describe."""
    pattern: str | None = None
    """A regular expression that a text must match."""
    minimum: float = -math.inf
    maximum: float = math.inf
    multiple_of: int | None = None
    shortest: int = 0
    longest: float = math.inf
    """The maximum number of characters."""
    widest: Ratio = (9999, 1)
    """ratio: the widest shape; its inverse is the tallest."""
    forms: tuple[Form, ...] = ANY_FORM
    """The allowed forms of images."""
    fewest: int = 0
    """The minimum number of images in a list."""
    most: int = 1


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why one parameter is rejected."""

    name: str
    type: str
    message: str


def problems(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> list[Problem]:
    """Return all problems of these values. Parameters that the model does not take are problems."""
    return [
        Problem(name=name, type=kind, message=message)
        for name in {**parameters, **values}
        for kind, message in _violations(name, values, parameters.get(name))
    ]


def read_ratio(values: str) -> Ratio | None:
    """Return width and height of `W:H`; None for anything else."""
    match = _RATIO.fullmatch(values)
    return (int(match[1]), int(match[2])) if match else None


def images_in(value: Any, parameter: Parameter) -> list[str]:
    """Return the images in a valid value."""
    if value is None or not parameter.kind.startswith("image"):
        return []
    items = value if isinstance(value, list) else [value]
    return [item["image"] if isinstance(item, dict) else item for item in items]


def _violations(name: str, values: Mapping[str, Any], parameter: Parameter | None) -> Iterator[tuple[str, str]]:
    if parameter is None:
        yield "extra_forbidden", "Extra inputs are not permitted"
    elif values.get(name) is None:
        if parameter.is_required:
            yield "missing", "Field required"
    elif values[name] not in parameter.also:
        yield from _CHECKS[parameter.kind](values[name], parameter)


def _check_any(_value: Any, _parameter: Parameter) -> Iterator[tuple[str, str]]:
    yield from ()


def _check_text(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str):
        yield "string_type", "Input should be a valid string"
    elif len(value) < parameter.shortest:
        yield "string_too_short", f"String should have at least {parameter.shortest} characters"
    elif parameter.allowed and value not in parameter.allowed:
        yield "literal_error", f"Input should be {' or '.join(map(repr, (*parameter.allowed, *parameter.also)))}"
    elif len(value) > parameter.longest:
        yield "string_too_long", f"String should have at most {parameter.longest} characters"
    elif parameter.pattern and not re.fullmatch(parameter.pattern, value):
        yield "string_pattern_mismatch", f"String should match pattern '{parameter.pattern}'"


def _check_integer(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield "int_type", "Input should be a valid integer"
    else:
        yield from _check_range(value, parameter)


def _check_number(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield "float_type", "Input should be a valid number"
    else:
        yield from _check_range(value, parameter)


def _check_digits(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    yield from _check_integer(int(value) if isinstance(value, str) and value.isdecimal() else value, parameter)


def _check_range(value: float, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if value < parameter.minimum:
        yield "greater_than_equal", f"Input should be greater than or equal to {parameter.minimum:g}"
    elif value > parameter.maximum:
        yield "less_than_equal", f"Input should be less than or equal to {parameter.maximum:g}"
    elif parameter.multiple_of and value % parameter.multiple_of:
        yield "multiple_of", f"Input should be a multiple of {parameter.multiple_of}"


def _check_flag(value: Any, _parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, bool):
        yield "bool_type", "Input should be a valid boolean"


def _check_ratio(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    ratio = read_ratio(value) if isinstance(value, str) else None
    wide, high = parameter.widest
    if ratio is None:
        yield "value_error", "Value error, aspect_ratio should read W:H"
    elif max(ratio) * high > min(ratio) * wide:
        yield "value_error", f"Value error, aspect_ratio should be between {wide}:{high} and {high}:{wide}"


def _check_image(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str) or not value:
        yield "string_type", "Input should be a valid string"
    elif form_of(value) not in parameter.forms:
        yield "value_error", f"Value error, an image comes as {' or '.join(parameter.forms)}"


def _check_images(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield "list_type", "Input should be a valid list"
    elif len(value) < parameter.fewest:
        yield "too_short", f"List should have at least {parameter.fewest} items, not {len(value)}"
    elif len(value) > parameter.most:
        yield "too_long", f"List should have at most {parameter.most} items, not {len(value)}"
    else:
        for item in value:
            yield from _check_image(item, parameter)


def _check_image_or_images(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    yield from _check_images([value] if isinstance(value, str) else value, parameter)


def _check_image_objects(value: Any, parameter: Parameter) -> Iterator[tuple[str, str]]:
    is_list = isinstance(value, list)
    images = [item.get("image") if isinstance(item, dict) else None for item in value] if is_list else value
    yield from _check_images(images, parameter)


_CHECKS: Mapping[str, Callable[[Any, Parameter], Iterator[tuple[str, str]]]] = {
    "any": _check_any,
    "text": _check_text,
    "integer": _check_integer,
    "number": _check_number,
    "flag": _check_flag,
    "digits": _check_digits,
    "ratio": _check_ratio,
    "image": _check_image,
    "images": _check_images,
    "image or images": _check_image_or_images,
    "image objects": _check_image_objects,
}
