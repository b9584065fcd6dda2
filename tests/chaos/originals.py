"""The images of a finished task as its provider has them, with which copies are compared."""

from chaos.journal import Row
from journey_mcp import sandbox

COPIED_AT = ("replicate", "bfl")
"""Providers whose links expire within a day, so that the server copies their images."""


def is_copied(row: Row) -> bool:
    """Return whether the images of a task must have copies."""
    return row.status == "succeeded" and row.provider in COPIED_AT


async def originals_of(row: Row, upstream: sandbox.Running) -> list[bytes]:
    """Return the images of a task that the sandbox has made, in their order; none if it does not know the task."""
    task = upstream.sandbox.tasks.find(row.prediction_id or "")
    if task is None:
        return []
    names = [image["url"].partition("?")[0].rpartition("/")[2] for image in row.outcome["images"]]
    return [await upstream.sandbox.image_cache.get(f"{task.task_id}/{name}", task.images[name]) for name in names]
