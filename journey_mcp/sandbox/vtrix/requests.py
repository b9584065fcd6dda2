"""Parsing of Vtrix's requests, and their validation errors.

The vendor documents no error texts: the message names the parameter, and the vendor's client shows it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from journey_mcp.sandbox.inputs import InputImages
from journey_mcp.sandbox.parameters import Parameter, problems, read_ratio
from journey_mcp.sandbox.render_specs import Edit, Format, Ratio, RenderSpec, Scene, fit
from journey_mcp.sandbox.vtrix.models import MODELS, Model, extra_model
from journey_mcp.sandbox.vtrix.settings import VtrixSettings

LONG_SIDES_PX: Mapping[str, int] = {"1K": 1024, "1080P": 1024, "2K": 1536, "3K": 1792, "4K": 2048}
"""Smaller than the names say: the images only show that it worked."""
_SIZE = re.compile(r"(\d+)x(\d+)")
_SAFETY_CONTRADICTED = ("flux_kontext_pro", "flux_2_pro")
_RATIO_SWITCH = re.compile(r"(?:^|\s)--ar\s+([1-9]\d{0,2}:[1-9]\d{0,2})(?=\s|$)")


class ValidationError(Exception):
    """A request is rejected with 400 and this message."""


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    """The validated parameters of a request, before its images are loaded."""

    model: Model
    params: Mapping[str, Any]
    """The parameters without nulls."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The model's parameters; images in messages count as one more parameter."""
        return {**self.model.parameters, "messages": Parameter(kind="images", most=99)}

    @property
    def images(self) -> Mapping[str, Any]:
        """The parameters that may contain images."""
        return {
            **self.params,
            "messages": [part["image"] for part in self._parts() if isinstance(part.get("image"), str)],
        }

    @property
    def prompt(self) -> str:
        """The prompt, or an empty text."""
        texts = (self.params.get("prompt"), self.params.get("text"), *(part.get("text") for part in self._parts()))
        return next((text for text in texts if isinstance(text, str)), "")

    @property
    def count(self) -> int:
        """The requested number of images."""
        if self.params.get("result_type") == "series":
            return int(self.params.get("series_amount") or 4)
        count = self.params.get("n")
        return count if isinstance(count, int) and 0 < count < 10 else 1  # noqa: PLR2004 - where no range is stated

    @property
    def image_format(self) -> Format:
        """The encoding of the results."""
        return "png" if self.params.get("output_format") == "png" else "jpg"

    @property
    def size(self) -> tuple[int, int] | None:
        """The requested width and height; None if there are none."""
        width, height = self.params.get("width"), self.params.get("height")
        if width or height:
            return width or self.model.size[0], height or self.model.size[1]
        match = _SIZE.fullmatch(str(self.params.get("size")))
        return (int(match[1]), int(match[2])) if match else None

    @property
    def ratio(self) -> Ratio | None:
        """The requested shape; None if there is none."""
        switch = _RATIO_SWITCH.search(self.prompt) if "text" in self.params else None
        return read_ratio(switch[1] if switch else str(self.params.get("aspect_ratio")))

    def render_specs(self, images: InputImages, seed: int) -> dict[str, RenderSpec]:
        """Return the render specs by file name. The first image is the canvas, the others guide the edit."""
        sources = images.all_but("mask")
        render_spec: Scene | Edit
        if sources:
            render_spec = Edit(
                source=sources[0].content,
                others=tuple(source.content for source in sources[1:]),
                prompt=self.prompt,
                model=self.model.model_id,
                seed=seed,
                image_format=self.image_format,
                ratio=self.ratio if self.size is None else None,
                size=self.size,
            )
        else:
            render_spec = Scene(
                prompt=self.prompt,
                model=self.model.model_id,
                seed=seed,
                size=self.size or self._usual_size(),
                image_format=self.image_format,
            )
        ending = {"jpg": "jpeg"}.get(self.image_format, self.image_format)
        return {f"{index}.{ending}": replace(render_spec, variant=index) for index in range(self.count)}

    def _usual_size(self) -> tuple[int, int]:
        name = str(self.params.get("resolution") or self.params.get("size")).upper()
        long_side_px = LONG_SIDES_PX.get(name, max(self.model.size))
        return fit(self.ratio or self.model.size, long_side_px)

    def _parts(self) -> Iterator[Mapping[str, Any]]:
        """Yield the parts of messages, for models that take messages."""
        value = self.params.get("input")
        messages = value.get("messages") if isinstance(value, dict) else None
        for message in messages if isinstance(messages, list) else ():
            content = message.get("content") if isinstance(message, dict) else None
            yield from (part for part in content if isinstance(part, dict)) if isinstance(content, list) else ()


def read_request(body: Mapping[str, Any], settings: VtrixSettings) -> ParsedRequest:
    """Parse a body of the generation endpoint. Raises ValidationError with the first problem."""
    model = _model(body.get("model"), settings)
    params = _params(body, settings)
    parameters = model.parameters
    if model.model_id in _SAFETY_CONTRADICTED:
        tolerance = replace(parameters["safety_tolerance"], minimum=settings.safety_minimum)
        parameters = {**parameters, "safety_tolerance": tolerance}
    known = {name: value for name, value in params.items() if name in parameters or not model.takes_anything}
    for problem in problems(known, parameters):
        raise ValidationError(f"{problem.name}: {problem.message}")
    if model.one_of and not any(params.get(name) for name in model.one_of):
        raise ValidationError(f"{' or '.join(model.one_of)}: Field required")
    request = ParsedRequest(model=model, params={name: value for name, value in params.items() if value is not None})
    fewest, most = model.pixels
    if request.size and not fewest <= request.size[0] * request.size[1] <= most:
        raise ValidationError(f"size: an image has {fewest} to {most} pixels")
    return request


def check_images(images: InputImages, model: Model) -> None:
    """Raise ValidationError if an image does not have a shape that the model accepts."""
    for name, sources in images.sources.items():
        for source in sources:
            short, long = sorted(source.size)
            if short < model.shortest_side_px or long > model.longest_shape * short:
                raise ValidationError(f"{name}: an image of {source.size[0]} x {source.size[1]} pixels is not accepted")


def _model(model_id: Any, settings: VtrixSettings) -> Model:
    if not isinstance(model_id, str) or not model_id:
        raise ValidationError("model: Field required")
    if model_id in MODELS:
        return MODELS[model_id]
    if model_id in settings.extra_models:
        return extra_model(model_id)
    raise ValidationError(f"model: {model_id} is not supported")


def _params(body: Mapping[str, Any], settings: VtrixSettings) -> Mapping[str, Any]:
    """Return the parameters from the places that the settings allow."""
    beside = {name: value for name, value in body.items() if name not in ("model", "input")}
    if "input" not in body and settings.body == "both":
        return beside
    if beside:
        raise ValidationError(f"{next(iter(beside))}: parameters belong in input[0].params")
    items = body.get("input")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise ValidationError("input: a list with one object is required")
    params = items[0].get("params")
    if not isinstance(params, dict) or len(items[0]) != 1:
        raise ValidationError("input[0]: an object with params alone is required")
    return params
