"""Parsing of `input`: a model's parameters, their validation errors, and the requested images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from journey_mcp.sandbox.parameters import problems, read_ratio
from journey_mcp.sandbox.render_specs import Format, Ratio, fit
from journey_mcp.sandbox.replicate.models import Model
from journey_mcp.sandbox.replicate.settings import ReplicateSettings
from journey_mcp.sandbox.sources import SourceError, decode, form_of

LONG_SIDE_PX = 1024
LARGEST_SIDE_PX = 2048
"""Larger requested sizes are drawn at this size, in the same shape."""


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    """A validated input."""

    prompt: str
    ratio: Ratio | None
    """The shape of an edit; None keeps that of the source."""
    size: tuple[int, int]
    """The size of a generated image."""
    image_format: Format
    count: int
    seed: int | None
    source: str | None
    """A URL or a data URI."""


def input_errors(values: Mapping[str, Any], model: Model, settings: ReplicateSettings) -> list[str]:
    """Return why the model rejects this input; an empty list if it is valid."""
    # neither service documents its texts, so they are those of the common validation
    accepted = {
        item.name: item for item in model.inputs if settings.takes_contradicted_inputs or not item.is_contradicted
    }
    known = {name: value for name, value in values.items() if name in accepted or model.is_listed_whole}
    errors = [f"input.{problem.name}: {problem.message}" for problem in problems(known, accepted)]
    # the common validation treats null as a missing field, which no page states
    nulls = [name for name, item in accepted.items() if values.get(name, name) is None and not item.is_required]
    errors += [f"input.{name}: Input should not be null" for name in nulls]
    return errors or [*_data_uri_errors(values, model, settings), *_safety_errors(values, model)]


def read_request(values: Mapping[str, Any], model: Model) -> ParsedRequest:
    """Parse a validated input."""
    # fields that are not validated may have any value
    filled = {item.name: values.get(item.name, item.default) for item in model.inputs}
    # words like match_input_image are not a shape
    ratio = read_ratio(str(filled.get("aspect_ratio")))
    return ParsedRequest(
        prompt=filled["prompt"] or "",
        ratio=ratio,
        size=_size(filled) or fit(ratio or (1, 1), LONG_SIDE_PX),
        # PNG where no page states a format
        image_format=cast("Format", filled.get("output_format") or "png"),
        count=filled.get("num_outputs") or 1,
        seed=filled.get("seed"),
        source=_source(filled, model),
    )


def _data_uri_errors(values: Mapping[str, Any], model: Model, settings: ReplicateSettings) -> Iterator[str]:
    limit = settings.data_uri_limit_bytes
    for name in _image_names(model):
        if name in values and form_of(values[name]) == "data_uri":
            try:
                size_bytes = len(decode(values[name]))
            except SourceError as error:
                yield f"input.{name}: {error}"
            else:
                if size_bytes > limit:
                    yield f"input.{name}: A data URI holds at most {limit} bytes, this one {size_bytes}"


def _image_names(model: Model) -> list[str]:
    return [item.name for item in model.inputs if item.kind == "image"]


def _safety_errors(values: Mapping[str, Any], model: Model) -> list[str]:
    limit = model.safety_limit_with_image
    if limit is None or _source(values, model) is None or values.get("safety_tolerance", 0) <= limit:
        return []
    return [f"input.safety_tolerance: With an input image at most {limit} is allowed"]


def _source(values: Mapping[str, Any], model: Model) -> str | None:
    return next((values[name] for name in _image_names(model) if values.get(name)), None)


def _size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the requested size in pixels, if it has an effect."""
    ratio = values.get("aspect_ratio")
    if "size" in values and ratio == "Not set":
        width, _, height = values["size"].partition("x")
        return _drawable(int(width), int(height))
    # flux-1.1-pro uses width and height with aspect_ratio custom only; without a ratio they always apply
    if "width" in values and ratio in (None, "custom"):
        return _drawable(values["width"] or LONG_SIDE_PX, values["height"] or LONG_SIDE_PX)
    return None


def _drawable(width: int, height: int) -> tuple[int, int]:
    return (width, height) if max(width, height) <= LARGEST_SIDE_PX else fit((width, height), LARGEST_SIDE_PX)
