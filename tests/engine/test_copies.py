"""Copies in the background: after the call returned, once for all processes, also after a restart."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import ManualClock, until
from PIL import Image
from support import Environment, coarse, make_environment, make_wide_environment, running_studio, settings_for

from journey_mcp import sandbox
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.studio import Studio


def stored_in(folder: Path) -> list[str]:
    """Return the names of all copies."""
    return sorted(path.name for path in (folder / "pictures").glob("*"))


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    """Return what is recorded of copies: task, whether it is over, tries, images."""
    connection = sqlite3.connect(folder / "tasks.db")
    rows = connection.execute("SELECT task_id, due IS NULL, tries, images FROM copies").fetchall()
    connection.close()
    return rows


async def shown(studio: Studio, task: Task, *, seconds: float = 60.0) -> Task:
    """Return the task after its images were copied."""
    return (await studio.wait_for_copies({task.id: task}, seconds))[task.id]


async def fetched(studio: Studio, task_id: str) -> Task:
    """Return the task as a later call gets it."""
    return (await studio.fetch([task_id], LOCAL))[task_id]


# --- copies


async def test_every_image_is_copied_after_the_call(tmp_path: Path) -> None:
    """The call gets the links, and whoever asks later the paths as well, with type and size."""
    async with make_environment(tmp_path) as here:
        task = await here.made(model="midjourney")
        assert [image.path for image in task.images] == [None] * 4
        later = await shown(here.studio, task)
        assert [image.url for image in later.images] == [image.url for image in task.images]
        assert stored_in(tmp_path) == sorted(Path(image.path or "").name for image in later.images)
        for number, image in enumerate(later.images, start=1):
            path = Path(image.path or "")
            assert path.stem == f"{task.id}.{number}"
            with Image.open(path) as copy:
                copy.load()
                assert (copy.size, Image.MIME[copy.format or ""]) == ((image.width, image.height), image.mime_type)
        assert (await fetched(here.studio, task.id)).images == later.images
        (listed,) = await here.studio.newest(LOCAL)
        assert listed.images == later.images
        ((canceled, _),) = (await here.studio.cancel([task.id], LOCAL)).values()
        assert canceled.images == later.images
        assert rows_of(tmp_path)[0][:3] == (task.id, 1, 0)


@pytest.mark.parametrize(
    "settings",
    [{"JOURNEY_MCP_KEEP_IMAGES": "expiring"}, {"JOURNEY_MCP_KEEP_IMAGES": "off"}, {"JOURNEY_MCP_COPY_MAX_MB": 0}],
)
async def test_copies_are_a_setting(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Links of JourneyAPI live long."""
    async with make_environment(tmp_path, **settings) as here:
        task = await shown(here.studio, await here.made())
        assert (task.images[0].path, task.notices) == (None, ())
        assert stored_in(tmp_path) == []
        assert rows_of(tmp_path) == []


async def test_an_image_that_is_too_large_is_not_copied_and_a_notice_says_so(tmp_path: Path) -> None:
    """It is not tried again."""
    async with make_environment(tmp_path, JOURNEY_MCP_COPY_MAX_MB=1) as here:
        large = sandbox.Fault(on="image", kind="status", status=200, body="x" * 2_000_000, times=None)
        here.upstream.sandbox.faults.replace([large])
        task = await shown(here.studio, await here.made())
        assert task.images[0].path is None
        assert [str(notice) for notice in task.notices] == [
            f"There is no copy of {task.id}.1: it is larger than 1,048,576 bytes. Use its link before it expires."
        ]
        assert rows_of(tmp_path)[0][1:3] == (1, 0)


async def test_what_is_not_an_image_is_not_copied(tmp_path: Path) -> None:
    """An upstream may send anything."""
    async with make_environment(tmp_path, "image:wrong_type,times=always") as here:
        task = await shown(here.studio, await here.made())
        assert (task.status, task.images[0].path) == (Status.SUCCEEDED, None)
        assert "it is neither PNG" in str(task.notices[-1])
        assert stored_in(tmp_path) == []


async def test_a_download_that_fails_is_tried_again_for_more_than_an_hour(tmp_path: Path) -> None:
    """Meanwhile nothing is said: the link works."""
    async with make_environment(tmp_path, "image:status=503,times=14") as here:
        task = await shown(here.studio, await here.made())
        assert (task.images[0].path, task.notices) == (None, ())
        await here.clock.skip(5000)
        assert (await fetched(here.studio, task.id)).images[0].path
        assert rows_of(tmp_path)[0][1:3] == (1, 4)


async def test_a_copy_is_tried_again_before_its_link_expires(tmp_path: Path) -> None:
    """Links of Black Forest Labs live for ten minutes, so the third retry does not wait that long."""
    (tmp_path / "pictures").touch()
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        task = await here.made(model="flux-2-pro")
        await here.clock.skip(200)
        (tmp_path / "pictures").unlink()
        await here.clock.skip(300)
        assert (await fetched(here.studio, task.id)).images[0].path
        assert task.images[0].expires_at is not None
        assert here.clock.now() < task.images[0].expires_at


async def test_after_the_last_attempt_a_notice_says_why(tmp_path: Path) -> None:
    """And the attempts end."""
    async with make_environment(tmp_path, "image:status=503,times=always") as here:
        task = await here.made()
        await here.clock.skip(5000)
        task = await fetched(here.studio, task.id)
        assert task.images[0].path is None
        assert "There is no copy" in str(task.notices[-1])
        assert "503" in str(task.notices[-1])
        assert rows_of(tmp_path)[0][1:3] == (1, 4)


async def test_only_the_image_that_failed_is_fetched_again(tmp_path: Path) -> None:
    """The other three are there."""
    async with make_environment(tmp_path, "image:status=503,times=3") as here:
        task = await shown(here.studio, await here.made(model="midjourney"))
        assert [image.path is None for image in task.images] == [True, False, False, False]
        before = {path: path.stat().st_ino for path in (tmp_path / "pictures").iterdir()}
        await here.clock.sleep(20)
        assert all(image.path for image in (await fetched(here.studio, task.id)).images)
        assert before.items() <= {path: path.stat().st_ino for path in (tmp_path / "pictures").iterdir()}.items()


async def test_a_copy_that_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    """Neither by this process nor by the next one: the person may not want it."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with opened(settings, upstream, tmp_path) as here:
            task = await shown(here.studio, await here.made())
            Path(task.images[0].path or "").unlink()
            assert (await fetched(here.studio, task.id)).images[0].path is None
        async with opened(settings, upstream, tmp_path) as here:
            await here.clock.sleep(100)
            assert (await fetched(here.studio, task.id)).images[0].path is None


async def test_a_folder_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    """A full disk, or a file in place of the folder: the result has its link, and the copy is made later."""
    (tmp_path / "pictures").touch()
    async with make_environment(tmp_path) as here:
        task = await shown(here.studio, await here.made())
        assert (task.status, task.images[0].path) == (Status.SUCCEEDED, None)
        (tmp_path / "pictures").unlink()
        await here.clock.sleep(20)
        assert (await fetched(here.studio, task.id)).images[0].path


async def test_a_database_that_does_not_answer_delays_copies(tmp_path: Path) -> None:
    """They are made when it answers again."""
    async with make_environment(tmp_path) as here:
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE copies RENAME TO hidden")
        task = await shown(here.studio, await here.made())
        assert (task.images[0].path, task.images[0].url != "") == (None, True)
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE hidden RENAME TO copies")
        connection.close()
        await here.clock.sleep(130)
        assert (await fetched(here.studio, task.id)).images[0].path


async def test_what_a_newer_version_recorded_is_ignored(tmp_path: Path) -> None:
    """The copy itself is found by its name."""
    async with make_environment(tmp_path) as here:
        task = await shown(here.studio, await here.made())
        for text in ('{"1":{"colour":"red"}}', "[1]", "?"):
            with sqlite3.connect(tmp_path / "tasks.db") as connection:
                connection.execute("UPDATE copies SET images = ?", (text,))
            connection.close()
            assert (await fetched(here.studio, task.id)).images[0].path == task.images[0].path


async def test_many_tasks_are_copied_a_few_at_once(tmp_path: Path) -> None:
    """All of them, in the end."""
    async with make_environment(tmp_path) as here:
        tasks: list[Task] = []

        async def make() -> None:
            tasks.append(await here.made())

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(make)
        found = await here.studio.wait_for_copies({task.id: task for task in tasks}, 600)
        assert all(task.images[0].path for task in found.values())


# --- restarts and several processes


@asynccontextmanager
async def opened(settings: Any, upstream: sandbox.Running, folder: Path) -> AsyncIterator[Environment]:
    """Open a studio of another process at the same upstream."""
    async with running_studio(settings, clock := ManualClock()) as studio:
        yield Environment(studio, upstream, folder, clock)


async def test_a_process_that_ends_copies_what_finished_in_it(tmp_path: Path) -> None:
    """A command of a second has its copies."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        async with opened(settings_for(upstream.base_url, tmp_path), upstream, tmp_path) as here:
            task = await here.made(model="midjourney")
        assert len(stored_in(tmp_path)) == 4
        assert rows_of(tmp_path)[0][:2] == (task.id, 1)


async def test_a_process_that_ends_waits_for_a_bounded_time(tmp_path: Path) -> None:
    """A host may be slow; the next process continues."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        upstream.sandbox.faults.replace([sandbox.Fault.parse("image:delay=3000,times=always")])
        clock = ManualClock()
        async with opened(settings, upstream, tmp_path) as here:
            task = await here.made(model="midjourney")
            started = clock.elapsed()
        assert 59 < clock.elapsed() - started < 70
        upstream.sandbox.faults.replace([])
        async with opened(settings, upstream, tmp_path) as here:
            # the worker of the first process has the process id of this test
            await here.clock.sleep(1000)
            assert all(image.path for image in (await fetched(here.studio, task.id)).images)


async def test_a_shut_down_does_not_wait_for_copies(tmp_path: Path) -> None:
    """A signal ends a server soon."""
    async with make_environment(tmp_path, "image:delay=3000,times=always") as here:
        await here.made()
        before = here.clock.elapsed()
        here.studio.begin_shutdown()
    assert here.clock.elapsed() - before < 10


async def test_after_a_restart_missing_copies_are_made(tmp_path: Path) -> None:
    """Of tasks that no process began to copy, as after a crash, in the last days; not of older ones."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        off = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_KEEP_IMAGES="off")
        async with opened(off, upstream, tmp_path) as here:
            here.clock.shift_calendar(-8 * 86400)
            old = await here.made(prompt="old")
            here.clock.shift_calendar(8 * 86400)
            recent = await here.made(prompt="recent")
        async with opened(settings_for(upstream.base_url, tmp_path), upstream, tmp_path) as here:
            await until(lambda: stored_in(tmp_path))
            await here.clock.sleep(100)
            assert (await fetched(here.studio, recent.id)).images[0].path
            assert (await fetched(here.studio, old.id)).images[0].path is None


async def test_images_of_a_sandbox_that_ended_are_given_up_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their links are dead, and the result says so already."""
    settings = settings_for("http://127.0.0.1:1", tmp_path).model_copy(update={"journeyapi_api_key": None})
    off = settings.model_copy(update={"keep_images": "off"})
    async with running_studio(off, ManualClock()) as studio:
        task = await Environment(studio, None, tmp_path, ManualClock()).made()  # type: ignore[arg-type]
    async with running_studio(settings, clock := ManualClock()) as studio:
        await clock.sleep(30)
        assert rows_of(tmp_path) == [(task.id, 1, 0, '{"1":{"is_copied":false}}')]
        assert len((await fetched(studio, task.id)).notices) == len(task.notices)
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []


async def test_what_a_dead_process_began_is_finished(tmp_path: Path) -> None:
    """At once if it can be seen that it is dead; later if that cannot be seen from here."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with opened(settings, upstream, tmp_path) as here:
            seen, unseen = [await shown(here.studio, await here.made(prompt=str(n))) for n in range(2)]
        for name in stored_in(tmp_path):
            (tmp_path / "pictures" / name).unlink()
        connection = sqlite3.connect(tmp_path / "tasks.db")
        ((worker,),) = connection.execute("SELECT DISTINCT worker FROM copies").fetchall()
        host, *_ = worker.split(":")
        claim = "UPDATE copies SET worker = ?, due = ?, images = '{}' WHERE task_id = ?"
        connection.execute(claim, (f"{host}:4194305:x:dead", here.clock.now() + 900, seen.id))
        connection.execute(claim, ("machine:1:x:unseen", here.clock.now() + 900, unseen.id))
        connection.commit()
        connection.close()
        async with opened(settings, upstream, tmp_path) as here:
            await here.clock.sleep(10)
            assert (await fetched(here.studio, seen.id)).images[0].path
            assert (await fetched(here.studio, unseen.id)).images[0].path is None
            await here.clock.sleep(1000)
            assert (await fetched(here.studio, unseen.id)).images[0].path


async def test_what_is_left_of_a_deleted_task_is_over(tmp_path: Path) -> None:
    """Its images failed before, and nothing is copied any more."""
    async with make_environment(tmp_path, "image:status=503,times=3") as here:
        await shown(here.studio, await here.made())
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("DELETE FROM tasks")
        connection.close()
        await here.clock.sleep(20)
        assert [row[1] for row in rows_of(tmp_path)] == [1]
        assert stored_in(tmp_path) == []


async def test_two_processes_copy_a_task_once(tmp_path: Path) -> None:
    """The one that finishes it does, though the other one looks for missing copies."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_SAVE_DIR=str(tmp_path / "Images"))
        async with (
            opened(settings, upstream, tmp_path) as one,
            opened(settings, upstream, tmp_path) as two,
        ):
            for environment in (one, two):
                await environment.made(prompt="a kite")
            await one.clock.sleep(200)
        assert [" a kite" in name for name in names_in(tmp_path / "Images")] == [True, True]


# --- the folder of the person


async def test_finished_images_are_saved_under_readable_names(tmp_path: Path) -> None:
    """The result of the call says where, and so does every later one; nothing is saved twice."""
    images = tmp_path / "Images"
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(images))
        async with opened(settings, upstream, tmp_path) as here:
            task = await here.made(model="midjourney", prompt="a lighthouse at dusk --ar 16:9")
            names = [Path(image.saved_to or "").name for image in task.images]
            assert [name[10:] for name in names] == [f" a lighthouse at dusk {n}.png" for n in range(1, 5)]
            assert sorted(names) == names_in(images)
            for image in task.images:
                assert Path(image.saved_to or "").read_bytes() == Path(image.path or "").read_bytes()
            assert (await fetched(here.studio, task.id)).images == task.images
        async with opened(settings, upstream, tmp_path) as here:
            await here.clock.sleep(200)
            assert len(names_in(images)) == 4
            Path(task.images[0].saved_to or "").unlink()
            assert (await fetched(here.studio, task.id)).images[0].saved_to is None


@pytest.mark.parametrize(("service", "model"), [("bfl", "flux-2-pro"), ("journeyapi", "z-image")])
async def test_images_are_saved_without_copies_too(tmp_path: Path, service: str, model: str) -> None:
    """The two settings are independent."""
    more = {"JOURNEY_MCP_SAVE_DIR": str(tmp_path / "Images"), "JOURNEY_MCP_KEEP_IMAGES": "off"}
    async with make_wide_environment(tmp_path / "data", services=[service], **more) as here:
        task = await here.made(model=model, prompt="a red kite")
        assert (task.images[0].path, task.notices) == (None, ())
        assert Path(task.images[0].saved_to or "").stem.endswith(" a red kite")


async def test_an_image_whose_link_dies_soon_is_saved_from_its_copy(tmp_path: Path) -> None:
    """It is downloaded once."""
    more = {"JOURNEY_MCP_SAVE_DIR": str(tmp_path / "Images")}
    fault = "image:dead_image,times=always,after=1"
    async with make_wide_environment(tmp_path / "data", fault, services=["bfl"], **more) as here:
        task = await here.made(model="flux-2-pro", prompt="a red kite")
        assert task.images[0].saved_to
        assert task.notices == ()


async def test_a_folder_that_cannot_be_used_is_named_and_loses_nothing(tmp_path: Path) -> None:
    """The image is saved when the folder is there again."""
    images = tmp_path / "drive" / "Images"
    async with make_environment(tmp_path / "data", JOURNEY_MCP_SAVE_DIR=images) as here:
        task = await here.made(prompt="a kite")
        assert (task.status, task.images[0].saved_to) == (Status.SUCCEEDED, None)
        assert task.images[0].path
        assert str(task.notices[-1]) == (
            f"{task.id}.1 is not in the folder of JOURNEY_MCP_SAVE_DIR: No such file or directory. "
            "Use its link or its copy."
        )
        images.parent.mkdir()
        await here.clock.sleep(20)
        later = await fetched(here.studio, task.id)
        assert later.images[0].saved_to
        assert later.notices == ()


async def test_what_was_saved_and_not_recorded_is_not_saved_again(tmp_path: Path) -> None:
    """A process died in between."""
    images = tmp_path / "Images"
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_SAVE_DIR=str(images))
        async with opened(settings, upstream, tmp_path) as here:
            task = await here.made(model="midjourney", prompt="a kite")
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("UPDATE copies SET due = 1, images = '{}'")
        connection.close()
        (images / names_in(images)[0]).unlink()
        async with opened(settings, upstream, tmp_path) as here:
            await here.clock.sleep(60)
            assert (await fetched(here.studio, task.id)).images == task.images
        assert len(names_in(images)) == 4
