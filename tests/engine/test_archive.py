"""A journal with its images as one file: complete, idempotent, and refused if it is not one."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from studio.test_inputs import image_bytes

from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import DuplicatePolicy, Task
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.engine.archive import Moved, export_journal, import_journal
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import Store, open_store
from journey_mcp.store.uploads import Upload

IMAGE = image_bytes()
UPLOAD = "up_" + "u" * 22


def task_id(number: int) -> str:
    """Return an id."""
    return f"tsk_{number:022}"


def make_task(number: int, **more: Any) -> Task:
    """Return a finished task with two images, the first of which has a copy elsewhere."""
    request = ImageRequest(tool="imagine", prompt=f"prompt {number}: \0 ☃ 𝄞", model="m")
    made = Task(
        id=task_id(number),
        principal=LOCAL,
        request=request,
        provider="journeyapi",
        base_url="u",
        created_at=100.5 + number,
        updated_at=200.25,
    )
    images = (OutputImage(url="https://a.test/1.png", path="/elsewhere/1.png"), OutputImage(url="https://a.test/2.png"))
    prediction = Prediction(prediction_id=f"p{number}", status=Status.SUCCEEDED, images=images)
    return replace(made.sent(150.0).accepted(prediction, 200.25), **more)


async def fill(store: Store, images: ImageFolder, count: int = 3) -> None:
    """Store finished tasks with a copy each, and an upload of another principal."""
    for number in range(count):
        task = make_task(number)
        assert await store.tasks.add(task, worker_id="me", lease_until=0.0)
        await images.write(f"{task.id}.1", "png", IMAGE, made_at=task.created_at)
        await store.copies.begin(task.id, created_at=task.created_at, worker="me", until=1e12)
        await store.copies.record(task.id, {1: CopyRecord(is_copied=True)}, worker="me", due=None, tries=0)
    await images.write(UPLOAD, "png", IMAGE, made_at=50.125)
    await store.uploads.add(
        Upload(
            id=UPLOAD,
            principal=Principal("token:ada"),
            created_at=50.125,
            file_name=f"{UPLOAD}.png",
            mime_type="image/png",
            width=1,
            height=1,
            bytes=len(IMAGE),
        )
    )


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, ImageFolder]]:
    """Open a database and a folder of images."""
    async with open_store(f"sqlite:///{folder}/tasks.db") as store:
        yield store, ImageFolder(folder)


async def exported(store: Store, images: ImageFolder, **more: Any) -> bytes:
    """Return the file."""
    file = io.BytesIO()
    await export_journal(store, images, file, ManualClock(), **more)
    return file.getvalue()


async def test_everything_arrives(tmp_path: Path) -> None:
    """Tasks, the records of their copies, uploads, and the files with their times; a second import changes nothing."""
    async with opened(tmp_path / "a") as (store, images):
        await fill(store, images)
        file = io.BytesIO()
        moved = await export_journal(store, images, file, ManualClock())
        assert moved == Moved(tasks=3, uploads=1, copies=3, images=4)
    async with opened(tmp_path / "b") as (store, images):
        assert await import_journal(store, images, io.BytesIO(file.getvalue())) == moved
        ids = [task_id(number) for number in range(3)]
        found = await store.tasks.get(ids, principal=LOCAL)
        for number, id_ in enumerate(ids):
            made = make_task(number)
            # a path of another machine means nothing here
            assert found[id_] == replace(made, images=(replace(made.images[0], path=None), made.images[1]))
        assert (await store.copies.read(ids))[ids[0]] == {1: CopyRecord(is_copied=True)}
        assert list(await store.uploads.get([UPLOAD], principal=Principal("token:ada"))) == [UPLOAD]
        path = (await images.find([f"{ids[2]}.1"]))[f"{ids[2]}.1"].path
        assert path is not None
        assert (path.read_bytes(), path.stat().st_mtime) == (IMAGE, 102.5)
        again = await import_journal(store, images, io.BytesIO(file.getvalue()))
        assert again == Moved(known=3 + 1 + 3 + 4)


async def test_a_file_has_nothing_that_is_of_one_process(tmp_path: Path) -> None:
    """A lease would keep an unfinished task from the next server."""
    async with opened(tmp_path / "a") as (store, images):
        unfinished = replace(make_task(1), status=Status.RUNNING, images=())
        assert await store.tasks.add(unfinished, worker_id="dead:1:x:y", lease_until=0.0)
        content = await exported(store, images)
    async with opened(tmp_path / "b") as (store, images):
        await import_journal(store, images, io.BytesIO(content))
        assert await store.transfer.unfinished() == [(task_id(1), "", 0.0)]


@pytest.mark.parametrize("is_leased", [True, False])
async def test_unfinished_tasks_of_a_running_server_are_refused(tmp_path: Path, *, is_leased: bool) -> None:
    """By a lease, or because its process is there; unless it is forced."""
    async with opened(tmp_path) as (store, images):
        for number in range(7):
            task = replace(make_task(number), status=Status.RUNNING, images=())
            worker, until = ("x", 1e12) if is_leased else (new_worker_id(), 0.0)
            assert await store.tasks.add(task, worker_id=worker, lease_until=until)
        with pytest.raises(InvalidArguments, match=f"unfinished tasks: {task_id(0)}.* and 2 more") as raised:
            await exported(store, images)
        assert "--force" in str(raised.value.failure.next_step)
        assert await exported(store, images, with_running=True)


async def test_a_task_that_excludes_one_that_is_there_is_stored_as_history(tmp_path: Path) -> None:
    """Both databases have a task that duplicate calls join."""
    joined = {"deduplication_key": "k", "duplicate_policy": DuplicatePolicy.JOIN}
    async with opened(tmp_path / "a") as (store, images):
        for number in (1, 2):
            task = make_task(number, **(joined if number == 1 else {}))
            assert await store.tasks.add(task, worker_id="me", lease_until=0.0)
        content = await exported(store, images)
    async with opened(tmp_path / "b") as (store, images):
        assert await store.tasks.add(make_task(9, **joined), worker_id="me", lease_until=0.0)
        assert (await import_journal(store, images, io.BytesIO(content))).tasks == 2
        found = await store.tasks.get([task_id(1), task_id(9)], principal=LOCAL)
        assert [found[task_id(n)].duplicate_policy for n in (1, 9)] == [None, DuplicatePolicy.JOIN]


def rewritten(content: bytes, change: dict[str, Any], *, without: str = "") -> bytes:
    """Return the file with other values in its manifest, and without some members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source, tarfile.open(fileobj=file, mode="w") as target:
        for member in source:
            reader = source.extractfile(member)
            data = reader.read() if reader else b""
            if member.name == "manifest.json":
                data = json.dumps({**json.loads(data), **change}).encode()
                member.size = len(data)
            if not without or not member.name.startswith(without):
                target.addfile(member, io.BytesIO(data))
    return file.getvalue()


async def test_what_is_no_whole_journal_is_refused(tmp_path: Path) -> None:
    """With why, and what to do."""
    async with opened(tmp_path / "a") as (store, images):
        await fill(store, images, 1)
        content = await exported(store, images)
    async with opened(tmp_path / "b") as (store, images):
        for wrong, says in (
            (b"", "it cannot be read|it is empty"),
            (b"PK\3\4" * 1000, "it cannot be read"),
            (rewritten(content, {}, without="manifest"), "has no manifest"),
            (rewritten(content, {"format": "x"}), "has no manifest"),
            (rewritten(content, {"version": 2}), "a newer version wrote it"),
            (rewritten(content, {"schema": 999}), "a newer version wrote it"),
            (rewritten(content, {}, without="end"), "it is cut off"),
            (rewritten(content, {}, without="images/up_"), "it is cut off"),
            (content[: len(content) // 2], "cut off|cannot be read"),
            (with_link(content), "a member 'images/x' that no journal has"),
        ):
            with pytest.raises(InvalidArguments, match=says):
                await import_journal(store, images, io.BytesIO(wrong))
        # what was read before an error stays, and the whole file completes it
        await import_journal(store, images, io.BytesIO(content))
        assert await store.tasks.find(task_id(0))


async def test_an_archive_without_anything_is_refused(tmp_path: Path) -> None:
    """As any other file that is no journal."""
    file = io.BytesIO()
    tarfile.open(fileobj=file, mode="w").close()
    file.seek(0)
    async with opened(tmp_path) as (store, images):
        with pytest.raises(InvalidArguments, match="it is empty"):
            await import_journal(store, images, file)


async def test_rows_of_another_version_and_rows_that_come_twice(tmp_path: Path) -> None:
    """A task whose outcome is not understood moves without its images; a row is stored once."""
    async with opened(tmp_path / "a") as (store, images):
        await fill(store, images, 1)
        (row,) = [row async for page in store.transfer.pages("tasks") for row in page]
    async with opened(tmp_path / "b") as (store, images):
        assert await store.transfer.insert("tasks", [{**row, "outcome": "[]"}] * 2) == 1
        assert await export_journal(store, images, io.BytesIO(), ManualClock()) == Moved(tasks=1)


def with_link(content: bytes) -> bytes:
    """Return the file with a link to a file of the machine."""
    file = io.BytesIO(content)
    with tarfile.open(fileobj=file, mode="a") as tar:
        link = tarfile.TarInfo("images/x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return file.getvalue()


async def test_a_file_of_another_kind_among_the_images_is_left_out(tmp_path: Path) -> None:
    """A journal may have been edited: nothing is stored that is not an image, or under another name."""
    async with opened(tmp_path / "a") as (store, images):
        await images.write(UPLOAD, "png", b"<svg/>", made_at=1.0)
        upload = Upload(
            id=UPLOAD, principal=LOCAL, created_at=1.0, file_name="x", mime_type="image/png", width=1, height=1, bytes=6
        )
        await store.uploads.add(upload)
        content = await exported(store, images)
    async with opened(tmp_path / "b") as (store, images):
        moved = await import_journal(store, images, io.BytesIO(content))
        assert (moved.uploads, moved.images, moved.known) == (1, 0, 1)
        assert await images.find([UPLOAD]) == {}
