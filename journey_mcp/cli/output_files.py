"""The files of a command's images: which they may be, and saving them."""

from dataclasses import replace
from pathlib import Path

from journey_mcp.cli import console, export
from journey_mcp.cli.interruption import resume_command
from journey_mcp.cli.output_options import OutputOptions
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.images import ImageId
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.registry import Catalog
from journey_mcp.routing.actions import with_resolved_action
from journey_mcp.studio import Studio

_GRID_SIZE = 4


def possible_files(output: Path, request: ImageRequest, catalog: Catalog) -> list[Path]:
    """Return the files that may be written, because it is not known yet which offer runs the request."""
    forms = {offer.result for offer in catalog.offers.get(request.model, ())}
    if request.action is not None:
        action, _ = with_resolved_action(request, catalog)
        forms = {one.result for one in catalog.actions[action.kind]}
    single = export.targets(output, 1) if forms != {"grid"} else []
    return single + (export.targets(output, _GRID_SIZE) if "grid" in forms else [])


async def save(studio: Studio, task: Task, output: Path, output_options: OutputOptions) -> int:
    """Save all images of a task, even if one of them cannot be saved; return the exit code."""
    count = 0
    # with --json, stdout contains only the object
    write = console.info if output_options.as_json else console.result
    paths = export.targets(output, len(task.images))
    safe_http = studio.safe_http.with_trusted(task.base_url)
    if len(paths) > 1:
        console.info(f"{len(paths)} images: {paths[0].name} to {paths[-1].name}.")
    for number, (path, image) in enumerate(zip(paths, task.images, strict=True), start=1):
        try:
            copy = await studio.read_copy(ImageId(task.id, number), image)
            saved = await export.save(image, path, safe_http, copy=copy, replace=output_options.force)
        except JourneyError as error:
            console.error(error)
            continue
        count += 1
        write(f"Saved {saved.path}")
        if saved.is_misnamed:
            console.info(f"{saved.path.name} contains a {saved.format.upper()} image, despite its name.")
    if count == len(paths):
        return console.OK
    again = replace(output_options, force=output_options.force or count > 0)  # the saved ones exist by now
    console.info(f"To try again: {resume_command([task], again)}")
    return console.FAILED
