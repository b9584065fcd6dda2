"""The URIs of resources."""

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

Kind = Literal["images", "tasks", "models", "spend"]

MODELS = "journey://models"
SPEND = "journey://spend"
IMAGE = "journey://images/{id}"
TASK = "journey://tasks/{id}"
MODEL = "journey://models/{id}"
_URI = re.compile(r"journey://(images|tasks|models|spend)(?:/([^/?#]{0,300}))?", re.IGNORECASE)


class ResourceName(NamedTuple):
    """What a URI names: one thing of a kind, or with an empty id the whole of it."""

    kind: Kind
    id: str


def parse(uri: str) -> ResourceName | None:
    """Return what a URI names; `None` if no resource can have it."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    name = ResourceName(match[1].lower(), unquote(match[2] or ""))  # type: ignore[arg-type]  # one of the alternatives
    is_whole = name.kind in {"models", "spend"}
    has_one = name.kind != "spend"
    return name if (has_one if name.id else is_whole) else None


def image_uri(image_id: str) -> str:
    """Return the URI of an image."""
    return IMAGE.replace("{id}", image_id)


def task_uri(task_id: str) -> str:
    """Return the URI of a task."""
    return TASK.replace("{id}", task_id)


def model_uri(model_id: str) -> str:
    """Return the URI of a model."""
    return MODEL.replace("{id}", model_id)
