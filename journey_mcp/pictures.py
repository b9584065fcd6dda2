"""Pictures that go into a request: an id of an earlier picture becomes the address at which it lies."""

from dataclasses import replace
from urllib.parse import urlsplit

import anyio

from journey_mcp.errors import UnknownImage
from journey_mcp.holdings import Holdings
from journey_mcp.images import ImageId
from journey_mcp.providers import SANDBOX, Account
from journey_mcp.requests import ImageRequest, check_image_url
from journey_mcp.tasks import Status, Task

_LIST = "Call fetch_task without task_ids to see the pictures there are."


async def resolve(request: ImageRequest, holdings: Holdings, principal: str, account: Account) -> ImageRequest:
    """The request with addresses only.

    Raises:
        UnknownImage: an id of no finished picture of the principal's, or of one that the provider cannot reach.
        MalformedUrl: neither an id nor a web address.
    """
    wanted = {text: id_ for text in request.pictures if (id_ := ImageId.parse(text))}
    if request.image is not None and request.image not in wanted:
        check_image_url(request.image, "image")
    for text in request.reference_images:
        if text not in wanted:
            check_image_url(text, "reference_images")
    if not wanted:
        return request
    tasks = await holdings.store.get([id_.task_id for id_ in wanted.values()], principal=principal)
    now = holdings.clock.now()
    urls = {text: _url_of(id_, tasks.get(id_.task_id), account, now) for text, id_ in wanted.items()}
    for text, id_ in wanted.items():
        if tasks[id_.task_id].provider == SANDBOX and not await _is_listening(urls[text]):
            raise UnknownImage(
                f"{id_} is a picture of a sandbox that has ended with its process.",
                next_step="Make the picture again; `journey-mcp sandbox --port 8787` runs a sandbox that lasts.",
            )
    return replace(
        request,
        image=urls.get(request.image, request.image) if request.image is not None else None,
        reference_images=tuple(urls.get(text, text) for text in request.reference_images),
    )


def _url_of(wanted: ImageId, task: Task | None, account: Account, now: float) -> str:
    if task is None:
        raise UnknownImage(f"There is no task {wanted.task_id}.", next_step=_LIST)
    if task.status is not Status.SUCCEEDED:
        hint = f"Call fetch_task with {task.id} until it has succeeded." if not task.status.is_final else _LIST
        raise UnknownImage(f"Task {task.id} is {task.status} and has no picture.", next_step=hint)
    if wanted.number > len(task.images):
        ids = ", ".join(str(ImageId(task.id, n + 1)) for n in range(len(task.images)))
        raise UnknownImage(f"Task {task.id} has no picture {wanted.number}.", next_step=f"It has {ids}.")
    if task.provider == SANDBOX != account.provider:
        raise UnknownImage(
            f"{wanted} is a sandbox picture: {account.provider} cannot reach it.",
            next_step="Make the picture again with imagine, or give a public URL.",
        )
    image = task.images[wanted.number - 1]
    if image.expires_at is not None and image.expires_at <= now:
        raise UnknownImage(f"The link of {wanted} has expired.", next_step="Make the picture again, or give a URL.")
    return image.url


async def _is_listening(url: str) -> bool:
    """Whether somebody is still there to hand the picture out."""
    parts = urlsplit(url)
    try:
        with anyio.fail_after(1):
            await (await anyio.connect_tcp(str(parts.hostname), parts.port or 80)).aclose()
    except (OSError, TimeoutError):
        return False
    return True
