"""The files of a command's images: which they may be, and saving them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from journey_mcp.cli.images import image_files
from journey_mcp.cli.images.destinations import Destination, Expected, Finished, destination_of
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.images import ImageId
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.registry import Catalog
from journey_mcp.routing.actions import with_resolved_action
from journey_mcp.studio import Studio

_GRID_SIZE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Saving:
    """How images are saved."""

    destination: Destination
    replace: bool
    may_exist: bool = False
    """A file of the same name and content counts as saved: an earlier attempt may have made it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """The result of saving images."""

    count: int = 0
    """How many there were."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """The files of those that were saved, by image id."""

    def joined(self, other: "Saved") -> "Saved":
        """Return both together."""
        return Saved(count=self.count + other.count, files={**self.files, **other.files})


def saving_of(output_options: OutputOptions, *, may_exist: bool = False) -> Saving | None:
    """Return how the images of a command are saved; `None` if they are not.

    Raises:
        InvalidArguments: `-o` names nothing that can be written.
    """
    if output_options.output is None:
        return None
    destination = destination_of(output_options.output)
    return Saving(destination=destination, replace=output_options.force, may_exist=may_exist)


def image_counts(request: ImageRequest, catalog: Catalog) -> set[int]:
    """Return how many images there may be, because it is not known yet which offer runs the request."""
    forms = {offer.result for offer in catalog.offers.get(request.model, ())}
    if request.action is not None:
        action, _ = with_resolved_action(request, catalog)
        forms = {one.result for one in catalog.actions[action.kind]}
    return {_GRID_SIZE if form == "grid" else 1 for form in forms} or {1}


def check_new(saving: Saving, request: ImageRequest, catalog: Catalog, *, now: float) -> None:
    """Check that the images of a request can be saved, however many it gets.

    Raises:
        InvalidArguments: as `Destination.check`.
    """
    for count in sorted(image_counts(request, catalog)):
        saving.destination.check(expected(request, range(1, count + 1), count), now=now, replace=saving.replace)


def check_known(saving: Saving, tasks: Sequence[Task], catalog: Catalog, *, now: float) -> None:
    """Check that the images of tasks can be saved, numbered over all of them.

    Raises:
        InvalidArguments: as `Destination.check`.
    """
    counts = [image_count(task, catalog) for task in tasks]
    images, first = [], 1
    for number, (task, count) in enumerate(zip(tasks, counts, strict=True), start=1):
        images += expected(task.request, range(first, first + count), sum(counts), request_number=number)
        first += count
    saving.destination.check(images, now=now, replace=saving.replace)


def image_count(task: Task, catalog: Catalog) -> int:
    """Return how many images a task has, or will have."""
    return len(task.images) if task.status.is_final else max(image_counts(task.request, catalog))


def expected(request: ImageRequest, numbers: range, total: int, *, request_number: int = 1) -> list[Expected]:
    """Return the images of a request with these numbers among the `total` images of the command."""
    return [
        Expected(request=request, request_number=request_number, number=number, is_only=total == 1)
        for number in numbers
    ]


async def save(
    studio: Studio, task: Task, saving: Saving, write: Callable[[str], None], *, first: int, total: int
) -> Saved:
    """Save all images of a task, even if one of them cannot be saved; return their files, and `write` them.

    `first` is the number of the first one among the `total` images of the command.
    """
    safe_http = studio.safe_http.with_trusted(task.base_url)
    files: dict[str, Path] = {}
    for number, image in enumerate(task.images, start=1):
        id_ = ImageId(task.id, number)
        try:
            content = await image_files.load(
                image,
                safe_http,
                copy=await studio.read_copy(id_, image),
                renew=partial(studio.renewed_links.find, task, number),
            )
            finished = Finished(
                task=task,
                image=image,
                content=content,
                number_in_task=number,
                number=first + number - 1,
                is_only=total == 1,
            )
            saved = await saving.destination.save(finished, replace=saving.replace, may_exist=saving.may_exist)
        except JourneyError as error:
            console.error(error)
            continue
        files[str(id_)] = saved.path
        write(f"Saved {saved.path}")
        if saved.is_misnamed:
            console.info(f"{saved.path.name} contains a {saved.format.upper()} image, despite its name.")
    return Saved(count=len(task.images), files=files)
