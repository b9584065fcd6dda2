"""The parser of tool arguments: it checks names and types. `routing` checks what a model supports."""

import logging
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.images import ImageId
from journey_mcp.core.requests import LONGEST_DATA, LONGEST_NEGATIVE_PROMPT, LONGEST_PROMPT, ImageRequest, ModelTool
from journey_mcp.core.task_query import TaskQuery, parse_search
from journey_mcp.core.views import DEFAULT_VIEW_SIZE, VIEW_SIZES, Layout
from journey_mcp.tools import argument_values
from journey_mcp.tools.argument_names import ToolContext, is_added_by_client, match_name
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.image_arguments import image_texts, parse_json, single_image


def _as_list(value: Any) -> Any:
    """Return a list for one string or for JSON text: models sometimes send these instead of an array."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            many = parse_json(text)
            return value if many is None else many
        return [text] if text else None
    return value


def _ids(value: Any) -> Any:
    return argument_values.parse_task_ids(value) if isinstance(value, str | list | dict) else value


def _task_id(value: Any) -> Any:
    """Return the task of the one id in a text; return other values unchanged."""
    ids = _ids(value)
    if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str):
        return value
    image = ImageId.parse(ids[0])
    return image.task_id if image else ids[0]


Images = Annotated[list[str], BeforeValidator(image_texts)]
Image = Annotated[str, BeforeValidator(single_image)]


def _reject_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")  # noqa: TRY004  # pydantic reports ValueErrors
    return value


def _number(value: Any) -> Any:
    return argument_values.parse_number(_reject_boolean(value))


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Number = BeforeValidator(_number)
TextOrNumber = Annotated[str, BeforeValidator(argument_values.parse_ratio)]
Switch = Annotated[bool, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)]
Seconds = Annotated[int, Number, Field(ge=0, le=300)]
Side = Annotated[int, Number, Field(ge=1, le=16384)]
Seed = Annotated[int, Number, Field(ge=-1, le=2**63 - 1)]
SmallNumber = Annotated[int, Number, Field(ge=0, le=10_000)]
Factor = Annotated[float, Number, Field(ge=0, le=1000, allow_inf_nan=False)]


_SURROGATE = re.compile("[\ud800-\udfff]")


def _has_invalid_text(value: Any) -> bool:
    # an image as data has megabytes; `isascii` does not read them
    return isinstance(value, str) and ("\0" in value or (not value.isascii() and bool(_SURROGATE.search(value))))


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _check_text(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Reject text that no database and no provider accepts."""
        for name, value in given.items():
            if any(map(_has_invalid_text, value if isinstance(value, list) else [value])):
                raise ValueError(f"{name} has characters that are not text (NUL, or half of a surrogate pair)")
        return given


ArgumentsT = TypeVar("ArgumentsT", bound=_Arguments)


class Imagine(_Arguments):
    """All arguments of `imagine`; the schema shows those that the configured providers support."""

    prompt: str
    model: str | None = None
    reference_images: Images | None = None
    aspect_ratio: TextOrNumber | None = None
    width: Side | None = None
    height: Side | None = None
    resolution: TextOrNumber | None = None
    output_format: str | None = None
    negative_prompt: str | None = None
    seed: Seed | None = None
    prompt_upsampling: Switch | None = None
    safety_tolerance: SmallNumber | None = None
    guidance: Factor | None = None
    steps: SmallNumber | None = None
    provider: str | None = None
    webhook_url: str | None = None
    fresh: Switch = False
    wait_s: Seconds | None = None


class EditImage(Imagine):
    """All arguments of `edit_image`."""

    image: Image
    mask: Image | None = None


class RefineImage(_Arguments):
    """All arguments of `refine_image`; which actions there are is checked with the registry."""

    image: Image
    action: str
    prompt: str | None = None
    webhook_url: str | None = None
    fresh: Switch = False
    wait_s: Seconds | None = None


TaskIds = Annotated[
    list[Annotated[str, Field(max_length=64)]], BeforeValidator(_ids), Field(min_length=1, max_length=20)
]
"""Each at most 64 characters; ours have 26."""


class FetchTask(_Arguments):
    """All arguments of `fetch_task`."""

    task_ids: TaskIds | None = None
    query: str | None = None
    before: Annotated[str, BeforeValidator(_task_id)] | None = None
    wait_for: Annotated[Literal["all", "any"], BeforeValidator(_lower)] = "all"
    wait_s: Seconds | None = None

    @model_validator(mode="after")
    def _lists_or_fetches(self) -> Self:
        listing = [name for name in ("query", "before") if getattr(self, name) is not None]
        if self.task_ids is not None and listing:
            raise ValueError(
                f"{' and '.join(listing)} cannot be given with task_ids: leave out task_ids to list tasks, or leave "
                f"out {' and '.join(listing)} to get these tasks"
            )
        return self


class CancelTask(_Arguments):
    """All arguments of `cancel_task`."""

    task_ids: TaskIds


def task_query(arguments: FetchTask, *, limit: int) -> TaskQuery:
    """Return which tasks the arguments of `fetch_task` list.

    Raises:
        InvalidArguments: the query has a date that does not exist, or too many words.
    """
    try:
        return parse_search(arguments.query or "", before=arguments.before, limit=limit)
    except ValueError as error:
        raise InvalidArguments(f"fetch_task: query={arguments.query!r}: {error}.") from error


ImageIds = Annotated[
    list[Annotated[str, Field(max_length=200)]],
    BeforeValidator(argument_values.parse_image_ids),
    Field(min_length=1, max_length=20),
]


def _view_size(value: Any) -> Any:
    """Return the nearest size of a view; other values than numbers unchanged."""
    size = _number(argument_values.parse_size(value))
    is_number = isinstance(size, int | float) or (isinstance(size, str) and size.isdecimal())
    return min(VIEW_SIZES, key=lambda one: abs(one - float(size))) if is_number else size


class ViewImage(_Arguments):
    """All arguments of `view_image`."""

    image_ids: ImageIds
    size: Annotated[int, BeforeValidator(_view_size)] = DEFAULT_VIEW_SIZE
    layout: Annotated[Layout, BeforeValidator(_lower)] = "sheet"


class KeepImage(_Arguments):
    """All arguments of `keep_image`."""

    data: str
    mask_of: str | None = None


_SIDES = frozenset({"width", "height", "size"})
_LISTS = frozenset({"reference_images", "task_ids", "image_ids"})
_STRUCTURED = frozenset({"image", "mask", *_LISTS})
"""Arguments with values that have a parser of their own."""
_MAX_LENGTHS = {
    "prompt": LONGEST_PROMPT,
    "negative_prompt": LONGEST_NEGATIVE_PROMPT,
    "webhook_url": 2_083,
    "task_ids": 4_000,
    "image_ids": 4_000,
    "data": LONGEST_DATA,
}
"""Maximum characters of a text, checked first. Images may be data; their parser limits them."""
_MAX_OTHER_LENGTH = 200
_IMAGES = frozenset({"image", "mask", "reference_images"})
_MAX_ITEMS = 100
"""Maximum items of an array; every argument accepts far fewer."""
_MAX_SHOWN = 80

_log = logging.getLogger(__name__)


def parse(kind: type[ArgumentsT], tool: str, given: Mapping[str, Any] | None, context: ToolContext) -> ArgumentsT:
    """Parse the arguments of a call.

    Names may have any spelling (`aspectRatio`). An optional argument that is empty, or a word such as `null` or
    `default`, counts as omitted. A model that takes no prompt needs none. Arguments that clients add for themselves are
    dropped, as are unknown arguments without a value.

    Raises:
        InvalidArguments: names each wrong argument, its value, and what is allowed.
    """
    named, unknown = _by_name(kind, tool, _unwrap(kind, given or {}))
    arguments: dict[str, Any] = {}
    for name, value in named.items():
        if problem := _length_problem(name, value):
            raise InvalidArguments(f"{tool}: {problem}.")
        if (meant := _given_value(name, value, is_required=kind.model_fields[name].is_required())) is not None:
            arguments[name] = meant
    if isinstance(provider := arguments.get("provider"), str):
        arguments["provider"] = context.provider(provider)
    if context.takes_no_prompt(arguments.get("model")):
        arguments.setdefault("prompt", "")
    problems = []
    try:
        parsed = kind.model_validate(arguments)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors(include_url=False)]
    else:
        if not unknown:
            return parsed
    if unknown:
        problems.append(context.correction(tool, unknown, arguments))
    raise InvalidArguments(f"{tool}: {'; '.join(problems)}.")


def _unwrap(kind: type[ArgumentsT], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments without the wrapper of a framework, as in `{"input": {…}}`."""
    inner = (
        next(iter(given.values())) if len(given) == 1 and not match_name(next(iter(given)), kind.model_fields) else None
    )
    is_around = isinstance(inner, dict) and any(match_name(str(name), kind.model_fields) for name in inner)
    return inner if is_around and inner else given


def _by_name(kind: type[ArgumentsT], tool: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the known arguments by our names, and the unknown ones."""
    named: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in given.items():
        known = match_name(name, kind.model_fields)
        if known is None and (is_added_by_client(name) or _without_placeholders(value) is None):
            _log.debug("%s: the argument %s of the client is dropped", tool, name[:_MAX_SHOWN])
        elif known is None:
            unknown[name] = value
        elif named.setdefault(known, value) != value:
            raise InvalidArguments(f"{tool}: {known} is given twice, with different values. Give it once.")
    return named, unknown


def _length_problem(name: str, value: Any) -> str | None:
    """Return what is too long, quoting only its start, or `None`."""
    if isinstance(value, list) and len(value) > _MAX_ITEMS:
        return f"{name[:_MAX_SHOWN]} has {len(value):,} items, far more than the limit"
    if name in _IMAGES:
        return None
    most = _MAX_LENGTHS.get(name, _MAX_OTHER_LENGTH)
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and len(text) > most:
            shown = f"{name[:_MAX_SHOWN]}={text[:_MAX_SHOWN]!r}…"
            return f"{shown} has {len(text):,} characters (at most {most:,} are accepted)"
    return None


def _given_value(name: str, value: Any, *, is_required: bool) -> Any:
    """Return the value of an argument, or `None` when it counts as omitted."""
    if name not in _STRUCTURED and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if is_required:
        return value
    if name == "aspect_ratio" and isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"  # some models have this ratio; for others it is dropped later
    if name in _SIDES and value in (0, "0"):
        return None  # a strict schema requires a number, and no image has a side of 0
    if name == "negative_prompt" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value) if sum(map(len, value)) < LONGEST_NEGATIVE_PROMPT else value
    return _without_placeholders(_as_list(value) if name in _LISTS else value)


def _without_placeholders(value: Any) -> Any:
    """Return the value, or a list without its placeholders; `None` when nothing is left."""
    if isinstance(value, str):
        return None if argument_values.is_placeholder(value) else value
    if value == {}:
        return None
    if isinstance(value, list):
        return [item for item in value if item is not None and _without_placeholders(item) is not None] or None
    return value


def image_request(tool: ModelTool, arguments: Imagine, defaults: Defaults) -> ImageRequest:
    """Return the request that the arguments of `imagine` or `edit_image` describe."""
    return ImageRequest(
        tool=tool,
        prompt=arguments.prompt,
        model=(arguments.model or "").lower() or defaults.model(tool, arguments.provider),
        image=arguments.image if isinstance(arguments, EditImage) else None,
        mask=arguments.mask if isinstance(arguments, EditImage) else None,
        reference_images=tuple(arguments.reference_images or ()),
        aspect_ratio=arguments.aspect_ratio,
        width=arguments.width,
        height=arguments.height,
        resolution=_resolution(arguments.resolution) if arguments.resolution else None,
        output_format=_output_format(arguments.output_format) if arguments.output_format else None,
        negative_prompt=arguments.negative_prompt,
        seed=arguments.seed,
        prompt_upsampling=arguments.prompt_upsampling,
        safety_tolerance=arguments.safety_tolerance,
        guidance=arguments.guidance,
        steps=arguments.steps,
        provider=(arguments.provider or "").lower() or None,
        webhook_url=arguments.webhook_url,
    )


def refine_request(arguments: RefineImage) -> ImageRequest:
    """Return the request that the arguments of `refine_image` describe; the image decides about the model."""
    return ImageRequest(
        tool="refine_image",
        action=arguments.action,
        prompt=arguments.prompt or "",
        model=arguments.action,
        image=arguments.image,
        webhook_url=arguments.webhook_url,
    )


_SIZE_CLASSES = {1024: "1K", 2048: "2K", 3840: "4K", 4096: "4K"}
"""Size classes by the longer side in pixels."""


def _resolution(given: str) -> str:
    """Return a size class for any spelling: `1 k`, `1024`, `2048x2048px`; return other texts unchanged."""
    text = re.sub(r"[\s_]", "", given).lower().removesuffix("px")
    if pixels := re.fullmatch(r"(\d{3,4})(?:[x×*](\d{3,4}))?", text):  # noqa: RUF001  # people write it so
        return _SIZE_CLASSES.get(max(int(pixels[1]), int(pixels[2] or 0)), given)
    return text if re.fullmatch(r"\d+p", text) else text.upper()


def _output_format(given: str) -> str:
    """Return a format from its name, file ending or media type: `jpg`, `.png`, `image/webp`."""
    text = given.lower().removeprefix("image/").removeprefix(".")
    return "jpeg" if text in {"jpg", "jpe", "pjpeg"} else text


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        return f"{name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    if problem["type"] == "missing":
        return f"{name} is missing"
    given = problem["input"]
    if problem["type"] == "string_type" and problem["loc"][0] in _IMAGES:
        return f"{name}={reprlib.repr(given)} is not text: give the id of an earlier image, a URL or a data URI"
    shown = str(given) if isinstance(given, str | int | float) else reprlib.repr(given)
    return f"{name}={shown[:_MAX_SHOWN]!r}: {problem['msg']}"
