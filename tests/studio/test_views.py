"""Views of finished images: from copies and links, alone and on sheets, within their bytes; who may not see what."""

import math
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from drawn import drawn, opened, written
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from support import (
    Environment,
    created,
    make_environment,
    make_request,
    make_wide_environment,
    serving,
    statements,
)

from journey_mcp.core.errors import ImageUnavailable, UnknownImage
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Task, new_task_id
from journey_mcp.core.views import VIEW_SIZES, Panel, View
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.thumbnails import MAX_BYTES
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.clients import open_clients
from journey_mcp.settings.trusted_hosts import TrustedHosts
from journey_mcp.store import open_store
from journey_mcp.studio.keep import KeepRequest
from journey_mcp.studio.originals import NoOriginal, Originals

BFL: dict[str, Any] = {"model": "flux-2-pro", "prompt": "a red kite"}
GRID: dict[str, Any] = {"model": "midjourney"}


async def look(here: Environment, *ids: str, principal: Principal = LOCAL, **more: Any) -> View:
    """Return a view."""
    return await here.studio.views.look(ids, principal, **{"size": 512, "layout": "sheet", **more})


def errors(view: View) -> Iterator[tuple[str, str, str]]:
    """Yield id, code and message of each image that is not in the view."""
    for one in view.unseen:
        assert one.error.failure.next_step
        yield one.id, one.error.failure.code, str(one.error)


@cache
def noise() -> bytes:
    """Return an image that does not compress well."""
    return written(Image.merge("RGB", [Image.effect_noise((1100, 1100), 250) for _ in range(3)]), "jpeg", quality=95)


def keep_noise(here: Environment, task: Task, number: int = 1) -> None:
    """Store it as the copy of a task's image."""
    path = here.folder / "pictures" / f"{task.id}.{number}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(noise())


class CopiedMeanwhile:
    """Background copies, of which one ends while a caller waits for its image."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def wait(self, task_ids: Collection[str], seconds: float) -> None:
        """Copy it."""
        assert [*task_ids] == [self._path.stem.partition(".")[0]]
        assert seconds > 0
        self._path.parent.mkdir()
        self._path.write_bytes(noise())


async def test_an_image_that_is_being_copied_is_not_downloaded_as_well(tmp_path: Path) -> None:
    """The view waits for the copy."""
    async with make_environment(tmp_path, "image:dead_image", JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        path = tmp_path / "pictures" / f"{task.id}.1.jpg"
        settings = here.studio.settings
        async with open_store(settings.resolved_database_url()) as store, open_clients(settings) as clients:
            folder, safe_http = ImageFolder(tmp_path), SafeHttpClient(TrustedHosts())
            renewed = RenewedLinks(here.clock, clients, safe_http)
            originals = Originals(store, here.clock, folder, CopiedMeanwhile(path), safe_http, renewed)
            (found,) = await originals.find([f"{task.id}.1"], LOCAL)
            assert not isinstance(found, NoOriginal)
            assert await originals.load(found) == path


@pytest.mark.parametrize("size", VIEW_SIZES)
async def test_an_image_is_downloaded_from_its_link(tmp_path: Path, size: int) -> None:
    """Once: then its thumbnail is kept."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        assert task.images[0].path is None
        for _ in range(2):
            view = await look(here, f"{task.id}.1", size=size)
            (seen,), (jpeg,) = view.seen, view.jpegs
            assert (view.layout, view.size, view.unseen) == ("each", size, ())
            assert (seen.id, seen.label) == (f"{task.id}.1", None)
            assert max(opened(jpeg).size) == min(size, seen.width)
            here.faults("image:dead_image,times=always")
        (kept,) = (tmp_path / "thumbnails").iterdir()
        assert kept.stat().st_mtime == pytest.approx(task.created_at)


async def test_an_image_is_read_from_its_copy(tmp_path: Path) -> None:
    """Also when the link has expired."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        task = await here.made(**BFL)
        here.clock.shift_calendar(3600)
        here.faults("image:dead_image,times=always")
        (seen,) = (await look(here, f"{task.id}.1")).seen
        assert (seen.width, seen.height) == (task.images[0].width, task.images[0].height)


async def test_a_task_stands_for_all_its_images_on_a_numbered_sheet(tmp_path: Path) -> None:
    """The labels are the numbers in the ids, also when only some images are shown."""
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        view = await look(here, task.id)
        assert (view.layout, len(view.jpegs)) == ("sheet", 1)
        assert [(one.id, one.label) for one in view.seen] == [(f"{task.id}.{n}", str(n)) for n in range(1, 5)]
        assert max(opened(view.jpegs[0]).size) == 516
        two = await look(here, f"{task.id}.4", f"`{task.id}.2`")
        assert [one.label for one in two.seen] == ["4", "2"]


async def test_images_of_several_tasks_are_numbered_in_their_order(tmp_path: Path) -> None:
    """Each once."""
    async with make_environment(tmp_path) as here:
        one, two = await here.made(), await here.made()
        view = await look(here, f"{two.id}.1", f"{one.id}.1", f"{two.id}.1", two.id)
        assert [(seen.id, seen.label) for seen in view.seen] == [(f"{two.id}.1", "1"), (f"{one.id}.1", "2")]


async def test_each_image_alone(tmp_path: Path) -> None:
    """Without labels."""
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        view = await look(here, task.id, layout="each", size=320)
        assert (view.layout, [one.label for one in view.seen]) == ("each", [None] * 4)
        assert [max(opened(jpeg).size) for jpeg in view.jpegs] == [320] * 4


async def test_what_is_more_than_four_is_named(tmp_path: Path) -> None:
    """The first four are shown."""
    async with make_environment(tmp_path) as here:
        grid, more = await here.made(**GRID), await here.made()
        view = await look(here, grid.id, more.id)
        assert len(view.seen) == 4
        assert [*errors(view)] == [(f"{more.id}.1", "too_many_images", "At most 4 images are shown at once.")]


async def test_unknown_and_foreign_images_are_answered_alike(tmp_path: Path) -> None:
    """Nobody learns that another principal has the task, even when its thumbnail is kept."""
    async with make_environment(tmp_path) as here:
        theirs = await here.studio.wait_for_new(
            await created(here.studio, make_request(), Principal("somebody else")), 900
        )
        assert theirs.status is Status.SUCCEEDED
        assert (await look(here, f"{theirs.id}.1", principal=Principal("somebody else"))).seen
        unknown = f"tsk_{'x' * 22}"
        view = await look(here, f"{theirs.id}.1", f"{unknown}.1", theirs.id, unknown)
        assert not view.seen
        assert [(code, text.replace(theirs.id, unknown)) for _, code, text in errors(view)] == [
            ("unknown_image", f"There is no task {unknown}.")
        ] * 4
        assert view.jpegs == ()


async def test_an_image_that_does_not_exist_is_named_beside_those_that_do(tmp_path: Path) -> None:
    """Running, failed, beyond the last number, and no id at all."""
    async with make_environment(tmp_path, "submit:fail_task=filtered,after=1,times=1", "submit:hang,after=2") as here:
        made, failed = await here.made(), await here.made()
        running = await created(here.studio, make_request())
        view = await look(here, f"{made.id}.1", f"{made.id}.9", f"{failed.id}.1", running.id, "the \u202ekite")
        assert [one.id for one in view.seen] == [f"{made.id}.1"]
        assert [*errors(view)] == [
            (f"{made.id}.9", "unknown_image", f"Task {made.id} has no image 9."),
            (f"{failed.id}.1", "unknown_image", f"Task {failed.id} is failed and has no image."),
            (running.id, "unknown_image", f"Task {running.id} is running and has no image."),
            (
                "the kite",
                "unknown_image",
                "'the kite' is not an image id: a task's id, a dot, and the number of the image.",
            ),
        ]


async def test_an_expired_link_without_a_copy(tmp_path: Path) -> None:
    """The person deleted the copy; nothing is downloaded."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        task = await here.made(**BFL)
        Path(task.images[0].path or "").unlink()
        here.clock.shift_calendar(3600)
        ((_, code, text),) = errors(await look(here, task.id))
        assert (code, text) == (
            "unknown_image",
            f"The link of {task.id}.1 has expired, and no copy of the image is stored.",
        )


async def test_a_dead_link_and_content_that_is_no_image(tmp_path: Path) -> None:
    """The error says what was found, and the next call tries again."""
    faults = ("image:dead_image,times=1", "image:wrong_type,after=1,times=1")
    async with make_environment(tmp_path, *faults, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        ((_, code, text),) = errors(await look(here, task.id))
        assert code == "image_unavailable"
        assert text.startswith(f"{task.id}.1 cannot be downloaded:")
        assert "404" in text
        ((_, code, text),) = errors(await look(here, task.id))
        assert code == "unusable_image"
        assert text.startswith(f"{task.id}.1 cannot be shown: it is neither")
        assert (await look(here, task.id)).seen


async def test_an_image_of_a_sandbox_that_has_ended(tmp_path: Path) -> None:
    """Its copy is shown; without one the error says what to do."""
    async with make_environment(tmp_path / "data", JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        async with here.upstream.away():
            ((_, code, text),) = errors(await look(here, task.id))
            assert code in {"unknown_image", "image_unavailable"}
            assert f"{task.id}.1" in text
            keep_noise(here, task)
            assert (await look(here, task.id)).seen


async def test_no_private_address_is_asked(tmp_path: Path) -> None:
    """The link of an upstream is as hostile as a person's: only its own host may be private."""
    async with make_environment(tmp_path) as here, serving(Starlette()) as private:
        made = await here.made()
        images = (OutputImage(url=f"{private}/secret.png"),)
        stolen = replace(made, id=new_task_id(), deduplication_key=None, images=images)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            await store.tasks.add(stolen, worker_id="x", lease_until=math.inf)
        ((_, code, text),) = errors(await look(here, stolen.id))
        assert code == "image_unavailable"
        assert text.startswith(f"{stolen.id}.1 cannot be downloaded: ")
        assert "is not fetched over plain http://" in text


async def test_an_image_that_is_too_large_is_not_tried_again(tmp_path: Path) -> None:
    """Its announced size is enough."""

    async def huge(_request: Request) -> StreamingResponse:
        return StreamingResponse(forever(), headers={"content-length": str(10**9)})

    more = {"JOURNEY_MCP_KEEP_IMAGES": "off", "JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1"}
    async with make_environment(tmp_path, **more) as here, serving(Starlette(routes=[Route("/a.png", huge)])) as site:
        made = await here.made()
        images = (OutputImage(url=f"{site}/a.png"),)
        large = replace(made, id=new_task_id(), deduplication_key=None, images=images)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            await store.tasks.add(large, worker_id="x", lease_until=math.inf)
        ((_, code, text),) = errors(await look(here, large.id))
        assert code == "unusable_image"
        assert "cannot be downloaded: it is larger than" in text


async def forever() -> AsyncIterator[bytes]:
    """Send a body until the client leaves."""
    while True:
        yield bytes(1000)
        await anyio.sleep(1)


async def test_noise_stays_within_the_bytes(tmp_path: Path) -> None:
    """The quality is lowered first, then the size."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made(**GRID)
        for number in range(1, 5):
            keep_noise(here, task, number)
        for layout in ("each", "sheet"):
            view = await look(here, task.id, size=1024, layout=layout)
            assert sum(map(len, view.jpegs)) <= MAX_BYTES
            assert len(view.seen) == 4
            assert all((one.width, one.height) == (1100, 1100) for one in view.seen)
        single = await look(here, f"{task.id}.1", size=1024)
        assert len(single.jpegs[0]) <= MAX_BYTES
        assert opened(single.jpegs[0]).size == (1024, 1024)


async def test_small_images_beside_a_large_one_keep_their_quality(tmp_path: Path) -> None:
    """Only what takes more than its share becomes smaller."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made(**GRID)
        keep_noise(here, task)
        whole = [(await look(here, f"{task.id}.{n}")).jpegs[0] for n in range(1, 5)]
        view = await look(here, task.id, layout="each", max_bytes=len(whole[0]))
        assert len(view.jpegs[0]) < len(whole[0])
        assert list(view.jpegs[1:]) == whole[1:]


async def test_a_damaged_thumbnail_is_forgotten_and_made_again(tmp_path: Path) -> None:
    """The call says so, and the next one succeeds."""
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        await look(here, task.id)
        kept = tmp_path / "thumbnails" / f"{task.id}.1-512.jpg"
        kept.write_bytes(kept.read_bytes()[:200])
        with pytest.raises(Exception, match="A stored thumbnail is damaged: it is a") as raised:
            await look(here, task.id)
        assert raised.value.failure.code == "image_unavailable"  # type: ignore[attr-defined]  # a JourneyError
        assert len((await look(here, task.id)).seen) == 4


async def test_a_comparison_shows_what_can_be_read(tmp_path: Path) -> None:
    """The others are empty cells."""
    async with make_environment(tmp_path) as here:
        grid, single = await here.made(**GRID), await here.made()
        panels = [Panel(ids=(id_,), lines=(id_[:9], "4 credits")) for id_ in (grid.id, single.id, new_task_id())]
        views = here.studio.views
        sheet = await views.comparison([*panels, Panel(ids=(), lines=("z", "failed"))], LOCAL, size=100, form="png")
        image = opened(sheet.content)
    assert (sheet.format, image.size) == ("png", (204, 232))
    empty = (40, 40, 40)
    centers = [image.getpixel((x, y)) for y in (60, 178) for x in (60, 164)]
    assert [center == empty for center in centers] == [False, False, True, True]


async def test_a_comparison_with_a_damaged_thumbnail_can_be_made_again(tmp_path: Path) -> None:
    """The thumbnail is forgotten."""
    async with make_environment(tmp_path) as here:
        task = await here.made()
        await look(here, task.id)
        kept = tmp_path / "thumbnails" / f"{task.id}.1-512.jpg"
        kept.write_bytes(kept.read_bytes()[:200])
        make = partial(here.studio.views.comparison, [Panel(ids=(task.id,), lines=())], LOCAL, size=512, form="png")
        with pytest.raises(ImageUnavailable, match="A stored thumbnail is damaged: it is a JPEG that is cut off"):
            await make()
        assert opened((await make()).content).size == (512, 512)


async def test_the_file_of_an_image(tmp_path: Path) -> None:
    """If it is on this machine."""
    async with make_environment(tmp_path) as here:
        uri = f"data:image/png;base64,{b64encode(written(drawn(), 'png')).decode()}"
        kept = await here.studio.keep_image(KeepRequest(data=uri), LOCAL)
        assert await here.studio.views.file(kept.id, LOCAL) == tmp_path / "pictures" / kept.file_name
        with pytest.raises(UnknownImage):
            await here.studio.views.file(kept.id, Principal("somebody else"))


async def test_thumbnails_are_deleted_by_age(tmp_path: Path) -> None:
    """With the tasks."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_DAYS=1) as here:
        task = await here.made()
        await look(here, task.id)
        here.clock.shift_calendar(2 * 86400)
        assert list((tmp_path / "thumbnails").iterdir())
        await here.clock.skip(3700)
        assert not list((tmp_path / "thumbnails").iterdir())


async def test_tasks_are_read_in_one_statement(tmp_path: Path) -> None:
    """However many images are asked for."""
    async with make_environment(tmp_path) as here:
        tasks = [await here.made() for _ in range(3)]
        await look(here, *(task.id for task in tasks))
        with statements("FROM tasks") as seen:
            await look(here, *(task.id for task in tasks))
        assert len(seen) == 1


async def test_an_image_that_was_kept_from_the_person(tmp_path: Path) -> None:
    """Alone, and on a sheet, where images are numbered in their order; its thumbnail has its age."""
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        uri = f"data:image/png;base64,{b64encode(written(drawn(), 'png')).decode()}"
        kept = await here.studio.keep_image(KeepRequest(data=uri), LOCAL)
        view = await look(here, kept.id)
        assert [(one.id, one.width, one.height) for one in view.seen] == [(kept.id, 48, 32)]
        assert opened(view.jpegs[0]).size == (48, 32)
        both = await look(here, f"{task.id}.3", kept.id)
        assert [(one.id, one.label) for one in both.seen] == [(f"{task.id}.3", "1"), (kept.id, "2")]
        thumbnail = tmp_path / "thumbnails" / f"{kept.id}-512.jpg"
        assert thumbnail.stat().st_mtime == pytest.approx(here.clock.now(), abs=5)


async def test_a_kept_image_that_is_unknown_foreign_or_deleted(tmp_path: Path) -> None:
    """All are answered alike."""
    async with make_environment(tmp_path) as here:
        uri = f"data:image/png;base64,{b64encode(written(drawn(), 'png')).decode()}"
        theirs = await here.studio.keep_image(KeepRequest(data=uri), Principal("somebody else"))
        deleted = await here.studio.keep_image(KeepRequest(data=uri), LOCAL)
        next((tmp_path / "pictures").glob(f"{deleted.id}.*")).unlink()
        ids = [theirs.id, deleted.id, f"up_{'x' * 22}"]
        assert [*errors(await look(here, *ids))] == [
            (id_, "unknown_image", f"There is no image {id_}, or not any more.") for id_ in [ids[0], ids[2], ids[1]]
        ]
