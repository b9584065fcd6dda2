"""What the gallery learns beside results: which tools it may call, and the facts of a task that results leave out."""

from collections.abc import Mapping, Sequence
from typing import Any

from journey_mcp import gallery
from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.core.plain import without_empty
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import cleaned
from journey_mcp.registry import Action, Catalog, Offer

_SHOWN_IN_GALLERY = {"imagine", "edit_image", "refine_image", "fetch_task"}
_FOR_BOTH = {"view_image"}
_FOR_THE_GALLERY = {"keep_image"}
_MAX_PROMPT = 1_000
_GRID_SIZE = 4


def tool_meta(tool: str) -> dict[str, Any]:
    """Return the `_meta` of a tool for hosts of MCP Apps; empty for tools without any relation to the gallery."""
    if tool in _SHOWN_IN_GALLERY:
        # older hosts read the second key
        ui = {"resourceUri": gallery.URI, "visibility": ["model", "app"]}
        return {"_meta": {"ui": ui, "ui/resourceUri": gallery.URI}}
    if tool in _FOR_BOTH:
        return {"_meta": {"ui": {"visibility": ["model", "app"]}}}
    if tool in _FOR_THE_GALLERY:
        return {"_meta": {"ui": {"visibility": ["app"]}}}
    return {}


def is_for_models(tool: Mapping[str, Any]) -> bool:
    """Return whether models call the tool, and not the gallery alone."""
    return tool["name"] not in _FOR_THE_GALLERY


def facts_of(task: Task, catalog: Catalog) -> dict[str, Any]:
    """Return what the gallery shows of a task and results leave out.

    The prompt in full, up to a thousand characters; `label`, the model, or the action with the model; `source`, the id
    of the image that was edited or refined; `aspect_ratio` and `candidates`, the expected shape and number of the
    images; `next_step`, if the words for the person differ from those for a model.
    """
    request = task.request
    facts = {
        "tool": request.tool,
        "label": request.label,
        "prompt": cleaned(request.prompt, _MAX_PROMPT),
        "source": _source(request),
        "aspect_ratio": _shape(request),
        "candidates": _GRID_SIZE if _makes_grid(task, catalog) else 1,
        "next_step": task.failure and task.failure.next_step_for_person,
    }
    return without_empty(facts)


def _source(request: ImageRequest) -> str | None:
    image = (request.image or "").strip()
    return image if ImageId.parse(image) or UploadId.parse(image) else None


def _shape(request: ImageRequest) -> str | None:
    if request.width and request.height:
        return f"{request.width}:{request.height}"
    return request.aspect_ratio


def _makes_grid(task: Task, catalog: Catalog) -> bool:
    request = task.request
    made_by: Sequence[Action | Offer] = (
        catalog.actions.get(request.action, ()) if request.action else catalog.offers.get(request.model, ())
    )
    return any(one.result == "grid" for one in made_by)
