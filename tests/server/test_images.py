"""Stored images over HTTP: behind signed links, as images and nothing else."""

import hashlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from drawn import exif
from engine.test_outbound_webhooks import receiving
from manual_clock import ManualClock
from mcp import Client
from starlette.applications import Starlette
from studio.test_inputs import data_uri, image_bytes
from support import Authority, Environment, coarse, environment_of, free_port, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.core import telemetry
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.observability.audit import AuditLog
from journey_mcp.server.transports.http import make_app
from journey_mcp.server.transports.images import image_route
from journey_mcp.server.transports.webhooks import bind, listening_at
from journey_mcp.settings import read_settings
from journey_mcp.studio.public_images import PublicImages

BASE = "https://mcp.example.test"
KEY = b"k" * 32
OLD, NEW = "o" * 32, "n" * 32
IMAGE_ID = f"tsk_{'a' * 22}.1"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0" * 40
GIF = b"GIF89a" + bytes(range(256)) * 5000


@dataclass(frozen=True)
class Served:
    """A folder of images behind the route."""

    http: httpx2.AsyncClient
    folder: ImageFolder
    links: ImageLinks
    clock: ManualClock

    async def stored(self, content: bytes, kind: str = "gif") -> str:
        """Store an image and return its link."""
        found = await self.folder.write(IMAGE_ID, kind, content, made_at=1.0)
        link = self.links.for_an_hour(found.file_name, now=self.clock.now())
        assert link is not None
        return link.url.removeprefix(BASE)


@asynccontextmanager
async def reading(app: Starlette, port: int = 0) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve an application; yield a client of it."""
    async with serving(app, port=port) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
        yield http


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """Serve a folder of images."""
    folder, links, clock = ImageFolder(tmp_path), ImageLinks([KEY], BASE), ManualClock()
    images = PublicImages(folder, links, clock)
    async with reading(Starlette(routes=[image_route(lambda: images)])) as http:
        yield Served(http, folder, links, clock)


async def test_an_image_is_sent_as_what_it_is_and_runs_nothing(served: Served) -> None:
    """With headers that keep a browser from guessing, running, embedding credentials or forwarding the address."""
    link = await served.stored(GIF)
    answer = await served.http.get(link)
    assert (answer.status_code, answer.content) == (200, GIF)
    headers = dict(answer.headers)
    headers.pop("date", None)
    headers.pop("server", None)
    assert headers == {
        "content-type": "image/gif",
        "content-length": str(len(GIF)),
        "content-disposition": f'inline; filename="{IMAGE_ID}.gif"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "cross-origin",
        "cache-control": "private, max-age=3599, immutable",
        "etag": f'"{hashlib.sha256(GIF).hexdigest()}"',
        "accept-ranges": "bytes",
    }
    head = await served.http.head(link)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(GIF)))


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\x89PNG\r\n\x1a\n....", "png"), (AVIF, "avif"), (b"\xff\xd8\xff...", "jpeg")]
)
async def test_the_type_is_that_of_the_bytes(served: Served, content: bytes, kind: str) -> None:
    """Whatever the name of the file says."""
    answer = await served.http.get(await served.stored(content))
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")


@pytest.mark.parametrize(
    "content", [SVG, b"<!doctype html><script>alert(1)</script>", b"", b"MZ\x90\0", b"BM\0\0\0\0\0\0\0\0"]
)
async def test_what_is_no_image_for_browsers_is_not_sent(served: Served, content: bytes) -> None:
    """As if there were none, though the link is ours."""
    answer = await served.http.get(await served.stored(content))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert not content or content not in answer.content


async def test_wrong_expired_and_unknown_links_are_answered_alike(served: Served) -> None:
    """Nothing tells which images exist."""
    link = await served.stored(GIF)
    unknown = served.links.for_an_hour(f"tsk_{'b' * 22}.1.gif", now=served.clock.now())
    other_ending = served.links.for_an_hour(f"{IMAGE_ID}.png", now=served.clock.now())
    assert unknown
    assert other_ending
    answers = [
        await served.http.get(url)
        for url in (
            unknown.url.removeprefix(BASE),
            other_ending.url.removeprefix(BASE),
            link[:-1] + ("0" if link[-1] != "0" else "1"),
            link.partition("?")[0],
            "/images/..%2f..%2ftasks.db",
            "/images/%2e%2e",
        )
    ]
    served.clock.advance(3601)
    answers.append(await served.http.get(link))
    assert {answer.status_code for answer in answers} == {404}
    shown = {(answer.content, str(sorted({**answer.headers, "date": ""}.items()))) for answer in answers}
    assert len(shown) == 1


async def test_readings_are_in_the_log_of_calls(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """With id, outcome and bytes, never the link; what a wrong link names is not repeated."""
    caplog.set_level(logging.INFO, "journey_mcp.audit")
    end = telemetry.record_to(AuditLog())
    link = await served.stored(GIF)
    await served.http.get(link)
    await served.http.get(link, headers={"range": "bytes=0-9"})
    await served.http.get(link, headers={"range": f"bytes={len(GIF)}-"})
    await served.http.get(link, headers={"if-none-match": "*"})
    await served.http.head(link)
    await served.http.get("/images/a-private-name.png?e=1&s=2")
    end()
    lines = [record.getMessage().partition(" duration_s=")[0] for record in caplog.records]
    assert lines == [
        f"read outcome=completed image_id={IMAGE_ID} bytes={len(GIF)}",
        f"read outcome=completed image_id={IMAGE_ID} bytes=10",
        f"read outcome=range_not_satisfiable image_id={IMAGE_ID} bytes=0",
        f"read outcome=not_modified image_id={IMAGE_ID} bytes=0",
        f"read outcome=completed image_id={IMAGE_ID} bytes=0",
        "read outcome=unknown_image bytes=0",
    ]
    assert "private" not in caplog.text
    assert "s=" not in re.sub(r"(bytes|duration_s)=", "", caplog.text)


async def test_a_deleted_image_is_gone(served: Served) -> None:
    """Though its link has not expired."""
    link = await served.stored(GIF)
    await served.folder.delete([IMAGE_ID.partition(".")[0]])
    assert (await served.http.get(link)).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=300000-600000", 206, slice(300_000, 600_001)),
        ("bytes=1280000-", 206, slice(1_280_000, None)),
        ("bytes=-6", 206, slice(-6, None)),
        ("bytes=0-99999999", 200, slice(None)),
        ("bytes=-99999999", 200, slice(None)),
        ("bytes=5-3", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
    ],
)
async def test_a_part_of_an_image(served: Served, asked: str, status: int, part: slice) -> None:
    """One range; anything else means the whole image."""
    answer = await served.http.get(await served.stored(GIF), headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, GIF[part])
    if status == 206:
        start = part.indices(len(GIF))[0]
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(GIF)}"


async def test_a_part_that_does_not_exist(served: Served) -> None:
    """The answer says how large the image is; a range of another version is none."""
    link = await served.stored(GIF)
    for asked in (f"bytes={len(GIF)}-", "bytes=-0"):
        answer = await served.http.get(link, headers={"range": asked})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(GIF)}")
    other = await served.http.get(link, headers={"range": "bytes=0-1", "if-range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, len(GIF))


async def test_a_client_that_has_the_image_gets_no_bytes(served: Served) -> None:
    """By its tag, weak or in a list, or any."""
    link = await served.stored(GIF)
    tag = (await served.http.head(link)).headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        answer = await served.http.get(link, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await served.http.get(link, headers={"if-none-match": '"x"'})).status_code == 200


async def test_nothing_but_get_and_head(served: Served) -> None:
    """Links only read."""
    link = await served.stored(GIF)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await served.http.request(method, link)).status_code == 405


async def test_before_the_server_is_ready_clients_are_told_to_try_again() -> None:
    """The link may be of another replica."""
    async with reading(Starlette(routes=[image_route(lambda: None)])) as http:
        answer = await http.get("/images/x.png")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


# --- in results

BFL: dict[str, Any] = {"model": "flux-2-pro", "prompt": "a red kite", "wait_s": 60}
"""Its links expire after ten minutes."""


@asynccontextmanager
async def serving_mcp(
    folder: Path, *services: str, port: int = 0, clock: ManualClock | None = None, **more: str
) -> AsyncIterator[tuple[Client, httpx2.AsyncClient, sandbox.Running]]:
    """Serve MCP with an address; yield a client of it, one for links, and the sandbox."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        base = f"http://127.0.0.1:{port}" if port else BASE
        settings = read_settings(environment_of(upstream, folder, *services, JOURNEY_MCP_SERVER_URL=base, **more))
        app = make_app(Lifespan(settings, partial(running_studio, clock=clock), is_local=False))
        async with (
            app.router.lifespan_context(app),
            reading(app, port) as http,
            Client(f"{http.base_url}/mcp") as client,
        ):
            yield client, http, upstream


async def test_results_carry_a_link_of_ours_where_the_providers_link_dies(tmp_path: Path) -> None:
    """It is read without a key, from any host; a model may give it back as an image; the provider gets its own."""
    async with serving_mcp(tmp_path, "bfl") as (client, http, upstream):
        made = (await client.call_tool("imagine", BFL)).structured_content or {}
        (image,) = made["images"]
        assert image["url"].startswith(f"{BASE}/images/{image['id']}.jpg?e=")
        assert "path" not in image
        answer = await http.get(image["url"].removeprefix(BASE), headers={"host": "cdn.example.test"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        again = (await client.call_tool("fetch_task", {"task_ids": [made["task_id"]]})).structured_content or {}
        assert again["tasks"][0]["images"][0]["url"] == image["url"]
        edit = {"prompt": "blue", "model": "flux-kontext-pro", "image": image["url"], "wait_s": 60}
        edited = (await client.call_tool("edit_image", edit)).structured_content or {}
        assert edited["status"] == "succeeded", edited
        assert BASE not in str(upstream.sandbox.request_log.submissions[-1].request)


async def test_webhooks_of_callers_carry_the_same_link(tmp_path: Path, authority: Authority) -> None:
    """That of the provider may die before an automation has read it."""
    async with receiving(authority) as receiver:
        async with serving_mcp(tmp_path, "bfl", JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1") as (client, _, _upstream):
            made = await called(client, "imagine", **BFL, webhook_url=receiver.url)
            await receiver.until_received()
        (sent,) = receiver.objects
        assert sent["images"][0]["url"] == made["images"][0]["url"]


@pytest.mark.parametrize(("maker", "other", "status"), [(OLD, f"{NEW},{OLD}", 200), (OLD, NEW, 404), ("", "", 404)])
async def test_a_link_works_at_every_server_that_has_its_secret(
    tmp_path: Path, maker: str, other: str, status: int
) -> None:
    """Also during a rotation. Without a secret it ends with its process."""
    first, second = [dict[str, Any](JOURNEY_MCP_SECRET=secret) if secret else {} for secret in (maker, other)]
    async with serving_mcp(tmp_path, "bfl", **first) as (client, _, _upstream):
        (image,) = (await called(client, "imagine", **BFL))["images"]
    async with serving_mcp(tmp_path, "bfl", **second) as (client, http, _upstream):
        await called(client, "fetch_task")  # when it is answered, the server has started
        assert (await http.get(image["url"].removeprefix(BASE))).status_code == status


async def test_links_that_last_stay_those_of_the_provider(tmp_path: Path) -> None:
    """Nothing is copied for them over HTTP."""
    async with serving_mcp(tmp_path, "journeyapi") as (client, _, upstream):
        made = (await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})).structured_content or {}
        assert {urlsplit(image["url"]).netloc for image in made["images"]} == {urlsplit(upstream.origin).netloc}


# --- for providers that take URLs only

KONTEXT: dict[str, Any] = {"prompt": "make it blue", "model": "flux-kontext-pro", "wait_s": 60}


async def test_a_provider_that_takes_urls_gets_data_under_a_link(tmp_path: Path) -> None:
    """It fetches the image from us, without its metadata; equal data is stored once, and is the caller's upload."""
    async with serving_mcp(tmp_path, "journeyapi", port=free_port()) as (client, http, upstream):
        photo = image_bytes("JPEG", exif=exif(6))
        for _ in range(2):
            edited = await called(client, "edit_image", **KONTEXT, image=data_uri(photo, "jpeg"), fresh=True)
            assert edited["status"] == "succeeded", edited
        sent = [str(entry.request) for entry in upstream.sandbox.request_log.submissions]
        (path,) = (tmp_path / "pictures").iterdir()
        assert all(f"{http.base_url}/images/{path.name}?e=" in text for text in sent)
        assert path.name.startswith("up_")
        assert b"Exif" not in path.read_bytes()
        again = await called(client, "edit_image", **KONTEXT, image=path.stem)
        assert again["status"] == "succeeded", again


async def test_a_provider_that_takes_urls_gets_uploads_and_copies_under_links(tmp_path: Path) -> None:
    """An image that was kept, and an earlier image whose own link has expired."""
    clock = ManualClock()
    async with serving_mcp(tmp_path, "journeyapi", "bfl", port=free_port(), clock=clock) as (client, http, upstream):
        kept = await called(client, "keep_image", data=data_uri(image_bytes()))
        first = await called(client, "imagine", **BFL)
        clock.shift_calendar(3600)
        for image in (kept["image_id"], first["images"][0]["id"]):
            edited = await called(client, "edit_image", **KONTEXT, image=image, provider="journeyapi")
            assert edited["status"] == "succeeded", edited
            assert f"{http.base_url}/images/" in str(upstream.sandbox.request_log.submissions[-1].request)


@asynccontextmanager
async def listening(folder: Path, *services: str, clock: ManualClock, **more: str) -> AsyncIterator[Environment]:
    """Run a studio as `serve --webhooks` on stdio does, at a public address with a prefix."""
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/hooks/v1"
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, *services, JOURNEY_MCP_PUBLIC_URL=url, **more))
        async with running_studio(settings, clock, listening=listening_at(listener)) as studio:
            yield Environment(studio, upstream, folder, clock)


async def test_a_server_on_stdio_gives_links_to_the_port_where_it_receives_webhooks(tmp_path: Path) -> None:
    """To a file, an image as data, and a copy whose link has died. People get no such link: they have the path."""
    file = tmp_path / "cat.png"
    file.write_bytes(image_bytes())
    clock = ManualClock()
    async with listening(
        tmp_path / "data", "journeyapi", "bfl", clock=clock, JOURNEY_MCP_IMAGE_DIRS=str(tmp_path)
    ) as here:
        base = f"{here.studio.settings.public_url}/images/"
        first = await here.made(model="flux-2-pro")
        clock.shift_calendar(3600)
        for image in (str(file), data_uri(image_bytes("JPEG")), f"{first.id}.1"):
            edited = await here.made(model="flux-kontext-pro", provider="journeyapi", image=image)
            assert edited.status is Status.SUCCEEDED, edited.failure
            assert here.sent_to("journeyapi")[-1]["image_url"].startswith(base)
            (shown,) = (await here.studio.fetch([edited.id], LOCAL)).values()
            assert not shown.images[0].public_link
        link = here.sent_to("journeyapi")[-1]["image_url"]
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.head(link)).headers["content-type"] == "image/jpeg"
            for wrong in (link[:-1], link.partition("?")[0], link.replace("/images/", "/"), f"{base}tasks.db"):
                assert (await http.get(wrong)).status_code == 404
            assert (await http.post(link)).status_code == 404


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the result of a call."""
    return (await client.call_tool(tool, arguments)).structured_content or {}
