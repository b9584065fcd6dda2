"""Parsing of Black Forest Labs' requests, and their validation errors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from journey_mcp.sandbox.bfl.models import MODELS, Model, extra_model
from journey_mcp.sandbox.bfl.settings import BflSettings
from journey_mcp.sandbox.bfl.sizes import LARGEST_FLUX_2_PX, margins, size_of
from journey_mcp.sandbox.inputs import InputImages
from journey_mcp.sandbox.parameters import Problem, problems
from journey_mcp.sandbox.render_specs import Edit, Format, RenderSpec, Scene
from journey_mcp.sandbox.sources import Source

_FORMATS: Mapping[str, Format] = {"jpeg": "jpg", "png": "png", "webp": "webp"}


class ValidationError(Exception):
    """A request is rejected with 422 and these problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """The receiver of a webhook about the end of a task."""

    url: str
    secret: str | None


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A validated request with its loaded images."""

    model: Model
    params: Mapping[str, Any]
    """The parameters without nulls."""
    output_format: str
    images: InputImages

    @property
    def prompt(self) -> str:
        """The prompt, or an empty text."""
        return str(self.params.get("prompt", ""))

    @property
    def sources(self) -> tuple[Source, ...]:
        """The input images, the canvas first."""
        return self.images.all_but("mask")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result."""
        return size_of(self.model, self.params, self.sources[0].size if self.sources else None)

    @property
    def cost(self) -> float:
        """The cost in credits."""
        return self.model.cost(self.size)

    @property
    def input_mp(self) -> float | None:
        """Megapixels of all input images; None without any."""
        return round(sum(source.megapixels for source in self.sources), 2) if self.sources else None

    @property
    def output_mp(self) -> float:
        """Megapixels of the result."""
        return round(self.size[0] * self.size[1] / 1_000_000, 2)

    @property
    def webhook(self) -> Webhook | None:
        """The requested webhook; None if there is none."""
        url = self.params.get("webhook_url")
        return Webhook(url=url, secret=self.params.get("webhook_secret")) if url else None

    def render_spec(self, seed: int) -> RenderSpec:
        """Return the render spec of the result."""
        image_format = _FORMATS[self.output_format]
        if not self.sources:
            return Scene(
                prompt=self.prompt,
                model=self.model.model_id,
                seed=seed,
                size=self.size,
                image_format=image_format,
            )
        masks = self.images.sources.get("mask")
        return Edit(
            source=self.sources[0].content,
            others=tuple(source.content for source in self.sources[1:]),
            mask=masks[0].content if masks else None,
            prompt=self.prompt,
            model=self.model.model_id,
            seed=seed,
            image_format=image_format,
            size=None if self.model.size_rule == "source" else self.size,
            margins=margins(self.params),
        )


def model_of(model_id: str, settings: BflSettings) -> Model | None:
    """Return the model that a path names; None if it is unknown."""
    if model_id in MODELS:
        return MODELS[model_id]
    return extra_model(model_id) if model_id in settings.extra_models else None


def read_parameters(body: Mapping[str, Any], model: Model, settings: BflSettings) -> dict[str, Any]:
    """Return the parameters without nulls. Raises ValidationError with all problems."""
    parameters = dict(model.parameters)
    if model.is_kontext:
        wide, _, high = settings.aspect_ratio_limit.partition(":")
        parameters["aspect_ratio"] = replace(parameters["aspect_ratio"], widest=(int(wide), int(high)))
    if not settings.allows_plain_webhooks:
        parameters["webhook_url"] = replace(parameters["webhook_url"], pattern=r"https://.+")
    checked = {name: value for name, value in body.items() if name in parameters or not model.takes_anything}
    found = problems(checked, parameters)
    params = {name: value for name, value in body.items() if value is not None}
    if not found and model.size_rule == "flux-2" and _is_too_large(params):
        found.append(Problem(name="width", type="value_error", message="Value error, at most 4 megapixels are made"))
    if found:
        raise ValidationError(*found)
    return params


def format_of(params: Mapping[str, Any], model: Model, settings: BflSettings) -> str:
    """Return the requested or default output_format."""
    return str(params.get("output_format") or (settings.default_format if model.is_kontext else model.default_format))


def check_sizes(images: InputImages, limit_px: int) -> None:
    """Raise ValidationError if an image has too many pixels."""
    for name, sources in images.sources.items():
        if any(source.size[0] * source.size[1] > limit_px for source in sources):
            message = f"Value error, an image has at most {limit_px / 1_000_000:g} megapixels"
            raise ValidationError(Problem(name=name, type="value_error", message=message))


def _is_too_large(params: Mapping[str, Any]) -> bool:
    return bool((params.get("width") or 64) * (params.get("height") or 64) > LARGEST_FLUX_2_PX)
