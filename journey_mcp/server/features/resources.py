"""Resources: images, tasks, models and what was spent, for a person to attach to a conversation.

Images are listed one by one, because several clients ask for no templates; the templates name the same URIs.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import mcp_types as types
from mcp import MCPError

from journey_mcp.core.errors import JourneyError, UnknownImage
from journey_mcp.core.images import ImageId
from journey_mcp.core.principals import Principal
from journey_mcp.core.task_query import TaskQuery
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import timestamp
from journey_mcp.server.features import uris
from journey_mcp.studio import Studio
from journey_mcp.tools import availability, listing, model_facts, results
from journey_mcp.tools.availability import Availability
from journey_mcp.tools.tool_set import ToolSet

_LISTED = 50
"""How many images are listed."""
_MOST_PAGES = 5
"""How many times as many tasks are searched for them: tasks that failed have none."""
_MAX_BYTES = 700_000
"""Of an image: as base64, the result stays below 1 MiB, at which Claude Desktop fails."""
_IMAGE_TTL_MS = 3_600_000
_JSON = "application/json"
_TEMPLATES = (
    types.ResourceTemplate(
        uri_template=uris.IMAGE,
        name="image",
        title="Image",
        description="An image that was made, by its id (tsk_….2): the original if it is small, else a JPEG of at most "
        "1,024 pixels.",
    ),
    types.ResourceTemplate(
        uri_template=uris.TASK,
        name="task",
        title="Task",
        description="A task by its id (tsk_…): status, images, cost. Its subscribers learn of its end.",
        mime_type=_JSON,
    ),
    types.ResourceTemplate(
        uri_template=uris.MODEL,
        name="model",
        title="Image model",
        description="What is known about an image model: prices, arguments, limits and advice for prompts.",
        mime_type=_JSON,
    ),
)
_WHOLE = (
    types.Resource(
        uri=uris.MODELS,
        name="models",
        title="Image models",
        description="All image models that can be used here, with their purpose and prices.",
        mime_type=_JSON,
    ),
    types.Resource(
        uri=uris.SPEND,
        name="spend",
        title="Spending",
        description="What was spent today and in the last 30 days, by provider and unit.",
        mime_type=_JSON,
    ),
)


class Reader:
    """Reader of the resources of one principal."""

    def __init__(self, studio: Studio, tool_set: ToolSet, principal: Principal, *, sees_totals: bool = False) -> None:
        """Prepare. `sees_totals`: what was spent is that of all principals."""
        self._studio = studio
        self._tool_set = tool_set
        self._principal = principal
        self._sees_totals = sees_totals

    async def list(self) -> list[types.Resource]:
        """Return all resources but those of single models and tasks: the newest 50 images that can be read."""
        listed: list[types.Resource] = []
        before: str | None = None
        for _ in range(_MOST_PAGES):
            tasks = await self._studio.newest(self._principal, TaskQuery(before=before, limit=_LISTED))
            available = await availability.check_availability(tasks)
            listed += [one for task in tasks for one in self._images(task, available)]
            if len(listed) >= _LISTED or len(tasks) < _LISTED:
                break
            before = tasks[-1].id
        return [*_WHOLE, *listed[:_LISTED]]

    async def read(self, uri: str) -> types.ReadResourceResult:
        """Return the contents of a resource.

        Raises:
            MCPError: there is none with this URI.
            JourneyError: it cannot be read now.
        """
        name = uris.parse(uri)
        match name:
            case uris.ResourceName("models", ""):
                return _json_result(uri, model_facts.list_object(self._tool_set.catalog))
            case uris.ResourceName("models", model_id):
                return self._model(uri, model_id)
            case uris.ResourceName("spend", _):
                spent = await self._studio.spent(None if self._sees_totals else self._principal)
                return _json_result(uri, listing.spend_object(spent, self._tool_set.defaults.credit_prices))
            case uris.ResourceName("tasks", task_id):
                return await self._task(uri, task_id)
            case uris.ResourceName("images", image_id):
                return await self._image(uri, image_id)
        raise not_found(uri)

    async def _image(self, uri: str, image_id: str) -> types.ReadResourceResult:
        try:
            content, mime_type = await self._studio.views.image(image_id, self._principal, max_bytes=_MAX_BYTES)
        except UnknownImage as error:
            raise not_found(uri, str(error)) from error
        blob = types.BlobResourceContents(uri=uri, mime_type=mime_type, blob=b64encode(content).decode())
        # the image of an id never changes
        return types.ReadResourceResult(contents=[blob], ttl_ms=_IMAGE_TTL_MS, cache_scope="private")

    def _model(self, uri: str, model_id: str) -> types.ReadResourceResult:
        catalog = self._tool_set.catalog
        if model_id not in catalog.models:
            raise not_found(uri)
        return _json_result(uri, model_facts.model_object(catalog.models[model_id], catalog.offers[model_id]))

    async def _task(self, uri: str, task_id: str) -> types.ReadResourceResult:
        found = await self._studio.fetch([task_id], self._principal)
        if task_id not in found:
            raise not_found(uri)
        task = found[task_id]
        plain = results.task_object(
            task,
            now=self._studio.now(),
            with_prompt=True,
            with_paths=self._tool_set.defaults.takes_files,
            credit_prices=self._tool_set.defaults.credit_prices,
            available=await availability.check_availability([task]),
            can_edit=self._tool_set.defaults.can_edit,
        )
        return _json_result(uri, plain)

    def _images(self, task: Task, available: Availability) -> Iterator[types.Resource]:
        prompt = results.prompt_excerpt(task.request.prompt)
        for number, image in enumerate(task.images, start=1):
            has_link = available.dead_reason(image, now=self._studio.now()) is None
            if not has_link and available.stored_copy(image) is None:
                continue
            id_ = str(ImageId(task.id, number))
            of_several = f" {number}" if len(task.images) > 1 else ""
            yield types.Resource(
                uri=uris.image_uri(id_),
                name=id_,
                title=f"{prompt}{of_several}",
                description=f"{task.request.model}, {timestamp(task.created_at)}",
            )


def templates() -> Sequence[types.ResourceTemplate]:
    """Return the templates of single images, tasks and models."""
    return _TEMPLATES


def without_images() -> Sequence[types.Resource]:
    """Return the resources that are listed while the tasks cannot be read."""
    return _WHOLE


def not_found(uri: str, reason: str = "") -> MCPError:
    """Return the error for a URI without a resource; it is the same for one of another principal."""
    because = f". {reason}" if reason else ""
    return MCPError(types.INVALID_PARAMS, f"Resource not found: {uri[:300]}{because}", {"uri": uri})


def failure(uri: str, error: JourneyError) -> MCPError:
    """Return the error for a resource that cannot be read now."""
    step = error.failure.next_step
    return MCPError(types.INTERNAL_ERROR, f"{error}{f' {step}' if step else ''}", {"uri": uri})


def _json_result(uri: str, plain: Any) -> types.ReadResourceResult:
    text = json.dumps(plain, ensure_ascii=False, indent=1)
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=_JSON, text=text)])
