"""A journal moves from SQLite and a folder to PostgreSQL and an object store, and back."""

import io
from pathlib import Path

import pytest
from engine.test_archive import UPLOAD, fill, task_id
from object_stores import ObjectStoreServer
from postgres import SOURCES, running_server

from journey_mcp.core.clock import Clock
from journey_mcp.core.principals import LOCAL
from journey_mcp.engine.archive import Moved, export_journal, import_journal
from journey_mcp.engine.purge import Purge, Selection
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.object_store import open_object_store
from journey_mcp.settings.image_store import ImageStoreAddress
from journey_mcp.store import Store, open_store

WHOLE = Moved(tasks=300, uploads=1, copies=300, images=301)


async def rows_of(store: Store) -> dict[str, object]:
    """Return all rows, without what the import changes; PostgreSQL stores no U+0000 in the text that is searched."""
    left_out = {"lease_worker", "lease_until", "outcome", "search"}
    return {
        row["id"]: {name: value for name, value in row.items() if name not in left_out}
        async for page in store.transfer.pages("tasks")
        for row in page
    }


@pytest.mark.parametrize("source", SOURCES)
async def test_a_journal_moves_there_and_back(
    server: ObjectStoreServer, prefix: str, tmp_path: Path, source: str
) -> None:
    """Every row and every image, in both directions; then everything is deleted from database and store."""
    there, back = io.BytesIO(), io.BytesIO()
    async with open_store(f"sqlite:///{tmp_path}/a/tasks.db") as store:
        await fill(store, ImageFolder(tmp_path / "a"), 300)
        before = await rows_of(store)
        assert await export_journal(store, ImageFolder(tmp_path / "a"), there, Clock()) == WHOLE
    there.seek(0)
    with running_server(source) as database:
        async with open_store(database.new_database()) as store:
            images = open_object_store(ImageStoreAddress.parse(server.address(prefix)), store.objects)
            assert await import_journal(store, images, there) == WHOLE
            assert await rows_of(store) == before
            assert await images.usage() == sum(server.keys(prefix).values()) > 0
            assert (await store.objects.oldest(limit=1, before=1e12))[0].created_at == 50.125
            assert await export_journal(store, images, back, Clock()) == WHOLE
            there.seek(0)
            assert await import_journal(store, images, there) == Moved(known=902)
            assert (await Purge(store, images).run(Selection())).tasks == 300
            assert (server.keys(prefix), await images.usage()) == ({}, 0)
    back.seek(0)
    async with open_store(f"sqlite:///{tmp_path}/b/tasks.db") as store:
        folder = ImageFolder(tmp_path / "b")
        assert await import_journal(store, folder, back) == WHOLE
        assert await rows_of(store) == before
        assert len(await store.tasks.get([task_id(n) for n in range(300)], principal=LOCAL)) == 300
        found = (await folder.find([UPLOAD, f"{task_id(7)}.1"])).values()
        assert sorted(one.path.stat().st_mtime for one in found if one.path) == [50.125, 107.5]
