"""Previews of finished images in the terminal, above the text of their task."""

import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from journey_mcp.cli.terminal import console
from journey_mcp.cli.terminal.image_protocols import TerminalProtocol, protocol_of
from journey_mcp.cli.terminal.output_style import is_for_person
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.core.views import DEFAULT_VIEW_SIZE, View
from journey_mcp.studio import Studio
from journey_mcp.studio.previews import previewed_ids

_WITHIN_S = 2.0
"""How long the text of a task waits for its preview."""
_MAX_COLUMNS = 48

_log = logging.getLogger(__name__)


def prepare(studio: Studio, task: Task) -> None:
    """Prepare for the preview of a new task, while its provider works, if the terminal shows one."""
    if _terminal():
        studio.previews.expect(task)


async def show(studio: Studio, tasks: Sequence[Task]) -> None:
    """Show up to four images of finished tasks, on one numbered sheet, if the terminal shows images."""
    protocol = _terminal()
    if protocol and previewed_ids(tasks):
        console.drawing(await preview_of(studio, tasks, protocol))


async def preview_of(
    studio: Studio, tasks: Sequence[Task], protocol: TerminalProtocol, *, within_s: float = _WITHIN_S
) -> str:
    """Return the text that shows images of these tasks, of which at least one has images.

    A preview that is late or fails is left out, as the empty text: the text of the task says where its images are.
    """
    ids = previewed_ids(tasks)

    async def draw() -> str:
        view = await studio.views.look(ids, LOCAL, size=DEFAULT_VIEW_SIZE, layout="sheet")
        images = [await _drawing(studio, jpeg, protocol) for jpeg in view.jpegs]
        return "".join(images) + (_labels(view) if len(tasks) > 1 else "")

    return await _in_time(draw, within_s, ids[0])


async def show_image(studio: Studio, content: bytes, name: str) -> None:
    """Show one image, if the terminal shows images, and if that is possible in time."""
    if protocol := _terminal():
        console.drawing(await _in_time(partial(_drawing, studio, content, protocol), _WITHIN_S, name))


async def _in_time(draw: Callable[[], Awaitable[str]], within_s: float, name: str) -> str:
    """Return what is drawn; the empty text if it is late or fails."""
    with anyio.move_on_after(within_s):
        try:
            return await draw()
        except JourneyError as error:
            _log.debug("no preview of %s: %s", name, error)
            return ""
    _log.debug("no preview of %s within %g s", name, within_s)
    return ""


async def _drawing(studio: Studio, content: bytes, protocol: TerminalProtocol) -> str:
    """Return the text that shows one image.

    Raises:
        JourneyError: it cannot be decoded.
    """
    columns = min(_MAX_COLUMNS, shutil.get_terminal_size().columns)
    size = columns * protocol.pixels_per_column
    raster = await studio.views.raster(content, LOCAL, size=size, form=protocol.form)
    return protocol.draw(raster, columns)


def _terminal() -> TerminalProtocol | None:
    """Return how stdout shows images; `None` if it does not, as a file or a pipe."""
    return protocol_of(os.environ, sys.stdout.encoding) if is_for_person(sys.stdout) else None


def _labels(view: View) -> str:
    """Return which number of a sheet is which image, for numbers that are not those in the ids."""
    labels = [f"{one.label}: {one.id}" for one in view.seen if one.label]
    return "  ".join(labels) + "\n" if labels else ""
