"""Tasks and errors as the caller sees them: an object, and the same facts as text."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from journey_mcp.core.errors import Failure
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.limits import NO_PRICES, CreditPrices
from journey_mcp.core.money import Cost, Unit
from journey_mcp.core.plain import without_empty
from journey_mcp.core.predictions import Status
from journey_mcp.core.redaction import redactor_of
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.core.text import cleaned, duration, encoded_id, timestamp
from journey_mcp.tools.availability import Availability

_MAX_EXCERPT = 80
_ALL_AVAILABLE = Availability()
_COST_SOURCES = {"registry": "list price", "provider": "reported by the provider"}


class Rendered(NamedTuple):
    """A result: its object, and the same facts as text."""

    plain: dict[str, Any]
    text: str


def task_object(
    task: Task,
    *,
    now: float,
    with_prompt: bool = False,
    with_paths: bool = True,
    credit_prices: CreditPrices = NO_PRICES,
    available: Availability = _ALL_AVAILABLE,
    can_edit: bool = True,
) -> dict[str, Any]:
    """Return a task in the result shape, without unknown fields; `with_paths` is for callers on this machine.

    `can_edit`: the caller has the tool `edit_image`, so that the next step may name it.
    `url` is a link of ours, if the image has one. An image with a dead link has no `url`; its `link` says why, and
    whether there is a copy.
    """
    running = not task.status.is_final
    images = [
        _image(task.id, number, image, now=now, with_path=with_paths, available=available)
        for number, image in enumerate(task.images, start=1)
    ]
    plain: dict[str, Any] = {
        "task_id": task.id,
        "provider_task_id": task.prediction_id and encoded_id(task.prediction_id),
        "status": task.status.value,
        "prompt": prompt_excerpt(task.request.prompt) if with_prompt else None,
        "model": task.request.model,
        "action": task.request.action,
        "parent": _parent(task.request),
        "provider": task.provider,
        "created_at": timestamp(task.created_at),
        # a final task never changes
        "finished_at": None if running else timestamp(task.updated_at),
        "progress": None if task.progress is None else round(task.progress, 3),
        "images": images,
        # its link expires with those of the images
        "grid_url": task.grid_url if not images or any("url" in image for image in images) else None,
        "seed": task.seed,
        "cost": task.cost and _cost(task.cost, credit_prices.get(task.provider)),
        "notices": [str(notice) for notice in (*task.notices, *task.transient_notices)],
        "error": task.failure and error_object(task.failure),
        "poll_after_s": _poll_after_s(task, now) if running else None,
        "next_step": _next_step(task, now, images, usable=_usable(task, now, images, available), can_edit=can_edit),
    }
    known = without_empty(plain)
    secret = task.callback_secret  # only this task's provider can echo it
    return redactor_of(secret).plain(known) if secret else known


def failed_object(failure: Failure, **known: Any) -> dict[str, Any]:
    """Return the same shape for a call that fails before a task exists."""
    plain = {**known, "error": error_object(failure), "next_step": failure.next_step}
    return without_empty(plain)


def kept_object(image_id: str, *, width: int, height: int, mime_type: str) -> Rendered:
    """Return an image that was kept from the person, with its text."""
    plain = {"image_id": image_id, "width": width, "height": height, "mime_type": mime_type}
    return Rendered(plain, f"Stored as {image_id} ({mime_type}, {width}x{height}): use this id in edit_image.")


def error_object(failure: Failure) -> dict[str, Any]:
    """Return the `error` of the result shape."""
    plain = {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.retryable,
        "retry_after_s": failure.retry_after_s,
    }
    return without_empty(plain)


def render(plain: dict[str, Any]) -> Rendered:
    """Return a task object with its text."""
    return Rendered(plain, as_text(plain))


def as_text(plain: dict[str, Any]) -> str:
    """Return a task object as a few lines of text, with all its facts."""
    return "\n".join(_lines(plain))


def prompt_excerpt(prompt: str) -> str:
    """Return the first words of a prompt, on one line."""
    return cleaned(prompt, _MAX_EXCERPT)


def _parent(request: ImageRequest) -> str | None:
    """Return the id of the image that an action refines; images from elsewhere have none."""
    parent = ImageId.parse(request.image) if request.action is not None and request.image else None
    return str(parent) if parent else None


def in_dollars(amount: Decimal, unit: Unit | None, credit_price: Decimal | None) -> dict[str, str]:
    """Return `usd` of an amount in credits, for its object; nothing if credits have no price."""
    if unit != "credits" or credit_price is None:
        return {}
    return {"usd": f"{(amount * credit_price).normalize():f}"}


def amount_text(plain: dict[str, Any], *further: str) -> str:
    """Return the amount of an object as text, with what is known about it in parentheses."""
    details = [*([f"{plain['usd']} USD"] if "usd" in plain else []), *further]
    return f"{plain['amount']} {plain['unit']}" + (f" ({'; '.join(details)})" if details else "")


def _cost(cost: Cost, credit_price: Decimal | None) -> dict[str, Any]:
    plain = {"amount": f"{cost.amount:f}", "unit": cost.unit, "source": cost.source}
    return {**plain, **in_dollars(cost.amount, cost.unit, credit_price)}


def _image(
    task_id: str, number: int, image: OutputImage, *, now: float, with_path: bool, available: Availability
) -> dict[str, Any]:
    ours = image.public_link
    dead = None if ours else available.dead_reason(image, now=now)
    path = available.stored_copy(image)
    expires_at = ours.expires_at if ours else image.expires_at
    if dead and expires_at is not None and expires_at > now:
        expires_at = None  # that of a sandbox that has ended before
    plain = {
        "id": str(ImageId(task_id, number)),
        "url": None if dead else ours.url if ours else image.url,
        "link": dead and f"{dead}, {'copy kept' if available.has_copy(image) else 'no copy'}",
        "path": path if with_path else None,
        "saved_to": image.saved_to if with_path else None,
        "expires_at": None if expires_at is None else timestamp(expires_at),
        "mime_type": image.known_mime_type,
        "width": image.width,
        "height": image.height,
    }
    return without_empty(plain)


def _poll_after_s(task: Task, now: float) -> float:
    """Return the delay of the next call. It grows soon, because a model's turn costs more than a poll of ours."""
    return 5.0 if now - task.created_at < 60 else 30.0  # noqa: PLR2004  # a minute


def _usable(
    task: Task, now: float, images: Sequence[dict[str, Any]], available: Availability
) -> Sequence[dict[str, Any]]:
    """Return the objects of the images that have a link that works, or a copy."""
    return [
        plain
        for plain, image in zip(images, task.images, strict=True)
        if image.public_link or not available.dead_reason(image, now=now) or available.has_copy(image)
    ]


def _next_step(
    task: Task, now: float, images: Sequence[dict[str, Any]], *, usable: Sequence[dict[str, Any]], can_edit: bool
) -> str | None:
    if not task.status.is_final:
        return (
            f'Call fetch_task with task_ids ["{task.id}"] in about {_poll_after_s(task, now):g} s. '
            "The identical call, without fresh, returns this same task."
        )
    if task.status is Status.SUCCEEDED:
        return _after_success(task, images, usable, can_edit=can_edit)
    return task.failure.next_step if task.failure else None


def _after_success(
    task: Task, images: Sequence[dict[str, Any]], usable: Sequence[dict[str, Any]], *, can_edit: bool
) -> str:
    if not usable and any("saved_to" in image for image in images):
        return "Show the files at saved_to; the links are dead, and there is no copy to edit."
    if not usable:
        may_be_renewed = can_edit and task.provider != SANDBOX
        hope = (
            "edit_image takes their ids if their provider gives new links; otherwise only" if may_be_renewed else "Only"
        )
        return f"The links are dead and there is no copy. {hope} a new call, which is charged, makes the image again."
    if not can_edit:
        return _show(usable)
    example = usable[:2][-1]["id"]
    return f'{_show(usable)} To edit an image, call edit_image with image "{example}" (or another id).'


def _show(usable: Sequence[dict[str, Any]]) -> str:
    """Return what to show to the person: links, files, or both."""
    files = next((name for name in ("saved_to", "path") if any(name in image for image in usable)), None)
    what = "The copies" if files == "path" else "The files"
    if not any("url" in image for image in usable):
        return (
            f"Show {what.lower()} at {files}; the links are dead."
            if files
            else "The links are dead; copies are kept here."
        )
    if files is None:
        return "Show the image URLs."
    is_soon = any("expires_at" in image for image in usable)
    return f"Show the images; {'their links expire, ' if is_soon else ''}{what.lower()} at {files} stay."


def _lines(plain: dict[str, Any]) -> Iterable[str]:
    yield _headline(plain)
    yield from _times(plain)
    if prompt := plain.get("prompt"):
        yield f"Prompt: {prompt}"
    if error := plain.get("error"):
        yield f"Error {error['code']}: {error['message']} ({_retry(error)})"
    for image in plain.get("images", ()):
        yield image_line(image)
    if grid := plain.get("grid_url"):
        yield f"Grid of all images: {grid}"
    if seed := plain.get("seed"):
        yield f"Seed: {seed}"
    if cost := plain.get("cost"):
        what = "Cost" if plain.get("status") != Status.FAILED else "Cost, if charged"
        yield f"{what}: {amount_text(cost, _COST_SOURCES[cost['source']])}"
    for notice in plain.get("notices", ()):
        yield f"Notice: {notice}"
    if "poll_after_s" in plain:
        yield f"Poll again after {plain['poll_after_s']:g} s."
    if step := plain.get("next_step"):
        yield f"Next: {step}"


def _times(plain: dict[str, Any]) -> Iterable[str]:
    if created := plain.get("created_at"):
        finished = f", finished {plain['finished_at']}" if "finished_at" in plain else ""
        yield f"Created {created}{finished}"


def _retry(error: dict[str, Any]) -> str:
    after = f"after {duration(error['retry_after_s'])}" if "retry_after_s" in error else ""
    if error["retryable"]:
        return f"may be retried {after}".rstrip()
    return f"do not retry unchanged {after and 'but '}{after}".rstrip()


def _headline(plain: dict[str, Any]) -> str:
    if "task_id" not in plain:
        return f"The call {plain['status']}; no task was created."
    if "status" not in plain:
        return f"Task {plain['task_id']}"
    percent = f", {plain['progress']:.1%} done" if "progress" in plain else ""
    upstream_id = f". Provider id: {plain['provider_task_id']}" if "provider_task_id" in plain else ""
    return f"Task {plain['task_id']}: {plain['status']}{percent} ({_maker(plain)} at {plain['provider']}){upstream_id}"


def _maker(plain: dict[str, Any]) -> str:
    """Return the model of a task object, and what its action refines."""
    if "action" not in plain:
        return str(plain["model"])
    of = f" of {plain['parent']}" if "parent" in plain else ""
    model = f", {plain['model']}" if plain["model"] != plain["action"] else ""
    return f"{plain['action']}{of}{model}"


def image_line(image: dict[str, Any]) -> str:
    """Return an image of a task object as its line in `as_text`."""
    where = f": {known}" if (known := image.get("url") or image.get("link")) else ""
    size = f" {image['width']}x{image['height']}" if "width" in image and "height" in image else ""
    kind = f" {image['mime_type']}" if "mime_type" in image else ""
    verb = "expired" if "link" in image else "link expires"
    expires = f" ({verb} {image['expires_at']})" if "expires_at" in image else ""
    path = f" (copy: {image['path']})" if "path" in image else ""
    saved = f" (saved to: {image['saved_to']})" if "saved_to" in image else ""
    return f"Image {image['id']}{where}{kind}{size}{expires}{path}{saved}"


def listing_text(texts: Sequence[str]) -> str:
    """Return the texts of several tasks as one."""
    return "\n\n".join(texts)
