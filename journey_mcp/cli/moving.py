"""`purge`, `export` and `import`: what is stored, deleted or moved as a whole."""

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from journey_mcp.cli.event_loop import run
from journey_mcp.cli.terminal import console
from journey_mcp.core import private_files
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.principals import Principal
from journey_mcp.engine.archive import Moved, export_journal, import_journal
from journey_mcp.engine.purge import Counts, Purge, Selection
from journey_mcp.media.configured_store import image_store_of
from journey_mcp.media.image_store import ImageStore
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.store import Store, open_store

_DAY_S = 86400.0


def purge(older_than_days: int | None, principal: str | None, *, is_agreed: bool) -> int:
    """Delete tasks with their images, and added images; ask first. Return the exit code.

    Raises:
        InvalidArguments: nothing says what to delete, or there is nobody to ask.
    """
    if older_than_days is None and principal is None:
        raise InvalidArguments(
            "purge deletes only what is named, and nothing was named.",
            next_step="Give --older-than DAYS, --principal NAME, or both. --older-than 0 deletes everything.",
        )
    selection = Selection(
        before=time.time() - (older_than_days or 0) * _DAY_S,
        principal=None if principal is None else Principal(principal),
    )
    return run(_purge, ready_settings(), selection, is_agreed)


async def _purge(settings: Settings, selection: Selection, is_agreed: bool) -> int:  # noqa: FBT001  # as `run` calls it
    async with _opened(settings) as (store, images):
        purging = Purge(store, images)
        counts = await purging.count(selection)
        if not counts.tasks and not counts.uploads:
            console.info(f"There is nothing to delete.{_left(counts)}")
            return console.OK
        if not is_agreed and not await _agreed(f"Delete {_said(counts)}?{_left(counts)}"):
            console.info("Nothing was deleted.")
            return console.FAILED
        with _reported("deleted"):
            done = await purging.run(selection)
    console.result(f"Deleted {_said(done)}.{_left(done)}")
    return console.OK


async def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArguments(
            f"{question} There is no terminal to ask at.", next_step="Add --yes to delete without a question."
        )
    return await console.ask(question)


def _said(counts: Counts) -> str:
    return f"{counts.tasks:,} tasks with their prompts and images, and {counts.uploads:,} added images"


def _left(counts: Counts) -> str:
    return f" {counts.unfinished:,} tasks have not ended, and stay." if counts.unfinished else ""


def export(file: Path, *, with_running: bool) -> int:
    """Write the journal and its images into a new file; return the exit code.

    Raises:
        InvalidArguments: the file exists, or a running server has unfinished tasks.
    """
    if os.path.lexists(file):
        raise InvalidArguments(f"{file} exists.", next_step="Name another file, or remove it.")
    moved = run(_export, ready_settings(), file.absolute(), with_running)
    console.result(f"{_counted(moved)} are in {file.absolute()}.")
    return console.OK


async def _export(settings: Settings, file: Path, with_running: bool) -> Moved:  # noqa: FBT001  # as `run` calls it
    with _reported(f"written to {file}"), private_files.replacing(file) as writer:  # prompts and images are private
        async with _opened(settings) as (store, images):
            return await export_journal(store, images, writer, Clock(), with_running=with_running)


def import_(file: Path) -> int:
    """Store what a file has and the journal has not; return the exit code.

    Raises:
        InvalidArguments: it is not a file that `export` wrote.
    """
    moved = run(_import, ready_settings(), file)
    known = f" {moved.known:,} rows and images were there already." if moved.known else ""
    console.result(f"{_counted(moved)} were imported.{known}")
    return console.OK


async def _import(settings: Settings, file: Path) -> Moved:
    with _reported(f"imported from {file}"), file.open("rb") as reader:
        async with _opened(settings) as (store, images):
            return await import_journal(store, images, reader)


def _counted(moved: Moved) -> str:
    return f"{moved.tasks:,} tasks, {moved.uploads:,} added images and {moved.images:,} image files"


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Report an error of the system, of a file or of the image store."""
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"Not everything could be {what}: {error.strerror or error}.", next_step="Correct this and run it again."
        ) from error


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Store, ImageStore]]:
    async with open_store(settings.resolved_database_url()) as store:
        yield store, image_store_of(settings, store.objects)
