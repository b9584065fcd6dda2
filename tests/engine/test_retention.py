"""Stored images stay below a limit, the oldest go first, and what a running task needs stays."""

import sqlite3
from pathlib import Path

from manual_clock import ManualClock
from support import make_environment, make_request

from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.engine.retention import Retention
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import Store, open_store
from journey_mcp.store.uploads import Upload

LIMIT = 10_000


def image_id(number: int) -> str:
    """Return the id of the only image of a task."""
    return f"tsk_{number:022}.1"


def stored_in(folder: Path) -> list[int]:
    """Return the numbers of the images that are left."""
    return sorted(int(path.name[4:26]) for path in (folder / "pictures").glob("*"))


async def fill(folder: ImageFolder, numbers: range, size_bytes: int = 1000) -> None:
    """Store images, the one with the lowest number made first."""
    for number in numbers:
        await folder.write(image_id(number), "png", bytes(size_bytes), made_at=float(number))


def make_task(number: int, **more: object) -> Task:
    """Return an unfinished task."""
    return Task(
        id=f"tsk_{number:022}",
        principal=LOCAL,
        request=make_request(**more),
        provider="journeyapi",
        base_url="u",
        created_at=100.0,
        updated_at=100.0,
    )


async def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    """At the start the folder is counted; later what this process writes is enough to know."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        folder = ImageFolder(tmp_path)
        retention = Retention(folder, store, ManualClock(), max_bytes=LIMIT)
        await fill(folder, range(12))
        await retention.enforce()
        assert len(stored_in(tmp_path)) == 12
        retention.note_written(1000)
        await retention.enforce()
        assert stored_in(tmp_path) == list(range(2, 12))
        await fill(folder, range(12, 15))
        retention.note_written(3000)
        await retention.enforce()
        assert stored_in(tmp_path) == list(range(5, 15))


async def test_what_other_processes_write_is_counted_every_minute(tmp_path: Path) -> None:
    """Two processes on one folder stay below the limit together."""
    clock = ManualClock()
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        folder = ImageFolder(tmp_path)
        retention = Retention(folder, store, clock, max_bytes=LIMIT)
        await fill(folder, range(5))
        retention.note_written(1000)
        await retention.enforce()
        await fill(folder, range(5, 12))
        retention.note_written(100)
        await retention.enforce()
        assert len(stored_in(tmp_path)) == 12
        clock.advance(61)
        retention.note_written(100)
        await retention.enforce()
        assert stored_in(tmp_path) == list(range(2, 12))


async def test_images_of_running_tasks_stay(tmp_path: Path) -> None:
    """Their own, and those that their requests name, whichever process runs them."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        folder = ImageFolder(tmp_path)
        upload = "up_" + "c" * 22
        await folder.write(upload, "png", bytes(1000), made_at=0.0)
        await fill(folder, range(5))
        for task in (
            make_task(0),
            make_task(10, tool="edit_image", image=image_id(1), mask=upload),
            make_task(11, reference_images=(image_id(2), "https://example.com/a.png")),
        ):
            assert await store.tasks.add(task, worker_id="another", lease_until=1e12)
        retention = Retention(folder, store, ManualClock(), max_bytes=1)
        retention.note_written(1)
        await retention.enforce()
        assert sorted(path.stem for path in (tmp_path / "pictures").iterdir()) == [*map(image_id, range(3)), upload]


async def test_without_an_answer_of_the_database_nothing_is_deleted(tmp_path: Path) -> None:
    """It is tried again with the next image."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        folder = ImageFolder(tmp_path)
        retention = Retention(folder, store, ManualClock(), max_bytes=1)
        await fill(folder, range(2))
        rename(tmp_path, "tasks", "hidden")
        retention.note_written(1)
        await retention.enforce()
        assert stored_in(tmp_path) == [0, 1]
        rename(tmp_path, "hidden", "tasks")
        retention.note_written(1)
        await retention.enforce()
        assert stored_in(tmp_path) == []


def rename(folder: Path, before: str, after: str) -> None:
    """Rename a table."""
    with sqlite3.connect(folder / "tasks.db") as connection:
        connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
    connection.close()


async def test_everything_of_a_deleted_task_goes(tmp_path: Path) -> None:
    """Files and rows; those of younger tasks stay."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        folder = ImageFolder(tmp_path)
        retention = Retention(folder, store, ManualClock(), max_bytes=LIMIT)
        for number, made_at in ((1, 100.0), (2, 300.0)):
            await folder.write(image_id(number), "png", b"image", made_at=made_at)
            await store.copies.begin(image_id(number)[:-2], created_at=made_at, worker="me", until=1e12)
            await store.uploads.add(upload_of(f"up_{number:022}", made_at))
        await retention.forget_older(200.0)
        assert stored_in(tmp_path) == [2]
        assert await task_ids(store) == [image_id(2)[:-2]]
        assert list(await store.uploads.get([f"up_{n:022}" for n in (1, 2)], principal=LOCAL)) == [f"up_{2:022}"]


def upload_of(upload_id: str, made_at: float) -> Upload:
    """Return an upload."""
    return Upload(
        id=upload_id,
        principal=LOCAL,
        created_at=made_at,
        file_name=f"{upload_id}.png",
        mime_type="image/png",
        width=1,
        height=1,
        bytes=5,
    )


async def task_ids(store: Store) -> list[str]:
    """Return the tasks whose images are being copied."""
    return [attempt.task_id for attempt in await store.copies.unfinished()]


async def test_a_server_keeps_its_folder_below_the_limit(tmp_path: Path) -> None:
    """While it runs; and copies die with their tasks."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_GB=0.0001, JOURNEY_MCP_KEEP_DAYS=1) as here:
        tasks = []
        for number in range(8):
            task = await here.made(prompt=f"a kite {number}")
            tasks.append((await here.studio.wait_for_copies({task.id: task}, 60))[task.id])
            await here.clock.sleep(1)
        sizes = [path.stat().st_size for path in (tmp_path / "pictures").iterdir()]
        assert 0 < sum(sizes) <= 107_374
        assert len(sizes) < len(tasks)
        found = await here.studio.fetch([task.id for task in tasks], LOCAL)
        assert [found[task.id].images[0].path is not None for task in tasks] == [
            *[False] * (len(tasks) - len(sizes)),
            *[True] * len(sizes),
        ]
        here.clock.shift_calendar(2 * 86400)
        await here.clock.skip(3700)
        assert list((tmp_path / "pictures").iterdir()) == []


async def test_thumbnails_count_as_they_are_written(tmp_path: Path) -> None:
    """Also where no image is copied: the oldest go."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_GB=0.0001, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        for number in range(4):
            task = await here.made(prompt=f"a kite {number}")
            view = await here.studio.views.look([task.id], LOCAL, size=1024, layout="each")
            assert view.seen
            await here.clock.sleep(1)
        sizes = [path.stat().st_size for path in (tmp_path / "thumbnails").iterdir()]
        assert 0 < len(sizes) < 4
        assert sum(sizes) <= 107_374
