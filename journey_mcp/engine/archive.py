"""A journal with its images as one file, to move it to another database and image store.

The file is a tar archive, written and read in one pass: a manifest, the rows of the tables as lines of JSON, the
images, and an end that says how much there was.
"""

import io
import json
import logging
import re
import tarfile
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import IO, Any

from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.images import ImageId
from journey_mcp.core.plain import compact_json
from journey_mcp.core.worker_id import is_alive
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.image_store import ENDINGS, ImageStore
from journey_mcp.store import Store
from journey_mcp.store.transfer import SCHEMA_VERSION, TABLES, TableName

_FORMAT = "journey-mcp journal"
_VERSION = 1
_MANIFEST, _END = "manifest.json", "end.json"
_ROWS = re.compile(rf"(?P<table>{'|'.join(TABLES)})-\d{{6}}\.jsonl")
_IMAGE = re.compile(
    rf"images/(?P<id>tsk_[A-Za-z0-9_-]{{22}}\.[1-9]\d{{0,2}}|up_[A-Za-z0-9_-]{{22}})\.(?:{'|'.join(ENDINGS.values())})",
    re.ASCII,
)
_MAX_ROWS_BYTES = 256 * 1024 * 1024
"""Of a page of rows, which is a few hundred."""
_MAX_NAMED = 5
_CLOCKS_DIFFER_S = 60.0
"""A lease is by another clock, perhaps: it counts for so much longer."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Moved:
    """How much was written or stored."""

    tasks: int = 0
    uploads: int = 0
    copies: int = 0
    images: int = 0
    known: int = 0
    """Rows and images that were there already."""

    def count(self, name: TableName, rows: int) -> None:
        """Count rows of a table."""
        setattr(self, name, getattr(self, name) + rows)

    def as_plain(self) -> dict[str, int]:
        """Return the counts that the end of a file has."""
        return {"tasks": self.tasks, "uploads": self.uploads, "copies": self.copies, "images": self.images}


async def export_journal(
    store: Store, images: ImageStore, file: IO[bytes], clock: Clock, *, with_running: bool = False
) -> Moved:
    """Write everything into a file.

    Raises:
        InvalidArguments: a running process has unfinished tasks, and they are not to be exported.
        StoreUnavailable, OSError: the database or the image store does not answer, or the file cannot be written.
    """
    if not with_running:
        await _check_unfinished(store, clock)
    moved = Moved()
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        now = clock.now()
        manifest = {"format": _FORMAT, "version": _VERSION, "schema": SCHEMA_VERSION, "created_at": now}
        _add(tar, _MANIFEST, _dump(manifest), now)
        for name in TABLES:
            number = 0
            async for rows in store.transfer.pages(name):
                number += 1
                _add(tar, f"{name}-{number:06}.jsonl", b"\n".join(map(_dump, rows)), now)
                moved.count(name, len(rows))
        for name in ("tasks", "uploads"):
            async for rows in store.transfer.pages(name):
                made_at = {image_id: row["created_at"] for row in rows for image_id in _image_ids(row)}
                for stored in (await images.find(made_at)).values():
                    if (content := await images.read(stored.id)) is not None:
                        _add(tar, f"images/{stored.file_name}", content, made_at[stored.id])
                        moved.images += 1
        _add(tar, _END, _dump(moved.as_plain()), now)
    return moved


async def import_journal(store: Store, images: ImageStore, file: IO[bytes]) -> Moved:
    """Store everything in a file that is not there yet; a second import changes nothing.

    Raises:
        InvalidArguments: not such a file, of a newer version, or cut off; what was read before stays.
        StoreUnavailable, OSError: the database or the image store does not answer.
    """
    moved, seen = Moved(), Moved()
    end: dict[str, int] | None = None
    async for name, content, modified_at in _members(file):
        if (rows := _ROWS.fullmatch(name)) and (table := _table(rows["table"])):
            parsed = [_portable(table, row) for row in _lines(content)]
            stored = await store.transfer.insert(table, parsed)
            seen.count(table, len(parsed))
            moved.count(table, stored)
            moved.known += len(parsed) - stored
        elif image := _IMAGE.fullmatch(name):
            seen.images += 1
            is_new = await _store_image(images, image["id"], content, modified_at)
            moved.images += is_new
            moved.known += not is_new
        elif name == _END:
            end = json.loads(content)
    if end != seen.as_plain():
        raise _unreadable("it is cut off", "What it contains was imported. Export the journal again, and import it.")
    return moved


async def _check_unfinished(store: Store, clock: Clock) -> None:
    found = [
        task_id
        for task_id, worker, lease_until in await store.transfer.unfinished()
        if lease_until > clock.now() - _CLOCKS_DIFFER_S or is_alive(worker)
    ]
    if found:
        more = "" if len(found) <= _MAX_NAMED else f" and {len(found) - _MAX_NAMED} more"
        raise InvalidArguments(
            f"A running server has unfinished tasks: {', '.join(found[:_MAX_NAMED])}{more}.",
            next_step="Wait until they have ended, and stop the servers. With --force they are exported as they are: "
            "then both databases go on with them, and call their webhooks twice.",
        )


async def _store_image(images: ImageStore, image_id: str, content: bytes, made_at: float) -> bool:
    if await images.find([image_id]):
        return False
    try:
        found = await to_thread.run_sync(formats.probe, content)
    except NotAnImage as error:
        _log.warning("image %s is left out: %s", image_id, error)
        return False
    await images.write(image_id, found.format, content, made_at=made_at)
    return True


async def _members(file: IO[bytes]) -> AsyncIterator[tuple[str, bytes, float]]:
    """Yield name, content and time of each member, the manifest checked first."""
    is_known = False
    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                limit = formats.MAX_BYTES if member.name.startswith("images/") else _MAX_ROWS_BYTES
                if not member.isreg() or member.size > limit:
                    raise _unreadable(f"it has a member {member.name[:80]!r} that no journal has")
                reader = tar.extractfile(member)
                content = await to_thread.run_sync(reader.read) if reader else b""
                if not is_known:
                    _check_manifest(member.name, content)
                    is_known = True
                    continue
                yield member.name, content, float(member.mtime)
    except (tarfile.TarError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _unreadable(f"it cannot be read: {error}") from error
    if not is_known:
        raise _unreadable("it is empty")


def _check_manifest(name: str, content: bytes) -> None:
    manifest = json.loads(content) if name == _MANIFEST else {}
    if manifest.get("format") != _FORMAT:
        raise _unreadable("it has no manifest of a journal")
    if manifest.get("version") != _VERSION or not 0 < manifest.get("schema", 0) <= SCHEMA_VERSION:
        raise _unreadable("a newer version wrote it", "Update journey-mcp, then import it.")


def _unreadable(why: str, next_step: str = "Give a file that journey-mcp export wrote.") -> InvalidArguments:
    return InvalidArguments(f"This is no journal that can be imported: {why}.", next_step=next_step)


def _table(name: str) -> TableName | None:
    return next((table for table in TABLES if table == name), None)


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line]


def _portable(table: TableName, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the paths of copies on another machine."""
    if table != "tasks" or '"path":' not in row["outcome"]:
        return row
    outcome = json.loads(row["outcome"])
    for image in outcome.get("images", ()):
        image.pop("path", None)
    return {**row, "outcome": compact_json(outcome)}


def _image_ids(row: dict[str, Any]) -> Collection[str]:
    """Return the ids of the images that a task or an upload may have."""
    if "outcome" not in row:
        return [row["id"]]
    try:
        count = len(json.loads(row["outcome"] or "{}").get("images", ()))
    except (ValueError, AttributeError):
        return []  # a newer version wrote it
    return [str(ImageId(row["id"], number)) for number in range(1, count + 1)]


def _add(tar: tarfile.TarFile, name: str, content: bytes, made_at: float) -> None:
    member = tarfile.TarInfo(name)
    # PAX keeps the fraction: the oldest images are deleted first
    member.size, member.mtime, member.mode = len(content), made_at, 0o600
    tar.addfile(member, io.BytesIO(content))


def _dump(plain: Any) -> bytes:
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode()
