"""Images in an object store: the same contract as the folder's, and what only a store over the network can do wrong."""

import hashlib
import io
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from engine.test_archive import IMAGE, make_task
from object_stores import ObjectStoreServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import serving

from journey_mcp.cli.doctor import examine
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError
from journey_mcp.core.images import ImageId
from journey_mcp.core.stored_objects import StoredObject
from journey_mcp.engine.archive import Moved, export_journal
from journey_mcp.engine.image_files import ImageFiles
from journey_mcp.engine.retention import Retention
from journey_mcp.media.blobs import Blobs, Link
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.image_store import Content, ImageStore, ImageStoreUnavailable, StoredImage
from journey_mcp.media.object_store import ObjectStore, open_object_store
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings import read_settings
from journey_mcp.settings.image_store import ImageStoreAddress
from journey_mcp.settings.trusted_hosts import TrustedHosts
from journey_mcp.store import Store, open_store

TASK = "tsk_" + "a" * 22
OTHER = "tsk_" + "b" * 22
UPLOAD = "up_" + "c" * 18 + "-512"
"""Its end looks like that of a thumbnail."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a task database."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        yield store


@pytest.fixture
def objects(server: ObjectStoreServer, prefix: str, database: Store) -> ObjectStore:
    """Open an object store."""
    return opened(server.address(prefix), database)


def opened(address: str, database: Store) -> ObjectStore:
    """Open the store at an address."""
    return open_object_store(ImageStoreAddress.parse(address), database.objects)


@pytest.fixture(params=["folder", "objects"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """Return each kind of store."""
    if request.param == "folder":
        return ImageFolder(tmp_path)
    store: ImageStore = request.getfixturevalue("objects")
    return store


async def test_an_image_is_found_read_and_streamed_by_its_id(images: ImageStore) -> None:
    """Nothing else is found; and an image is never replaced in a way that a reader sees."""
    content = bytes(range(256)) * 10_000
    assert await images.read(f"{TASK}.2") is None
    stored = await images.write(f"{TASK}.2", "png", content, made_at=100.0)
    assert await images.find([f"{TASK}.2", f"{TASK}.1", "../x", ""]) == {f"{TASK}.2": stored}
    assert (stored.format, stored.file_name) == ("png", f"{TASK}.2.png")
    assert await images.read(f"{TASK}.2") == content
    assert await images.describe(f"{TASK}.2") == Content(
        size_bytes=2_560_000, digest=hashlib.sha256(content).hexdigest()
    )
    parts = [part async for part in images.stream(stored, 100, 2_000_000)]
    assert len(parts) > 1
    assert b"".join(parts) == content[100:2_000_000]
    assert await images.write(f"{TASK}.2", "png", content, made_at=100.0) == stored


async def test_thumbnails_belong_to_their_image(images: ImageStore) -> None:
    """They are found by size, replaced, forgotten alone, and deleted with the image."""
    await images.write(UPLOAD, "jpeg", b"image", made_at=100.0)
    assert await images.read_thumbnail(UPLOAD, 512) is None
    for content in (b"old", b"small"):
        await images.write_thumbnail(UPLOAD, 512, content, made_at=100.0)
    await images.write_thumbnail(UPLOAD, 1024, b"larger", made_at=100.0)
    assert await images.read_thumbnail(UPLOAD, 512) == b"small"
    await images.forget_thumbnails([UPLOAD], [1024])
    assert await images.read_thumbnail(UPLOAD, 1024) is None
    await images.delete([UPLOAD, OTHER])
    assert (await images.read_thumbnail(UPLOAD, 512), await images.find([UPLOAD])) == (None, {})
    assert await images.usage() == 0


async def test_the_oldest_go_first_and_what_is_needed_stays(images: ImageStore) -> None:
    """Until the rest fits; later by age."""
    for image_id, made_at in ((f"{TASK}.1", 300.0), (UPLOAD, 100.0), (f"{OTHER}.1", 200.0)):
        await images.write(image_id, "png", bytes(1000), made_at=made_at)
    await images.write_thumbnail(UPLOAD, 512, bytes(100), made_at=100.0)
    assert await images.usage() == 3100
    assert await images.evict(3100, ()) == 3100
    assert await images.evict(2500, [UPLOAD]) == 2100
    assert set(await images.find([UPLOAD, f"{TASK}.1", f"{OTHER}.1"])) == {UPLOAD, f"{TASK}.1"}
    await images.forget_older(250.0)
    assert set(await images.find([UPLOAD, f"{TASK}.1"])) == {f"{TASK}.1"}
    assert await images.usage() == 1000


async def test_keys_say_nothing_of_a_person_and_objects_their_type(
    objects: ObjectStore, server: ObjectStoreServer, prefix: str
) -> None:
    """So that a link of the store itself shows the image."""
    await objects.write(f"{TASK}.2", "jpeg", b"image", made_at=1.0)
    await objects.write_thumbnail(f"{TASK}.2", 512, b"small", made_at=1.0)
    await objects.write(UPLOAD, "png", b"image", made_at=1.0)
    assert server.keys(prefix) == {
        f"images/{TASK}/2.jpg": 5,
        f"images/{TASK}/2-512.jpg": 5,
        f"images/{UPLOAD}/1.png": 5,
    }
    found = server.head(f"{prefix}/images/{TASK}/2.jpg")
    assert (found["ContentType"], found["ContentDisposition"]) == ("image/jpeg", f'inline; filename="{TASK}.2.jpg"')
    assert "private" in found["CacheControl"]


async def test_what_a_process_left_that_died_is_overwritten(
    objects: ObjectStore, server: ObjectStoreServer, prefix: str, database: Store
) -> None:
    """The object is there, and the database does not know it."""
    await objects.write(f"{TASK}.1", "png", b"of the dead process", made_at=1.0)
    await database.objects.delete([f"{TASK}.1"])
    assert await objects.find([f"{TASK}.1"]) == {}
    await objects.write(f"{TASK}.1", "png", b"image", made_at=1.0)
    assert await objects.read(f"{TASK}.1") == b"image"
    assert server.keys(prefix) == {f"images/{TASK}/1.png": 5}


async def test_an_object_that_a_rule_of_the_bucket_deleted_is_gone(
    objects: ObjectStore, server: ObjectStoreServer, prefix: str
) -> None:
    """It is noticed when it is read; deleting it again does no harm."""
    stored = await objects.write(f"{TASK}.1", "png", b"image", made_at=1.0)
    await objects.write(f"{TASK}.2", "png", b"image", made_at=1.0)
    for number in (1, 2):
        server.remove(f"{prefix}/images/{TASK}/{number}.png")
    with pytest.raises(FileNotFoundError):
        [part async for part in objects.stream(stored, 0, 5)]
    assert (await objects.read(f"{TASK}.1"), await objects.find([f"{TASK}.1"])) == (None, {})
    await objects.delete([TASK])
    assert await objects.usage() == 0


async def test_a_store_that_reports_missing_objects_deletes_the_others(tmp_path: Path, database: Store) -> None:
    """As some stores do, and a folder."""
    folder = tmp_path / "objects"
    file = folder / "images" / TASK / "2.png"
    file.parent.mkdir(parents=True)
    file.touch()
    for number in (1, 2, 3):
        name = f"{TASK}.{number}"
        await database.objects.add(
            StoredObject(name=name, owner=TASK, format="png", bytes=1, digest="d", created_at=1.0)
        )
    from obstore.store import LocalStore  # noqa: PLC0415  # the tests are skipped without it

    backend: Any = LocalStore(str(folder))
    store = ObjectStore(backend, database.objects, Clock(), redirects=False)
    await store.delete([TASK])
    assert (file.exists(), await store.usage()) == (False, 0)


async def test_refused_credentials_are_said_to_be_refused(prefix: str, database: Store) -> None:
    """And not that the store is away."""

    async def refuse(_request: Request) -> Response:
        return Response(status_code=403)

    async with serving(Starlette(routes=[Route("/{path:path}", refuse, methods=["PUT"])])) as origin:
        refused = opened(f"s3://images/{prefix}?endpoint={origin}&region=us-east-1", database)
        with pytest.raises(ImageStoreUnavailable, match="refuses the server's credentials"):
            await refused.check()


async def test_what_cannot_be_deleted_now_is_deleted_later(
    objects: ObjectStore, server: ObjectStoreServer, prefix: str, database: Store
) -> None:
    """Retention goes on with the rest, and finds it again."""
    await objects.write(f"{TASK}.1", "png", b"image", made_at=1.0)
    nowhere = opened(re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", server.address(prefix)), database)
    for images, left in ((nowhere, 5), (objects, 0)):
        await Retention(images, database, Clock(), max_bytes=1).forget_older(2.0)
        assert await objects.usage() == left


async def test_without_the_database_nothing_is_known_and_nothing_is_stored(
    objects: ObjectStore, database: Store, tmp_path: Path
) -> None:
    """A result is shown without its copies; a copy can be tried again."""
    task = make_task(1)
    for path in tmp_path.glob("tasks.db*"):
        path.rename(path.with_name(f"hidden-{path.name}"))
    assert await ImageFiles(database, objects, Clock()).located([task]) == [task]

    async def image(_request: Request) -> Response:
        return Response(IMAGE, media_type="image/png")

    async with serving(Starlette(routes=[Route("/{path:path}", image)])) as origin:
        link = Link(id=ImageId(task.id, 1), url=f"{origin}/1.png", base_url=origin, made_at=1.0)
        with pytest.raises(ImageStoreUnavailable):
            await Blobs(objects, 1_000_000, SafeHttpClient(TrustedHosts()), Clock()).copy(link)


async def test_an_export_leaves_out_what_is_gone(
    objects: ObjectStore, server: ObjectStoreServer, prefix: str, database: Store
) -> None:
    """A rule of the bucket deleted it."""
    task = make_task(1)
    assert await database.tasks.add(task, worker_id="me", lease_until=0.0)
    await objects.write(f"{task.id}.1", "png", IMAGE, made_at=1.0)
    server.remove(f"{prefix}/images/{task.id}/1.png")
    assert await export_journal(database, objects, io.BytesIO(), Clock()) == Moved(tasks=1)


async def test_two_processes_record_an_image_once(database: Store) -> None:
    """The one that comes second changes nothing."""
    first = StoredObject(name="n", owner="o", format="png", bytes=1, digest="d", created_at=1.0)
    await database.objects.add(first)
    await database.objects.add(StoredObject(name="n", owner="o", format="jpeg", bytes=9, digest="e", created_at=2.0))
    assert await database.objects.get(["n"]) == {"n": first}


async def test_a_store_that_does_not_answer_is_given_up_soon(objects: ObjectStore, server: ObjectStoreServer) -> None:
    """In seconds; nothing is recorded, and the next attempt works."""
    started = time.monotonic()
    with server.stopped(), pytest.raises(ImageStoreUnavailable, match="the image store does not answer"):
        await objects.write(f"{TASK}.1", "png", b"image", made_at=1.0)
    assert time.monotonic() - started < 30
    assert await objects.find([f"{TASK}.1"]) == {}
    await objects.write(f"{TASK}.1", "png", b"image", made_at=1.0)
    assert await objects.read(f"{TASK}.1") == b"image"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda address: address.replace("s3://images/", "s3://nothing/"), "no such bucket"),
        (lambda address: re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", address), "does not answer"),
    ],
)
async def test_a_wrong_address_is_an_error_of_the_store(
    server: ObjectStoreServer, prefix: str, database: Store, change: Callable[[str], str], says: str
) -> None:
    """With words for callers, and without the address."""
    wrong = opened(change(server.address(prefix)), database)
    with pytest.raises(ImageStoreUnavailable, match=says) as raised:
        await wrong.check()
    assert "127.0.0.1" not in str(raised.value)


async def test_the_check_leaves_nothing(objects: ObjectStore, server: ObjectStoreServer, prefix: str) -> None:
    """It writes, reads and deletes an object."""
    await objects.check()
    assert server.keys(prefix) == {}


async def test_the_store_has_links_of_its_own(server: ObjectStoreServer, prefix: str, database: Store) -> None:
    """For a minute, say; ours redirect to them only with the option."""
    stored = StoredImage(id=f"{TASK}.1", format="png")
    store = opened(server.address(prefix), database)
    link = await store.link(stored, 60)
    assert link.startswith(f"{server.origin}/images/{prefix}/images/{TASK}/1.png?")
    assert "X-Amz-Expires=60" in link
    assert await store.link_origin() == server.origin
    assert [opened(server.address(prefix, links=links), database).redirects for links in ("ours", "store")] == [
        False,
        True,
    ]


async def test_a_store_whose_links_cannot_be_signed_has_none(
    database: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Google's signs with the key of an account only; another one reads and writes. It is not tried each time."""
    credentials = tmp_path / "credentials.json"
    refresh = {"client_id": "c", "client_secret": "made-up-secret", "refresh_token": "r", "type": "authorized_user"}
    credentials.write_text(json.dumps(refresh))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    store = opened("gs://bucket", database)
    assert await store.link_origin() is None
    assert await store.link_origin() is None
    assert caplog.text.count("no link of the object store") == 1


@pytest.mark.parametrize("address", ["s3://bucket", "gs://bucket/prefix", "az://account/container/prefix"])
def test_other_stores_open_without_a_request(address: str, database: Store) -> None:
    """Google's and Azure's; they are not asked before an image is stored."""
    assert opened(address, database)


def test_an_address_that_the_library_refuses_is_an_error_of_the_setting(
    database: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as credentials that cannot be read."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/credentials.json")
    with pytest.raises(SetupError, match="JOURNEY_MCP_STORE=gs://bucket cannot be opened"):
        opened("gs://bucket", database)


@pytest.mark.parametrize("is_there", [True, False])
async def test_doctor_checks_the_store(
    server: ObjectStoreServer, prefix: str, tmp_path: Path, *, is_there: bool
) -> None:
    """It writes, reads and deletes an object."""
    address = server.address(prefix) if is_there else server.address(prefix).replace("s3://images/", "s3://nothing/")
    settings = read_settings({"JOURNEY_MCP_STORE": address, "JOURNEY_MCP_DATA_DIR": str(tmp_path)})
    (found,) = [finding for finding in await examine(settings) if finding.about == "image store"]
    expected = ("ok", "can be written and read") if is_there else ("problem", "the image store has no such bucket")
    assert (found.verdict, expected[1] in found.message) == (expected[0], True)
    assert server.keys(prefix) == {}
