"""Links to images in an object store: streamed by us, or redirected to the store."""

from pathlib import Path

import httpx2
import pytest
from object_stores import ObjectStoreServer
from starlette.applications import Starlette
from studio.test_inputs import data_uri, image_bytes
from support import coarse, created, environment_of, make_request, serving

from journey_mcp import sandbox
from journey_mcp.core.clock import Clock
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.media.object_store import open_object_store
from journey_mcp.server.transports.images import image_route
from journey_mcp.settings import read_settings
from journey_mcp.settings.image_store import ImageStoreAddress
from journey_mcp.store import open_store
from journey_mcp.studio import open_studio
from journey_mcp.studio.keep import KeepRequest
from journey_mcp.studio.public_images import PublicImages

IMAGE_ID = f"tsk_{'a' * 22}.1"
GIF = b"GIF89a" + bytes(range(256)) * 10_000
BASE = "https://mcp.example.test"


@pytest.mark.parametrize("serves", ["ours", "store"])
async def test_an_image_is_read_through_its_link(
    server: ObjectStoreServer, prefix: str, tmp_path: Path, serves: str
) -> None:
    """Whole or in part, with the type and the disposition of an image."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as database:
        address = ImageStoreAddress.parse(server.address(prefix, links=serves))
        store, links, clock = open_object_store(address, database.objects), ImageLinks([b"k"], BASE), Clock()
        images = PublicImages(store, links, clock)
        stored = await store.write(IMAGE_ID, "gif", GIF, made_at=1.0)
        link = links.for_an_hour(stored.file_name, now=clock.now())
        assert link
        path = link.url.removeprefix(BASE)
        app = Starlette(routes=[image_route(lambda: images)])
        async with serving(app) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=60) as http:
            first = await http.get(path)
            answer = await http.get(path, follow_redirects=True)
            assert (first.status_code, first.content) == ((200, GIF) if serves == "ours" else (302, b""))
            assert (first.headers["referrer-policy"], answer.content) == ("no-referrer", GIF)
            assert answer.headers["content-type"] == "image/gif"
            assert answer.headers["content-disposition"] == f'inline; filename="{IMAGE_ID}.gif"'
            head = await http.head(path)
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(GIF)))
            if serves == "store":
                assert first.headers["location"].startswith(server.origin)
                assert (await http.get(path.replace("&s=", "&s=0"))).status_code == 404
                return
            part = await http.get(path, headers={"range": "bytes=1500000-2500000"})
            assert (part.status_code, part.content) == (206, GIF[1_500_000:2_500_001])
            with server.stopped():
                away = await http.get(path)
            assert (away.status_code, away.headers["retry-after"]) == (503, "5")
            server.remove(f"{prefix}/images/{IMAGE_ID.partition('.')[0]}/1.gif")
            assert (await http.get(path)).status_code == 404


async def collect(answer: httpx2.Response, parts: list[bytes]) -> None:
    """Add the parts of the body as they come."""
    async for part in answer.aiter_raw():
        parts.append(part)  # noqa: PERF401  # those before an error count


async def test_a_store_that_goes_away_in_the_middle_breaks_the_connection(
    server: ObjectStoreServer, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees that the image is not whole, and asks for the rest later; there is no traceback."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as database:
        store = open_object_store(ImageStoreAddress.parse(server.address(prefix)), database.objects)
        links, clock = ImageLinks([b"k"], BASE), Clock()
        images = PublicImages(store, links, clock)
        content = GIF * 4
        link = links.for_an_hour((await store.write(IMAGE_ID, "gif", content, made_at=1.0)).file_name, now=clock.now())
        assert link
        path = link.url.removeprefix(BASE)
        app = Starlette(routes=[image_route(lambda: images)])
        async with serving(app) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=60) as http:
            parts: list[bytes] = []
            async with http.stream("GET", path) as answer:
                with server.stopped(), pytest.raises(httpx2.RemoteProtocolError):
                    await collect(answer, parts)
            read = b"".join(parts)
            assert 0 < len(read) < len(content)
            rest = await http.get(path, headers={"range": f"bytes={len(read)}-"})
            assert read + rest.content == content
        assert "Traceback" not in caplog.text
        assert "an image is cut off" in caplog.text


class MovableClock(Clock):
    """The clock of this machine, moved by so many seconds."""

    moved_s = 0.0

    def now(self) -> float:
        """Return the time."""
        return super().now() + self.moved_s


async def test_a_provider_that_takes_urls_gets_links_of_the_store(
    server: ObjectStoreServer, prefix: str, tmp_path: Path
) -> None:
    """On stdio, where this server has no address: to a copy whose link has died, an added image, and a file."""
    file = tmp_path / "cat.png"
    file.write_bytes(image_bytes())
    clock = MovableClock()
    more = {"JOURNEY_MCP_STORE": server.address(prefix), "JOURNEY_MCP_IMAGE_DIRS": str(tmp_path)}
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_of(upstream, tmp_path / "data", "journeyapi", "bfl", **more)
        async with open_studio(read_settings(environment), clock) as studio:
            first = await studio.wait_for_new(await created(studio, make_request(model="flux-2-pro")), 60)
            clock.moved_s = 3600
            kept = await studio.keep_image(KeepRequest(data=data_uri(image_bytes("JPEG"))), LOCAL)
            for image in (f"{first.id}.1", kept.id, str(file)):
                edit = make_request(model="flux-kontext-pro", provider="journeyapi", image=image)
                edited = await studio.wait_for_new(await created(studio, edit), 60)
                assert edited.status is Status.SUCCEEDED, edited.failure
                link = upstream.sandbox.request_log.submissions[-1].request["image_url"]
                assert link.startswith(f"{server.origin}/images/{prefix}/images/")
                assert "X-Amz-Expires=3600" in link
