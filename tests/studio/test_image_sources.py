"""Image sources: found in every spelling before anything is read, sent or paid."""

import base64
import json
import os
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from manual_clock import until
from support import (
    Environment,
    client_of,
    coarse,
    created,
    environment_of,
    make_environment,
    make_environment_without_copies,
    make_request,
    make_wide_environment,
    make_wide_environment_without_copies,
    settings_for,
    statements,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import InvalidRequest
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import ImageId
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.engine.retention import Retention
from journey_mcp.media import formats
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.clients import open_clients
from journey_mcp.registry import load
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store
from journey_mcp.studio.hosting import Hosting
from journey_mcp.studio.image_sources import ImageFinder, image_at
from journey_mcp.studio.uploads import Uploads
from studio.test_inputs import KONTEXT, data_uri, image_bytes, sent_image

pytestmark = pytest.mark.on_disk
URL = "https://example.com/cat.png"


async def refusal(here: Environment, **more: Any) -> InvalidRequest:
    """Return why a request is rejected; nothing was sent or stored for it."""
    before = len(here.sent), len(await here.studio.newest(LOCAL))
    with pytest.raises(InvalidRequest) as raised:
        await here.made(**more)
    assert (len(here.sent), len(await here.studio.newest(LOCAL))) == before
    assert raised.value.failure.next_step
    return raised.value


# --- data


async def test_base64_without_a_prefix_is_accepted_where_data_is(tmp_path: Path) -> None:
    """Where data is not accepted, the error says so: case 1."""
    text = base64.b64encode(image_bytes("JPEG")).decode()
    assert text.startswith("/9j/")
    async with make_wide_environment_without_copies(tmp_path, services=["bfl", "journeyapi"]) as here:
        task = await here.made(**KONTEXT, image=text)
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to("bfl")[0]).size == (160, 120)
        assert (task.request.image or "").startswith("data:sha256=")
        assert text[30:80] not in repr(task)
        error = await refusal(here, **KONTEXT, image=text, provider="journeyapi")
        assert error.failure.code == "data_not_taken"
        assert "takes images as URLs only; image='/9j/" in str(error)


async def test_two_megabytes_of_base64_are_not_a_path(tmp_path: Path) -> None:
    """Case 2: an image, and text that is not an image."""
    noise = image_bytes("PNG", (900, 760))
    text = base64.b64encode(noise).decode()
    assert len(text) > 2_000_000
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        task = await here.made(**KONTEXT, image=text)
        assert task.status is Status.SUCCEEDED, task.failure
        for nothing in ("A" * 2_000_000, "/a" * 1_000_000, f"data:image/png;base64,{'A' * 2_000_000}"):
            assert (await refusal(here, **KONTEXT, image=nothing)).failure.code == "unusable_image"
        assert (await refusal(here, **KONTEXT, image="/a." * 700_000)).failure.code == "unusable_image"


async def test_other_calls_are_answered_while_data_is_decoded(tmp_path: Path) -> None:
    """Data is decoded in a thread, and the call can be cancelled."""
    text = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4_000_000)).decode()
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        steps = 0

        async def refuse() -> None:
            with pytest.raises(InvalidRequest):
                await created(here.studio, make_request(**KONTEXT, image=text))
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(refuse)
            while True:
                steps += 1
                await anyio.lowlevel.checkpoint()
        assert steps > 10


@pytest.mark.parametrize("spell", [str.lower, lambda text: f"<{text}>", lambda text: f"![cat]({text})"])
async def test_the_same_url_in_another_spelling_is_the_same_call(tmp_path: Path, spell: Any) -> None:
    """Cases 4 and 6: the stored URL is the one that was sent."""
    async with make_wide_environment_without_copies(tmp_path, "submit:hang", services=["journeyapi"]) as here:
        first = await here.studio.create(make_request(**KONTEXT, image="HTTPS://Example.com/cat.png"), LOCAL)
        joined = await here.studio.create(make_request(**KONTEXT, image=spell(URL)), LOCAL)
        assert first.task.request.image == URL
        assert joined.task.id == first.task.id
        await until(lambda: here.sent_to("journeyapi"))
        assert here.sent_to("journeyapi")[0]["image_url"] == URL


async def test_the_same_data_in_another_spelling_is_the_same_call(tmp_path: Path) -> None:
    """Data is compared by its content."""
    uri = data_uri(image_bytes())
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        first = await here.studio.create(make_request(**KONTEXT, image=uri), LOCAL)
        joined = await here.studio.create(make_request(**KONTEXT, image=uri.partition(",")[2]), LOCAL)
        assert joined.task.id == first.task.id


async def test_the_same_file_in_another_spelling_is_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that repeats a call may spell the path differently."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my cat.png").write_bytes(image_bytes())
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        first = await here.studio.create(make_request(**KONTEXT, image="my cat.png"), LOCAL)
        for text in (r"my\ cat.png", "@'my cat.png'", str(tmp_path / "my cat.png"), "./my cat.png"):
            assert (await here.studio.create(make_request(**KONTEXT, image=text), LOCAL)).task.id == first.task.id


async def test_a_url_without_scheme_is_a_url_unless_a_file_has_this_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 5."""
    work = tmp_path / "work"
    (work / "example.com").mkdir(parents=True)
    monkeypatch.chdir(work)
    async with make_wide_environment_without_copies(tmp_path / "data", services=["journeyapi", "bfl"]) as here:
        task = await here.made(**KONTEXT, image="www.example.com/cat.png")
        assert here.sent[-1]["image_url"] == task.request.image == "https://www.example.com/cat.png"
        assert any("was read as https://www.example.com/cat.png" in str(notice) for notice in task.notices)
        (work / "example.com" / "cat.png").write_bytes(image_bytes())
        await here.made(**KONTEXT, image="example.com/cat.png", provider="bfl")
        assert sent_image(here.sent_to("bfl")[0]).size == (160, 120)
        error = await refusal(here, **KONTEXT, image="example.com/cats.png")
        assert '"cat.png"' in str(error)


async def test_over_http_it_is_always_a_url(tmp_path: Path) -> None:
    """Over HTTP there are no files."""
    async with make_wide_environment_without_copies(tmp_path, services=["journeyapi"]) as here:
        task = await created(here.studio, make_request(**KONTEXT, image="example.com/cat.png"), files_allowed=False)
        assert task.request.image == URL


# --- files


async def test_files_are_found_as_tools_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases 7 and 8; a notice states the file that was used."""
    (tmp_path / "My Pictures").mkdir()
    (tmp_path / "My Pictures" / "cat 1.jpg").write_bytes(image_bytes("JPEG"))
    (tmp_path / "Shot at 9.41\u202fAM.png").write_bytes(image_bytes())
    monkeypatch.chdir(tmp_path)
    async with make_wide_environment_without_copies(tmp_path / "data", services=["bfl"]) as here:
        for text in (
            "My\\ Pictures/cat\\ 1.jpg",
            f"file:{tmp_path}/My%20Pictures/cat%201.jpg",
            "@My Pictures/cat 1.jpg",
        ):
            task = await here.made(**KONTEXT, image=text)
            assert task.status is Status.SUCCEEDED, task.failure
            assert not any("looks the same" in str(notice) for notice in task.notices)
        task = await here.made(**KONTEXT, image="Shot at 9.41 AM.png")
        assert any("looks the same" in str(notice) for notice in task.notices)
        error = await refusal(here, **KONTEXT, image="Shot at 9.42 AM.png")
        assert '"Shot at 9.41 AM.png"' in str(error)


ATTACHMENTS = ["sandbox:/mnt/data/cat.png", "attachment://cat.png", "blob:https://x.test/1", "[Image #1]", "{{image}}"]


async def test_a_chat_attachment_is_explained_in_a_sentence(tmp_path: Path) -> None:
    """The error has a next step."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        for text, argument in product(ATTACHMENTS, ["image", "mask", "reference_images"]):
            model = "flux-fill-pro" if argument == "mask" else "flux-2-pro"
            given: dict[str, Any] = {**KONTEXT, "model": model, "image": URL}
            given[argument] = (text,) if argument == "reference_images" else text
            error = await refusal(here, **given)
            assert str(error) == f"{argument}={text!r}: chat attachments do not reach a server."
            assert "Save it as a file" in (error.failure.next_step or ""), (argument, text)
            assert error.failure.code == "unusable_image", (argument, text)


async def test_a_file_that_is_missing_may_be_in_the_chat(tmp_path: Path) -> None:
    """Chats give attachments such names."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        for text in ("image.png", "/mnt/data/cat.png", "/mnt/user-data/uploads/cat.png"):
            step = (await refusal(here, **KONTEXT, image=text)).failure.next_step
            assert "do not reach a server" in (step or ""), text
        for elsewhere in ("./image.png", "~/image.png"):
            step = (await refusal(here, **KONTEXT, image=elsewhere)).failure.next_step
            assert "do not reach" not in (step or "")


BAD_VALUES = [
    ("/a." * 2000, "unusable_image", "at most 4,096 characters"),
    ("https://example.com/cat.png (the cat)", "malformed_url", "no blanks"),
    (f"{URL} {URL}", "unusable_image", "several"),
    (f"data:image/png;base64,{'iVBORw0KGgo'}…", "unusable_image", "'…' is not a base64 character"),
    ("tsk_1", "unknown_image", "task's id, a dot"),
    (
        "https://kim:pass@example.com/cat.png",
        "malformed_url",
        "'https://example.com/cat.png' has a user",
    ),
]


async def test_a_bad_value_is_explained(tmp_path: Path) -> None:
    """Nothing is paid, and the check is fast."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        for text, code, says in BAD_VALUES:
            error = await refusal(here, **KONTEXT, image=text)
            assert error.failure.code == code, text[:90]
            assert says in str(error)


# --- our own images


async def earlier_task(here: Environment) -> Task:
    """Return a finished task whose link expires in ten minutes and whose image has a stored copy."""
    return await here.made(model="flux-2-pro", prompt="a kite")


async def test_the_url_of_our_image_is_known_complete_or_cut(tmp_path: Path) -> None:
    """Case 30: it is read as the id, so the complete URL is sent."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await earlier_task(here)
        url = first.images[0].url
        assert "?" in url
        base, _, query = url.partition("?")
        scheme, rest = url.split("://")
        for text in (
            url,
            base,
            f"{base}?",
            f"{base}?{query[:9]}",
            f"<{base}>",
            f"{scheme.upper()}://{rest}",
            f"{url}#a",
        ):
            task = await here.made(**KONTEXT, image=text)
            assert task.request.image == f"{first.id}.1"
            assert here.sent_to("bfl")[-1]["input_image"] == url


async def test_the_id_of_a_task_is_its_only_image(tmp_path: Path) -> None:
    """If the task has several images, the error lists their ids."""
    async with make_wide_environment(tmp_path, services=["bfl", "journeyapi"]) as here:
        one, four = await earlier_task(here), await here.made(model="midjourney", prompt="a kite")
        task = await here.made(**KONTEXT, image=f"task_id: {one.id}")
        assert task.request.image == f"{one.id}.1"
        error = await refusal(here, **KONTEXT, image=four.id)
        assert str(error) == f"image='{four.id}' is a task with 4 images."
        assert f"{four.id}.1, {four.id}.2" in (error.failure.next_step or "")
        assert "There is no task" in str(await refusal(here, **KONTEXT, image=f"tsk_{'x' * 22}"))


NOT_PUBLIC = [
    ("https://your-image-url", "is not a public HTTPS URL"),
    ("https://nas.lan/cat.png", "is not a public HTTPS URL"),
    ("https://kim:s3cret@example.com/cat.png", "has a user name or password"),
]


async def test_a_url_that_no_provider_can_fetch_is_rejected(tmp_path: Path) -> None:
    """A password is not shown."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        for url, says in NOT_PUBLIC:
            error = await refusal(here, **KONTEXT, image=url)
            assert says in str(error)
            assert "s3cret" not in str(error.failure)


async def test_the_url_of_our_image_is_replaced_by_the_copy_once_it_has_expired(tmp_path: Path) -> None:
    """The same holds for its id."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await earlier_task(here)
        here.clock.shift_calendar(601)
        task = await here.made(**KONTEXT, image=first.images[0].url.partition("?")[0])
        assert task.status is Status.SUCCEEDED, task.failure
        assert task.request.image == f"{first.id}.1"
        assert sent_image(here.sent_to("bfl")[1]).format
        Path(first.images[0].path or "").unlink()
        error = await refusal(here, **KONTEXT, image=first.images[0].url)
        assert error.failure.code == "unknown_image"


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("https://a.test/1.png?sig=abc&exp=9", 1),
        ("https://a.test/1.png", 1),
        ("https://a.test/1.png?sig=ab", 1),
        ("https://a.test/1.png#top", 1),
        ("https://a.test/1.png?sig=xyz", None),
        ("https://a.test/1.png?sig=abc&exp=9&more=1", 1),
        ("https://a.test/1.png?utm_source=chat.example", 1),
        ("https://a.test/1.png?exp=9", 1),
        ("https://a.test/1.png?download", 1),
        ("https://a.test/1.png%3Fsig%3Dabc%26exp%3D9", 1),
        ("https://a.test/%31.png", 1),
        ("https://a.test/view?id=2&utm_source=chat.example", 2),
        ("https://a.test/view?id=2&more=1", None),
        ("https://a.test/1.pn", None),
        ("https://a.test/view?id=2", 2),
        ("https://a.test/view?id=3", 3),
        ("https://a.test/view?id=", None),
        ("https://a.test/view", None),
        ("https://b.test/1.png", None),
    ],
)
def test_a_cut_query_differs_from_another_query(url: str, number: int | None) -> None:
    """A parameter that selects the image means another image, and so does one that fits two of our images."""
    urls = ["https://A.test/1.png?sig=abc&exp=9", "https://a.test/view?id=2", "https://a.test/view?id=3"]
    images = [(ImageId("tsk_a", n), its) for n, its in enumerate(urls, start=1)]
    assert image_at(url, images) == (number and ImageId("tsk_a", number))


async def test_the_url_of_our_image_is_known_with_an_added_parameter(tmp_path: Path) -> None:
    """The provider would refuse the signed link, and perhaps charge for it."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await earlier_task(here)
        url = first.images[0].url
        for text in (f"{url}&utm_source=chat.example", f"{url.partition('?')[0]}?width=640", quote(url, safe=":/")):
            task = await here.made(**KONTEXT, image=text)
            assert task.request.image == f"{first.id}.1"
            assert here.sent_to("bfl")[-1]["input_image"] == url


async def test_a_url_with_another_value_is_sent_as_it_is(tmp_path: Path) -> None:
    """The value may select another image."""
    async with make_wide_environment_without_copies(
        tmp_path, services=["bfl"], JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1"
    ) as here:
        other = (await earlier_task(here)).images[0].url.partition("?")[0] + "?sig=7"
        assert (await created(here.studio, make_request(**KONTEXT, image=other))).request.image == other


async def test_urls_of_other_principals_are_not_known(tmp_path: Path) -> None:
    """Only the principal's images are known."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await earlier_task(here)
        task = await created(here.studio, make_request(**KONTEXT, image=first.images[0].url), Principal("another"))
        assert task.request.image == first.images[0].url


async def test_the_path_of_a_copy_is_the_images_id(tmp_path: Path) -> None:
    """The data folder is not an allowed folder, and over HTTP there are no paths: the file name is the id."""
    async with make_wide_environment(tmp_path, services=["bfl", "journeyapi"]) as here:
        first = await earlier_task(here)
        path = first.images[0].path or ""
        for text in (path, f"file://{path}", f"`{path}`", Path(path).name):
            for files_allowed in (True, False):
                task = await created(here.studio, make_request(**KONTEXT, image=text), files_allowed=files_allowed)
                assert task.request.image == f"{first.id}.1"
                await here.studio.wait_for_new(task, 900)
        error = await refusal(here, **KONTEXT, image=path.replace(first.id[-3:], "xxx"))
        assert error.failure.code == "file_not_allowed"


async def test_a_copy_in_an_allowed_folder_is_the_images_id_as_well(tmp_path: Path) -> None:
    """A provider that takes URLs only can then run it."""
    folder = tmp_path / "pictures"
    async with make_wide_environment(tmp_path, services=["bfl", "journeyapi"], JOURNEY_MCP_IMAGE_DIRS=folder) as here:
        first = await earlier_task(here)
        task = await created(here.studio, make_request(**KONTEXT, image=first.images[0].path))
        assert task.request.image == f"{first.id}.1"


@pytest.mark.parametrize("is_expired", [False, True])
async def test_a_copy_that_is_deleted_meanwhile(tmp_path: Path, *, is_expired: bool) -> None:
    """The link may still work; without one, the error says what happened."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await earlier_task(here)
        here.clock.shift_calendar(601 * is_expired)
        settings = here.studio.settings
        async with open_store(settings.resolved_database_url()) as store:
            stored = ImageFolder(tmp_path)
            retention = Retention(stored, store, here.clock, max_bytes=1)
            hosting = Hosting(ImageLinks((), None), Uploads(store, stored, retention, here.clock), stored, here.clock)
            async with open_clients(settings) as clients:
                renewed = RenewedLinks(here.clock, clients, here.studio.safe_http)
            finder = ImageFinder(store, here.clock, (), tmp_path, here.studio.safe_http, stored, hosting, renewed)
            found = await finder.find(make_request(**KONTEXT, image=f"{first.id}.1"), LOCAL, files_allowed=True)
            assert found.sources[0].copy
            Path(first.images[0].path or "").unlink()
            (offer,) = here.studio.catalog.offers["flux-kontext-pro"]
            (account,) = accounts_of(settings, load())
            preparing = found.prepared(offer, account, here.studio.safe_http, Unchanged())
            if not is_expired:
                assert (await preparing)[0][0].url == first.images[0].url
                return
            with pytest.raises(InvalidRequest, match="its copy was deleted since it was found") as raised:
                await preparing
            assert raised.value.failure.code == "unusable_image"


class Unchanged:
    """Images and masks that need no change."""

    async def fit(self, content: bytes, _limits: formats.Limits) -> tuple[formats.ImageData, tuple[Notice, ...]]:
        """Return the image."""
        return formats.probe(content), ()

    async def mask(self, content: bytes, _size: tuple[int, int]) -> formats.ImageData:
        """Return the mask."""
        return formats.probe(content)


# --- copies


async def test_an_image_is_edited_after_the_sandbox_that_made_it_has_ended(tmp_path: Path) -> None:
    """The next one hosts the copy: at a real provider the link would still work."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})
    async with client_of(settings) as client:
        made = (await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})).structured_content or {}
    async with client_of(settings) as client:
        image = f"{made['task_id']}.2"
        result = await client.call_tool("edit_image", {"prompt": "make it blue", "image": image, "wait_s": 60})
        assert (result.structured_content or {})["status"] == "succeeded", result
        (tmp_path / "pictures" / f"{made['task_id']}.3.png").unlink()
        gone = await client.call_tool("edit_image", {"prompt": "make it blue", "image": f"{made['task_id']}.3"})
        assert "sandbox that ended with its process" in str(gone.structured_content)


async def test_an_image_of_a_sandbox_is_edited_at_a_provider_that_takes_data(tmp_path: Path) -> None:
    """The person has a key now. One that takes links only says what is left of the image."""
    async with client_of(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})) as client:
        made = (await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})).structured_content or {}
    async with make_wide_environment(tmp_path, services=["bfl", "journeyapi"]) as here:
        image = f"{made['task_id']}.1"
        task = await here.made(**KONTEXT, image=image)
        assert (task.status, task.provider) == (Status.SUCCEEDED, "bfl"), task.failure
        assert sent_image(here.sent_to("bfl")[0]).size == (1024, 1024)
        error = await refusal(here, **KONTEXT, image=image, provider="journeyapi")
        assert error.failure.code == "data_not_taken"
        assert str(error).endswith(f"{image} is an earlier image of a sandbox that has ended: only its copy is left.")


async def test_an_image_is_edited_after_its_link_has_died(tmp_path: Path) -> None:
    """Two weeks later, at a provider that takes data; the call is the same whether there is a copy or not."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"], JOURNEY_MCP_KEEP_DAYS=90) as here:
        first = await here.made(model="z-image")
        link = await here.made(**KONTEXT, image=f"{first.id}.1", provider="journeyapi")
        assert link.images[0].expires_at is not None
        early = await here.studio.create(make_request(**KONTEXT, image=f"{link.id}.1", provider="bfl"), LOCAL)
        await here.studio.wait_for_copies({link.id: link}, 60)
        same = await here.studio.create(make_request(**KONTEXT, image=f"{link.id}.1", provider="bfl"), LOCAL)
        assert same.task.id == early.task.id
        await here.studio.wait_for_new(early.task, 60)
        assert here.sent_to("bfl")[-1]["input_image"] == link.images[0].url
        here.clock.shift_calendar(15 * 86400)
        late = await here.made(**KONTEXT, image=f"{link.id}.1", provider="bfl")
        assert late.status is Status.SUCCEEDED, late.failure
        assert sent_image(here.sent_to("bfl")[-1]).format
        error = await refusal(here, **KONTEXT, image=f"{link.id}.1", provider="journeyapi")
        assert str(error).endswith("is an earlier image whose link has expired: only its copy is left.")


async def test_a_link_whose_lifetime_is_unknown_is_not_trusted_for_long(tmp_path: Path) -> None:
    """A provider that takes data gets the copy from the next day on; one that does not gets the link."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"]) as here:
        first = await here.made(model="z-image")
        assert first.images[0].expires_at is None
        await here.studio.wait_for_copies({first.id: first}, 60)
        await here.made(**KONTEXT, image=f"{first.id}.1", provider="bfl")
        assert here.sent_to("bfl")[-1]["input_image"] == first.images[0].url
        here.clock.shift_calendar(2 * 86400)
        await here.made(**KONTEXT, image=f"{first.id}.1", provider="bfl")
        assert sent_image(here.sent_to("bfl")[-1]).format
        await here.made(**KONTEXT, image=f"{first.id}.1", provider="journeyapi")
        assert here.sent_to("journeyapi")[-1]["image_url"] == first.images[0].url


async def test_an_old_link_is_asked_for_before_a_provider_gets_it(tmp_path: Path) -> None:
    """If it is dead, the call moves to a provider that takes the copy; one without an answer may be alive."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"]) as here:
        first = await here.made(model="z-image")
        await here.studio.wait_for_copies({first.id: first}, 60)
        here.clock.shift_calendar(2 * 86400)
        edit = {**KONTEXT, "image": f"{first.id}.1"}
        for fault in ("image:status=503", "image:dead_image"):
            here.faults(fault)
            task = await here.made(**{**edit, "prompt": fault})
            assert task.status is Status.SUCCEEDED, task.failure
            # its copy would meet the next fault
            await here.studio.wait_for_copies({task.id: task}, 60)
        assert here.created[1:] == ["journeyapi", "bfl"]
        assert "journeyapi was skipped" in " ".join(map(str, task.notices))
        here.faults("image:dead_image")
        error = await refusal(here, **edit, provider="journeyapi")
        assert str(error).endswith("is an earlier image whose link has expired: only its copy is left.")


async def test_an_image_without_a_link_can_still_be_refined_where_it_was_made(tmp_path: Path) -> None:
    """Its provider knows it by the task, so the error names these actions, and one of them works."""
    async with make_environment(tmp_path) as here:
        grid = await here.made(model="midjourney")
        await here.studio.wait_for_copies({grid.id: grid}, 60)
        here.clock.shift_calendar(15 * 86400)
        here.faults("image:dead_image")
        image = f"{grid.id}.2"
        error = await refusal(here, **KONTEXT, image=image)
        assert error.failure.code == "data_not_taken"
        assert (
            f"Or call refine_image, which needs no link to {image}: single, upscale_2x, upscale_4x, vary, reroll."
            in (error.failure.next_step or "")
        )
        request = ImageRequest(tool="refine_image", action="single", model="single", image=image)
        single = await here.studio.wait_for_new(await created(here.studio, request), 900)
        assert single.status is Status.SUCCEEDED, single.failure
        edited = await here.made(**KONTEXT, image=f"{single.id}.1")
        assert edited.status is Status.SUCCEEDED, edited.failure


async def test_the_lookup_of_our_urls_is_bounded(tmp_path: Path) -> None:
    """There is one statement for all images of a call, by the index of the principal, and none without a URL."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        with statements("LIKE") as asked:
            await created(here.studio, make_request(**KONTEXT, image=data_uri(image_bytes())))
            assert asked == []
            urls = tuple(f"https://example.com/{n}.png" for n in range(3))
            await created(
                here.studio, make_request(**{**KONTEXT, "model": "flux-2-pro"}, image=URL, reference_images=urls)
            )
        assert len(asked) == 1
        assert "LIMIT" in asked[0][0]


# --- refused before anything is read (W4)


async def test_a_call_that_is_refused_reads_no_file(tmp_path: Path) -> None:
    """Too many images, a model that takes none, or a bad value: the missing file is not reported."""
    (tmp_path / "huge.png").write_bytes(b"")
    os.truncate(tmp_path / "huge.png", 10**12)
    path = str(tmp_path / "huge.png")
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        error = await refusal(here, **KONTEXT, image=path, reference_images=(path,) * 40)
        assert error.failure.code == "too_many_images"
        error = await refusal(here, **KONTEXT, image=path, aspect_ratio="1000:1")
        assert error.failure.code == "unsupported_value"
        error = await refusal(here, **KONTEXT, image=path)
        assert "is larger than" in str(error)
    async with make_environment_without_copies(tmp_path / "data2", JOURNEY_MCP_IMAGE_DIRS=tmp_path) as here:
        assert (await refusal(here, **KONTEXT, image=path)).failure.code == "data_not_taken"


async def test_too_many_at_a_pinned_provider_names_those_that_take_them(tmp_path: Path) -> None:
    """The error has the form of every other reason."""
    given: dict[str, Any] = {**KONTEXT, "model": "seedream-4.5", "provider": "journeyapi", "image": URL}
    async with make_wide_environment_without_copies(tmp_path) as here:
        error = await refusal(here, **given)
        assert error.failure.code == "image_not_taken"
        assert "Leave provider out, or name one that takes this as it is: vtrix" in (error.failure.next_step or "")


async def test_any_number_of_names_is_counted_first(tmp_path: Path) -> None:
    """The count is checked before each name is parsed."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        ids = tuple(f"tsk_{n:022}.1" for n in range(100_000))
        assert (await refusal(here, **KONTEXT, image=URL, reference_images=ids)).failure.code == "too_many_images"


async def test_one_file_is_read_once_whatever_its_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is also re-encoded once; it counts as several images."""
    (tmp_path / "a b.png").write_bytes(image_bytes())
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {**KONTEXT, "model": "flux-2-pro"}
    async with make_wide_environment_without_copies(tmp_path / "data", services=["bfl"]) as here:
        names = ("a b.png", "a\\ b.png", str(tmp_path / "a b.png"))
        task = await here.made(**given, image="a b.png", reference_images=names)
        assert task.status is Status.SUCCEEDED, task.failure
        sent = here.sent_to("bfl")[0]
        assert len({value for key, value in sent.items() if key.startswith("input_image")}) == 1
        assert len([key for key in sent if key.startswith("input_image")]) == 4


async def test_the_images_of_a_call_have_a_total_limit(tmp_path: Path) -> None:
    """Each image alone may be small enough."""
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(bytes([n]))
        os.truncate(tmp_path / f"{n}.png", 60 * 2**20)
    given: dict[str, Any] = {**KONTEXT, "model": "flux-2-pro"}
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        paths = [str(tmp_path / f"{n}.png") for n in range(3)]
        error = await refusal(here, **given, image=paths[0], reference_images=tuple(paths[1:]))
        assert "134,217,728 bytes in total" in str(error)


# --- through the tools


@pytest.mark.parametrize(
    "more",
    [
        {"image": [URL], "reference_images": f"{URL}?b {URL}?c"},
        {
            "image": {"url": URL},
            "reference_images": [{"type": "image_url", "image_url": {"url": f"{URL}?b"}}, f"{URL}?c"],
        },
        {"image": json.dumps([URL]), "reference_images": json.dumps([f"{URL}?b", f"{URL}?c"])},
        {"image": f"[cat]({URL})", "reference_images": [f"<{URL}?b>", f"![]({URL}?c)"]},
    ],
)
async def test_arguments_may_be_lists_and_blocks(tmp_path: Path, more: dict[str, Any]) -> None:
    """Models of all vendors write them so."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        async with client_of(read_settings(environment_of(upstream, tmp_path, "bfl"))) as client:
            arguments = {"prompt": "blue", "model": "flux-2-pro", **more}
            await client.call_tool("edit_image", arguments)  # the sandbox fetches nothing from there
        sent = upstream.sandbox.request_log.submissions[0].request
        assert [sent[key] for key in ("input_image", "input_image_2", "input_image_3")] == [URL, f"{URL}?b", f"{URL}?c"]


async def test_two_images_where_one_is_accepted_are_invalid_arguments(tmp_path: Path) -> None:
    """The error names the argument for the other image."""
    settings = settings_for("http://127.0.0.1:9", tmp_path)
    async with client_of(settings) as client:
        result = await client.call_tool("edit_image", {"prompt": "blue", "image": [URL, f"{URL}?b"]})
        assert result.is_error
        assert "reference_images" in str(result.content)
        result = await client.call_tool("edit_image", {"prompt": "blue", "image": URL, "reference_images": ["\0"]})
        assert "not text" in str(result.content)
