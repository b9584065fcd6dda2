"""Copies in an object store: results have them from any process, and a store that is away loses none."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from object_stores import ObjectStoreServer
from studio.test_inputs import data_uri, image_bytes
from support import created, environment_of, make_request, running_studio

from journey_mcp import sandbox
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import ImageUnavailable, StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.settings import Settings, read_settings
from journey_mcp.store import open_store
from journey_mcp.studio import Studio
from journey_mcp.studio.keep import KeepRequest

BFL: dict[str, Any] = {"model": "flux-2-pro", "prompt": "a red kite"}
"""Its links expire after ten minutes."""


def settings_with(upstream: sandbox.Running, folder: Path, address: str) -> Settings:
    """Return settings with the object store."""
    environment = environment_of(upstream, folder, "bfl", JOURNEY_MCP_STORE=address)
    return read_settings({**environment, "JOURNEY_MCP_KEEP_IMAGES": "expiring"})


@asynccontextmanager
async def listening_silently() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Accept connections without ever answering; yield the address, and the connections."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: accepted.append(writer), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", accepted
    finally:
        server.close()
        for connection in accepted:
            connection.close()
            with suppress(OSError):
                await connection.wait_closed()


async def made(studio: Studio) -> Task:
    """Return a finished task."""
    return await studio.wait_for_new(await created(studio, make_request(**BFL)), 60)


async def test_every_process_has_the_copy(server: ObjectStoreServer, prefix: str, tmp_path: Path) -> None:
    """It has no path; another process shows and edits it, and a kept image too."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_with(upstream, tmp_path, server.address(prefix))
        async with running_studio(settings, Clock()) as studio:
            task = await made(studio)
            assert [(image.path, image.is_stored) for image in task.images] == [(None, True)]
            kept = await studio.keep_image(KeepRequest(data=data_uri(image_bytes())), LOCAL)
        assert set(server.keys(prefix)) == {f"images/{task.id}/1.jpg", f"images/{kept.id}/1.png"}
        upstream.sandbox.faults.replace([sandbox.Fault.parse("image:dead_image,times=always")])
        async with running_studio(settings, Clock()) as studio:
            shown = (await studio.fetch([task.id], LOCAL))[task.id]
            assert shown.images[0].is_stored
            view = await studio.views.look([task.id, kept.id], LOCAL, size=320, layout="each")
            assert ([one.id for one in view.seen], view.unseen) == ([f"{task.id}.1", kept.id], ())
            upstream.sandbox.faults.replace(())
            for image in (f"{task.id}.1", kept.id):
                edit = make_request(tool="edit_image", model="flux-kontext-pro", image=image)
                edited = await studio.wait_for_new(await created(studio, edit), 60)
                assert edited.status is Status.SUCCEEDED
        assert f"images/{kept.id}/1-320.jpg" in server.keys(prefix)
        assert not (tmp_path / "pictures").exists()


async def test_a_store_that_is_away_when_a_task_ends_loses_nothing(
    server: ObjectStoreServer, prefix: str, tmp_path: Path
) -> None:
    """The result has its link, and a notice; the copy is made later, while the link works, and the notice goes."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_with(upstream, tmp_path, server.address(prefix))
        async with running_studio(settings, Clock()) as studio:
            with server.stopped():
                task = await made(studio)
                assert (task.status, task.images[0].has_copy) == (Status.SUCCEEDED, False)
                assert task.notices == (Notice.of("copy_awaited", image=f"{task.id}.1"),)
                assert (await studio.fetch([task.id], LOCAL))[task.id].images[0].url == task.images[0].url
            with anyio.fail_after(60):
                while not (await studio.fetch([task.id], LOCAL))[task.id].images[0].has_copy:
                    await anyio.sleep(0.5)
            assert (await studio.fetch([task.id], LOCAL))[task.id].notices == ()
        assert set(server.keys(prefix)) == {f"images/{task.id}/1.jpg"}


@pytest.mark.usefixtures("prefix")
async def test_results_wait_for_a_silent_store_only_until_it_is_known_to_be(tmp_path: Path) -> None:
    """The first waits for its time limit. Later ones come with their links and a notice, without another request."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream, listening_silently() as (origin, connections):
        address = f"s3://images/x?endpoint={origin}&region=us-east-1"
        async with running_studio(settings_with(upstream, tmp_path, address), Clock()) as studio:
            durations, asked = [], []
            for number in range(6):
                before, started = len(connections), time.monotonic()
                call = make_request(**{**BFL, "prompt": f"kite {number}"})
                task = await studio.wait_for_new(await created(studio, call), 60)
                durations.append(time.monotonic() - started)
                asked.append(len(connections) - before)
                assert (task.status, task.images[0].has_copy) == (Status.SUCCEEDED, False)
                assert [notice.code for notice in task.notices] == ["copy_awaited"]
            assert 2.5 < durations[0] < 30
            # one may find out whether the store is back
            assert asked[2:].count(0) >= 3
            with pytest.raises(StoreUnavailable, match="The image cannot be stored"):
                await studio.keep_image(KeepRequest(data=data_uri(image_bytes())), LOCAL)


async def test_while_a_store_is_away_links_are_used_and_the_rest_can_be_tried_again(
    server: ObjectStoreServer, prefix: str, tmp_path: Path
) -> None:
    """An image with a link is shown; one that was added is unavailable, and no other can be added."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_with(upstream, tmp_path, server.address(prefix))
        async with running_studio(settings, Clock()) as studio:
            task = await made(studio)
            kept = await studio.keep_image(KeepRequest(data=data_uri(image_bytes())), LOCAL)
        nowhere = server.address(prefix).replace(server.origin, "http://127.0.0.1:1")
        async with running_studio(settings_with(upstream, tmp_path, nowhere), Clock()) as studio:
            view = await studio.views.look([task.id, kept.id], LOCAL, size=320, layout="each")
            assert [one.id for one in view.seen] == [f"{task.id}.1"]
            assert [(one.id, one.error.code) for one in view.unseen] == [(kept.id, "image_unavailable")]
            with pytest.raises(ImageUnavailable, match="its copy cannot be read now"):
                await studio.create(make_request(tool="edit_image", model="flux-kontext-pro", image=kept.id), LOCAL)
            with pytest.raises(StoreUnavailable, match="The image cannot be stored"):
                await studio.keep_image(KeepRequest(data=data_uri(image_bytes())), LOCAL)


async def test_a_full_store_evicts_the_oldest(server: ObjectStoreServer, prefix: str, tmp_path: Path) -> None:
    """By the bytes that the database knows."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_with(upstream, tmp_path, server.address(prefix))
        async with running_studio(settings, Clock()) as studio:
            first = await made(studio)
        size = sum(server.keys(prefix).values())
        small = settings.model_copy(update={"keep_gb": 1.5 * size / 1024**3})
        async with running_studio(small, Clock()) as studio, open_store(settings.resolved_database_url()) as store:
            second = await made(studio)
            with anyio.fail_after(30):
                # the row of an object is deleted after it
                while await store.objects.get([f"{first.id}.1"]):
                    await anyio.sleep(0.1)
            assert set(server.keys(prefix)) == {f"images/{second.id}/1.jpg"}
            found = await studio.fetch([first.id, second.id], LOCAL)
            assert [found[task.id].images[0].has_copy for task in (first, second)] == [False, True]
