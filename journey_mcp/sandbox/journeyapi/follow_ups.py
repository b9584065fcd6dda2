"""JourneyAPI's follow-ups of Midjourney's images, and blends: their requests, validation errors, credits and results.

The documents state the fields, the parents, the credits, and some of the error texts (U8). The other texts are
invented.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from journey_mcp.sandbox.journeyapi.requests import (
    LONG_SIDES_PX,
    JourneyApiSettings,
    ValidationError,
    Webhook,
    is_url,
    read_webhook,
    webhook_errors,
)
from journey_mcp.sandbox.render_specs import (
    DEEPEST,
    Drawn,
    Edit,
    Ratio,
    Refined,
    RenderSpec,
    Scene,
    Sheet,
    depth_of,
    fit,
)
from journey_mcp.sandbox.tasks import Task

Endpoint = Literal["imagine", "reroll", "upscale-1x", "upscale-alt", "upscale-2x-4x", "variations", "pan", "blend"]
"""The endpoints that create tasks, by the end of their paths."""
PATHS: tuple[Endpoint, ...] = (
    "reroll",
    "upscale-1x",
    "upscale-alt",
    "upscale-2x-4x",
    "variations",
    "pan",
    "blend",
)
"""Those besides `imagine`."""
CREDITS: Mapping[Endpoint, float] = {
    "reroll": 4,
    "upscale-1x": 2,
    "upscale-alt": 4,
    "upscale-2x-4x": 2,
    "variations": 4,
    "pan": 4,
    "blend": 4,
}
_SECONDS: Mapping[Endpoint, tuple[float, float]] = {
    "upscale-1x": (15, 45),
    # not listed in the life cycle of a task: plausible
    "upscale-2x-4x": (15, 45),
}
_USUAL_SECONDS = (30, 90)
_GRIDS: tuple[Endpoint, ...] = ("imagine", "reroll", "variations")
_INDEXES = ("1", "2", "3", "4")
_INDEX_ERROR = "index must be 1, 2, 3, or 4"
_DIFFERENCES = {"subtle": 0.15, "strong": 0.6}
_DIFFERENCE = 0.35
_MARGINS = {"left": (0.5, 0, 0, 0), "up": (0, 0.5, 0, 0), "right": (0, 0, 0.5, 0), "down": (0, 0, 0, 0.5)}
_DIMENSIONS: Mapping[str, Ratio] = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2)}
"""The shapes of the dimensions are not documented: those of Midjourney itself."""
_BLENDED = range(2, 6)
MODEL = "midjourney"
Parents = Callable[[str], Task | None]
"""Returns the account's task of an id."""


@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """A validated request of one of these endpoints."""

    endpoint: Endpoint
    task_type: str
    source: Drawn | None = None
    """The image that is refined; `None` for a reroll, and for images at URLs."""
    prompt: str = ""
    change: str = ""
    """What the endpoint does: the type, direction or index."""
    ratio: Ratio = (1, 1)
    """The shape of a new grid."""
    image_urls: tuple[str, ...] = ()
    """The images that are loaded first."""
    webhook: Webhook | None = None

    @property
    def credits(self) -> float:
        """The price."""
        return CREDITS[self.endpoint]

    @property
    def seconds(self) -> tuple[float, float]:
        """The minimum and maximum duration."""
        return _SECONDS.get(self.endpoint, _USUAL_SECONDS)

    @property
    def is_synchronous(self) -> bool:
        """Whether the work happens inside the creating request: never."""
        return False

    @property
    def model_id(self) -> str:
        """The model; an upscale of an image at a URL has none."""
        return "" if self.endpoint == "upscale-2x-4x" and self.image_urls else MODEL


def read_follow_up(
    endpoint: Endpoint, body: Mapping[str, Any], settings: JourneyApiSettings, find: Parents, now: float
) -> FollowUp:
    """Parse a body; `find` returns the account's tasks, as of `now`. Raises ValidationError."""
    if problems := webhook_errors(body, settings):
        raise ValidationError(*problems)
    read = _READERS[endpoint](body, _Context(settings=settings, find=find, now=now))
    return replace(read, webhook=read_webhook(body))


@dataclass(frozen=True, kw_only=True)
class _Context:
    settings: JourneyApiSettings
    find: Parents
    now: float

    def parent(self, body: Mapping[str, Any], *endpoints: Endpoint) -> Task:
        """Return the parent, a finished task of one of these endpoints. Raises ValidationError."""
        task_id = body.get("parent_task_id")
        if not isinstance(task_id, str) or not task_id:
            raise ValidationError("parent_task_id is required")
        task = self.find(task_id)
        if task is None:
            raise ValidationError("parent_task_id not found")
        if not task.is_over(self.now) or task.failure is not None:
            raise ValidationError("parent task is not finished")
        if task.model != MODEL or endpoint_of(task) not in endpoints:
            raise ValidationError(f"parent task must be one of: {', '.join(endpoints)}")
        return task


def endpoint_of(task: Task) -> Endpoint:
    """Return the endpoint that created a task."""
    endpoint: Endpoint = task.notes.get("endpoint", "imagine")
    return endpoint


def _reroll(body: Mapping[str, Any], context: _Context) -> FollowUp:
    prompt = body.get("prompt")
    if prompt is not None and not (isinstance(prompt, str) and prompt.strip()):
        raise ValidationError("prompt must be a text")
    first = _images_of(context.parent(body, "imagine"))[0]
    assert isinstance(first, Scene)  # noqa: S101 - Midjourney edits nothing
    return FollowUp(endpoint="reroll", task_type="reroll", prompt=prompt or first.prompt, ratio=first.size)


def _upscale_1x(body: Mapping[str, Any], context: _Context) -> FollowUp:
    source = _candidate(body, context.parent(body, *_GRIDS))
    return FollowUp(endpoint="upscale-1x", task_type=context.settings.single_task_type, source=source)


def _upscale_alt(body: Mapping[str, Any], context: _Context) -> FollowUp:
    change = _choice(body, "type", ("subtle", "creative"))
    (source,) = _images_of(context.parent(body, "upscale-1x"))
    return FollowUp(endpoint="upscale-alt", task_type=f"upscale-{change}", source=source, change=change)


def _upscale_2x_4x(body: Mapping[str, Any], context: _Context) -> FollowUp:
    change = _choice(body, "type", ("2x", "4x"))
    url = body.get("image_url")
    if (url is None) == (body.get("parent_task_id") is None):
        raise ValidationError("exactly one of parent_task_id and image_url is required")
    read = FollowUp(endpoint="upscale-2x-4x", task_type=f"upscale-{change}", change=change)
    if url is None:
        parent = context.parent(body, "imagine", *PATHS)
        images = _images_of(parent)
        return replace(read, source=images[0] if len(images) == 1 else _candidate(body, parent))
    if not is_url(url, ("http", "https")):
        raise ValidationError("image_url must be a public URL")
    return replace(read, image_urls=(url,))


def _variations(body: Mapping[str, Any], context: _Context) -> FollowUp:
    index = body.get("index")
    if isinstance(index, str) and index in _DIFFERENCES and context.settings.variation_index == "any":
        (source,) = _images_of(context.parent(body, "upscale-1x"))
    else:
        source = _candidate(body, context.parent(body, *_GRIDS))
    return FollowUp(endpoint="variations", task_type=f"variation-{index}", source=source, change=str(index))


def _pan(body: Mapping[str, Any], context: _Context) -> FollowUp:
    change = _choice(body, "direction", tuple(_MARGINS))
    (source,) = _images_of(context.parent(body, "upscale-1x"))
    return FollowUp(endpoint="pan", task_type=f"pan-{change}", source=source, change=change)


def _blend(body: Mapping[str, Any], context: _Context) -> FollowUp:  # noqa: ARG001 - it has no parent
    urls = body.get("image_urls")
    if not isinstance(urls, list) or len(urls) not in _BLENDED:
        raise ValidationError("image_urls must contain 2-5 URLs")
    if not all(is_url(url, ("http", "https")) for url in urls):
        raise ValidationError("image_urls must be public URLs")
    dimension = "square" if body.get("dimension") is None else _choice(body, "dimension", tuple(_DIMENSIONS))
    return FollowUp(
        endpoint="blend", task_type="blend", change=dimension, ratio=_DIMENSIONS[dimension], image_urls=tuple(urls)
    )


_READERS: Mapping[Endpoint, Callable[[Mapping[str, Any], _Context], FollowUp]] = {
    "reroll": _reroll,
    "upscale-1x": _upscale_1x,
    "upscale-alt": _upscale_alt,
    "upscale-2x-4x": _upscale_2x_4x,
    "variations": _variations,
    "pan": _pan,
    "blend": _blend,
}


def _choice(body: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = body.get(name)
    if value not in allowed:
        raise ValidationError(f"{name} must be one of: {', '.join(allowed)}")
    return str(value)


def _candidate(body: Mapping[str, Any], parent: Task) -> Drawn:
    """Return the image of a grid that `index` names; a number instead of a text is not accepted."""
    index = body.get("index")
    if index not in _INDEXES:
        raise ValidationError(_INDEX_ERROR)
    return _images_of(parent)[int(str(index)) - 1]


def _images_of(task: Task) -> list[Drawn]:
    return [spec for spec in task.images.values() if not isinstance(spec, Sheet)]


def images_of(follow_up: FollowUp, seed: int, contents: tuple[bytes, ...] = ()) -> dict[str, RenderSpec]:
    """Return the results of a follow-up; `contents` are the images at its URLs."""
    if follow_up.endpoint in {"upscale-1x", "upscale-alt", "upscale-2x-4x"}:
        source = follow_up.source or next(iter(contents), None)
        return {"0.jpg": _upscaled(follow_up, source, seed)} if source else {}
    if follow_up.endpoint == "blend" and not contents:
        return {}
    one, two, three, four = (_variation(follow_up, seed, variant, contents) for variant in range(4))
    panels: dict[str, RenderSpec] = {f"0_{n}.png": panel for n, panel in enumerate((one, two, three, four))}
    return {"grid_0.png": Sheet(panels=(one, two, three, four), image_format="png"), **panels}


def _upscaled(follow_up: FollowUp, source: Drawn | bytes, seed: int) -> Refined:
    scales = {"2x": 2, "4x": 4, "subtle": 2, "creative": 2}
    return Refined(
        source=_shallow(source),
        label=f"{follow_up.endpoint} {follow_up.change}".strip(),
        prompt="" if isinstance(source, bytes) else source.prompt,
        model=MODEL,
        seed=seed,
        image_format="jpg",
        scale=scales.get(follow_up.change, 1),
        difference=0.1 if follow_up.change == "creative" else 0.0,
    )


def _variation(follow_up: FollowUp, seed: int, variant: int, contents: tuple[bytes, ...]) -> Drawn:
    """Return one image of a grid."""
    if follow_up.endpoint == "reroll":
        size = fit(follow_up.ratio, LONG_SIDES_PX["1K"])
        return Scene(prompt=follow_up.prompt, model=MODEL, seed=seed, size=size, image_format="png", variant=variant)
    if follow_up.source is None:
        return Edit(
            source=contents[0],
            prompt=f"blend of {len(contents)} images",
            model=MODEL,
            seed=seed,
            image_format="png",
            ratio=follow_up.ratio,
            others=contents[1:],
            variant=variant,
        )
    is_pan = follow_up.endpoint == "pan"
    return Refined(
        source=_shallow(follow_up.source),
        label=f"{follow_up.endpoint} {follow_up.change}",
        prompt=follow_up.source.prompt,
        model=MODEL,
        seed=seed,
        image_format="png",
        difference=0.0 if is_pan else _DIFFERENCES.get(follow_up.change, _DIFFERENCE),
        margins=_MARGINS[follow_up.change] if is_pan else (0, 0, 0, 0),
        variant=variant,
    )


def _shallow(source: Drawn | bytes) -> Drawn | bytes:
    return source.source if isinstance(source, Refined) and depth_of(source) >= DEEPEST else source
