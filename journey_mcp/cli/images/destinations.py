"""Where `-o` saves images: a file, a folder, or a pattern for file names."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Protocol

from anyio import to_thread

from journey_mcp.cli.images import image_files
from journey_mcp.cli.images.image_files import Content, Saved
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.images import OutputImage
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.media.readable_names import readable_name, slug
from journey_mcp.media.save_folder import ENDINGS, SaveFolder

_PLACEHOLDERS = ("date", "time", "model", "provider", "n", "task", "prompt", "seed", "ext")
_KNOWN_LATER = {"time", "provider", "task", "seed", "ext"}
"""Placeholders with values that are not known before anything is paid."""
_NUMBER_FORMAT = re.compile(r"0?[1-9]?")
_NOTHING_SENT = "Nothing was sent and nothing was charged."


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """An image that a request may get."""

    request: ImageRequest
    request_number: int
    """Of the request, among those of the command."""
    number: int
    """Among all images of the command, from 1."""
    is_only: bool
    """The command makes one image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """An image to save."""

    task: Task
    image: OutputImage
    content: Content
    number_in_task: int
    number: int
    """Among all images of the command, from 1."""
    is_only: bool
    """The command has one image."""

    @property
    def ending(self) -> str:
        """The ending of its file, by its bytes."""
        return ENDINGS.get(self.content.format, self.content.format)


class Destination(Protocol):
    """Where images are saved."""

    def check(self, expected: Sequence[Expected], *, now: float, replace: bool) -> None:
        """Check before anything is paid, as far as names are known, that the images can be saved.

        Raises:
            InvalidArguments: a file exists and may not be replaced, cannot be written, or would be written twice.
        """
        ...

    async def save(self, finished: Finished, *, replace: bool, may_exist: bool) -> Saved:
        """Save an image; `may_exist`: a file of this name and content may be from an earlier attempt.

        Raises:
            SetupError: it cannot be written, or would replace a file that may not be replaced.
        """
        ...


def destination_of(output: str) -> Destination:
    """Return where `-o` saves: a pattern has braces; a folder exists, or ends with a separator; the rest are files.

    Raises:
        InvalidArguments: it is none of them, or the pattern has an unknown placeholder.
    """
    if "{" in output or "}" in output:
        return _Pattern(output)
    if output in {"", "-"}:
        raise InvalidArguments(f"-o {output!r}: name a file, such as image.png, a folder, or a pattern.")
    if output.endswith(("/", os.sep)) or os.path.isdir(output):  # noqa: PTH112  # a name that is too long is none
        return _Folder(Path(output))
    return _File(Path(output))


class _File:
    """One file, which is numbered if there are several images. Its name is kept as it is given."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, expected: Sequence[Expected], *, now: float, replace: bool) -> None:
        del now
        image_files.check_writable((self._name(one.number, is_only=one.is_only) for one in expected), replace=replace)

    async def save(self, finished: Finished, *, replace: bool, may_exist: bool) -> Saved:
        path = self._name(finished.number, is_only=finished.is_only)
        return await image_files.write(finished.image, finished.content, path, replace=replace, may_exist=may_exist)

    def _name(self, number: int, *, is_only: bool) -> Path:
        path = self._path
        return path if is_only else path.with_name(f"{path.stem}-{number}{path.suffix}")


class _Folder:
    """A folder, in which images get names that a person reads, as in JOURNEY_MCP_SAVE_DIR. Nothing is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, expected: Sequence[Expected], *, now: float, replace: bool) -> None:
        del expected, now, replace
        image_files.check_folder(self._path)

    async def save(self, finished: Finished, *, replace: bool, may_exist: bool) -> Saved:
        del replace, may_exist
        task = finished.task
        number = finished.number_in_task if len(task.images) > 1 else None
        name = readable_name(task.request.prompt, task.request.model, at=task.updated_at, number=number)
        try:
            path = await to_thread.run_sync(self._write, name, finished.content)
        except OSError as error:
            raise image_files.unwritable(finished.image, self._path, error) from error
        return Saved(path=path, format=finished.content.format)

    def _write(self, name: str, content: Content) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        # of this command or an earlier one: the same image need not be there twice
        return SaveFolder(self._path).save(name, content.format, content.content, may_exist=True)


class _Pattern:
    """A path with placeholders."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._used = set(_placeholders(pattern))
        self._written: set[Path] = set()

    def check(self, expected: Sequence[Expected], *, now: float, replace: bool) -> None:
        names = [self._path(_early_values(one, now)) for one in expected]
        is_known = not self._used & _KNOWN_LATER
        if len(set(names)) < len(names):
            raise InvalidArguments(
                f"-o {self._pattern!r} gives {len(names)} images the same name.",
                next_step=f"Add {{n}}, the number of the image. {_NOTHING_SENT}",
            )
        if is_known:
            image_files.check_writable(names, replace=replace)

    async def save(self, finished: Finished, *, replace: bool, may_exist: bool) -> Saved:
        path = self._path(_values(finished))
        # what this command has just paid for is not replaced, whatever may be replaced
        may_replace = replace and path not in self._written
        self._written.add(path)
        return await image_files.write(finished.image, finished.content, path, replace=may_replace, may_exist=may_exist)

    def _path(self, values: dict[str, str | int]) -> Path:
        return Path(self._pattern.format_map(values))


def _placeholders(pattern: str) -> Iterable[str]:
    """Return the placeholders of a pattern.

    Raises:
        InvalidArguments: it has an unknown one, or a brace that belongs to none.
    """
    try:
        parts = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(pattern)]
    except ValueError as error:
        raise _wrong(pattern, f"{error}; a brace in a name is written twice") from error
    found = [part for part in parts if part[0] is not None]
    for name, form, conversion in found:
        if name not in _PLACEHOLDERS:
            raise _wrong(pattern, f"{{{name}}} is not known")
        if conversion or (form and (name != "n" or not _NUMBER_FORMAT.fullmatch(form))):
            raise _wrong(pattern, f"{{{name}:{form}}} is not known; only {{n}} takes a width, as in {{n:03}}")
    return [str(name) for name, _, _ in found]


def _wrong(pattern: str, problem: str) -> InvalidArguments:
    known = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
    return InvalidArguments(f"-o {pattern!r}: {problem}.", next_step=f"Known are {known}. {_NOTHING_SENT}")


def _early_values(expected: Expected, now: float) -> dict[str, str | int]:
    """Return the values as far as they are known; the others are equal where they may turn out to be."""
    request = expected.request
    task = f"task {expected.request_number}"
    return {
        **dict.fromkeys(_KNOWN_LATER, ""),
        **_of_request(request, now),
        "n": expected.number,
        "task": task,
        "seed": task if request.seed is None else request.seed,
    }


def _values(finished: Finished) -> dict[str, str | int]:
    task = finished.task
    seed = task.seed if task.seed is not None else task.request.seed
    return {
        **_of_request(task.request, task.created_at),
        "time": f"{_local(task.created_at):%H%M%S}",
        "provider": slug(task.provider),
        "n": finished.number,
        "task": task.id,
        "seed": slug(str(seed if seed is not None else "none")),
        "ext": finished.ending,
    }


def _of_request(request: ImageRequest, at: float) -> dict[str, str | int]:
    # a value never holds a separator: the folders are those of the pattern
    return {"date": f"{_local(at):%Y-%m-%d}", "model": slug(request.model), "prompt": slug(request.prompt)}


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone()
