"""Deleting on request: tasks with everything that belongs to them, by age or principal; what runs stays."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.test_archive import UPLOAD, fill, make_task, task_id
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.engine.purge import Counts, Purge, Selection
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import Store, open_store

ADA = Principal("token:ada")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a task database."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as opened:
        yield opened


@pytest.fixture
def images(tmp_path: Path) -> ImageFolder:
    """Return a folder of images."""
    return ImageFolder(tmp_path)


async def stored(images: ImageFolder) -> list[str]:
    """Return which of the images are there."""
    return sorted(await images.find([*(f"{task_id(number)}.1" for number in range(5)), UPLOAD]))


async def test_what_is_older_goes_with_everything_of_it(store: Store, images: ImageFolder) -> None:
    """Rows, copies and thumbnails; younger ones stay."""
    await fill(store, images)
    await images.write_thumbnail(f"{task_id(0)}.1", 512, b"small", made_at=1.0)
    selection = Selection(before=102.0)
    assert await Purge(store, images).count(selection) == Counts(tasks=2, uploads=1, unfinished=0)
    assert await stored(images) == [*(f"{task_id(number)}.1" for number in range(3)), UPLOAD]
    assert await Purge(store, images).run(selection) == Counts(tasks=2, uploads=1, unfinished=0)
    assert await stored(images) == [f"{task_id(2)}.1"]
    assert await images.read_thumbnail(f"{task_id(0)}.1", 512) is None
    ids = [task_id(number) for number in range(3)]
    assert list(await store.tasks.get(ids, principal=LOCAL)) == [task_id(2)]
    assert list(await store.copies.read(ids)) == [task_id(2)]
    assert await store.uploads.ids(before=1e12, principal=None) == []
    assert await Purge(store, images).run(selection) == Counts(tasks=0, uploads=0, unfinished=0)


async def test_what_belongs_to_a_principal_goes(store: Store, images: ImageFolder) -> None:
    """And nothing of another."""
    await fill(store, images)
    assert await store.tasks.add(make_task(3, principal=ADA), worker_id="me", lease_until=0.0)
    selection = Selection(principal=ADA)
    assert await Purge(store, images).run(selection) == Counts(tasks=1, uploads=1, unfinished=0)
    assert await stored(images) == [f"{task_id(number)}.1" for number in range(3)]
    assert len(await store.tasks.get([task_id(number) for number in range(3)], principal=LOCAL)) == 3


async def test_what_has_not_ended_stays_with_what_it_needs(store: Store, images: ImageFolder) -> None:
    """The added image that its request names."""
    await fill(store, images, 1)
    request = ImageRequest(tool="edit_image", prompt="p", model="m", image=UPLOAD)
    running = replace(make_task(4), status=Status.RUNNING, images=(), request=request)
    assert await store.tasks.add(running, worker_id="me", lease_until=0.0)
    assert await Purge(store, images).run(Selection()) == Counts(tasks=1, uploads=0, unfinished=1)
    assert await stored(images) == [UPLOAD]
    assert await store.tasks.find(task_id(4))


async def test_costs_stay_for_budgets(store: Store, images: ImageFolder) -> None:
    """Without the prompt."""
    task = make_task(1, charges={"credits": Decimal(4)})
    assert await store.tasks.add(task, worker_id="me", lease_until=0.0)
    assert (await Purge(store, images).run(Selection())).tasks == 1
    assert await store.tasks.find(task_id(1)) is None
    assert [spent.counted for spent in await store.spend.since(0.0)] == [{"credits": Decimal(4)}]
