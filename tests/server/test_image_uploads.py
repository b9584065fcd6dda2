"""Uploads over HTTP: an image that is too large for a call gets an id, checked as in a call."""

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from manual_clock import ManualClock, until
from mcp import Client
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from studio.test_inputs import image_bytes
from support import environment_of, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.auth.access import access_of
from journey_mcp.core.principals import Principal
from journey_mcp.server.auth.middleware import Unauthenticated
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.server.transports.image_uploads import upload_limits, upload_route
from journey_mcp.server.transports.request_bodies import RequestBodies
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store
from journey_mcp.studio import Studio
from server.auth.served import add_token


@asynccontextmanager
async def serving_uploads(
    folder: Path, *, max_bytes: int = 4_000_000, timeout_s: float = 60, **more: str
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve MCP in this process; yield a client."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, "bfl", **more))
        limits = RequestBodies(max_bytes=max_bytes, max_total_bytes=2 * max_bytes, timeout_s=timeout_s)
        lifespan = Lifespan(settings, running_studio, is_local=False)
        app = make_app(lifespan, access_of(settings, ManualClock()), uploads=limits)
        async with (
            app.router.lifespan_context(app),
            serving(app) as origin,
            httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=600) as http,
        ):
            yield http


async def edited(http: httpx2.AsyncClient, **arguments: Any) -> dict[str, Any]:
    """Return the result of an edit."""
    given = {"prompt": "blue", "model": "flux-kontext-pro", "wait_s": 60, **arguments}
    async with Client(f"{http.base_url}/mcp") as client:
        return (await client.call_tool("edit_image", given)).structured_content or {}


async def test_an_upload_has_an_id_that_the_tools_take(tmp_path: Path) -> None:
    """It is stored upright and without metadata, whatever its type was said to be."""
    async with serving_uploads(tmp_path) as http:
        answer = await http.post("/images", content=image_bytes("JPEG"), headers={"content-type": "text/plain"})
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        kept = answer.json()
        assert kept == {"id": kept["id"], "mime_type": "image/jpeg", "width": 160, "height": 120}
        assert (await edited(http, image=kept["id"]))["status"] == "succeeded"


async def test_an_upload_may_be_a_mask(tmp_path: Path) -> None:
    """Of an image with an id: it is scaled to it."""
    async with serving_uploads(tmp_path) as http:
        image = (await http.post("/images", content=image_bytes())).json()
        mask = io.BytesIO()
        Image.new("L", (80, 60), 255).save(mask, "PNG")
        answer = await http.post("/images", params={"mask_of": image["id"]}, content=mask.getvalue())
        assert (answer.status_code, answer.json()["width"], answer.json()["height"]) == (201, 160, 120)
        unknown = await http.post("/images", params={"mask_of": f"up_{'x' * 22}"}, content=mask.getvalue())
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_image")
        wrong = await http.post("/images", params={"mask_of": "../x"}, content=mask.getvalue())
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_arguments")


NO_IMAGES = [
    (b"", "image/png", "There is no image in the body"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", "SVG"),
    (b"<!doctype html><script>", "image/png", "web page"),
    (b"--x", "multipart/form-data; boundary=x", "There is no image but a form in the body"),
    (image_bytes()[:200], "image/png", "cut off"),
]


async def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """With what to send instead; nothing is stored."""
    async with serving_uploads(tmp_path) as http:
        for content, kind, says in NO_IMAGES:
            answer = await http.post("/images", content=content, headers={"content-type": kind})
            assert answer.status_code == 400, says
            assert says in answer.json()["error"]["message"]
            assert answer.json()["next_step"], says
            assert not list((tmp_path / "pictures").glob("*")), says


async def test_an_upload_is_bounded(tmp_path: Path) -> None:
    """In size, also if the length is not stated, and in time."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield bytes(1000)

    async with serving_uploads(tmp_path, max_bytes=20_000) as http:
        for content in (bytes(30_000), parts()):
            answer = await http.post("/images", content=content)
            assert (answer.status_code, answer.json()["error"]["message"]) == (
                413,
                "The image has more than 20,000 bytes.",
            )


async def test_an_upload_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    """After a minute; a client that disconnects is nothing to report."""
    clock = ManualClock()

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" "
            await clock.sleep(1)

    async with serving_uploads(tmp_path) as http:
        answer = await http.post("/images", content=trickle(), timeout=None)
        assert (answer.status_code, answer.json()["error"]["message"]) == (408, "The body did not arrive within 60 s.")
        stream = await anyio.connect_tcp(http.base_url.host, http.base_url.port or 80)
        await stream.send(b"POST /images HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx")
        await stream.aclose()
        assert (await http.post("/images", content=image_bytes())).status_code == 201


async def test_many_uploads_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A later one has room."""
    release = anyio.Event()
    answers: list[int] = []

    async def held() -> AsyncIterator[bytes]:
        yield bytes(19_000)
        await release.wait()

    async with serving_uploads(tmp_path, max_bytes=20_000) as http:

        async def post() -> None:
            answers.append((await http.post("/images", content=held())).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            group.start_soon(post)
            await ManualClock().sleep(1)
            refused = await http.post("/images", content=bytes(19_000))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            release.set()
        assert answers == [400, 400]
        assert (await http.post("/images", content=bytes(19_000))).status_code == 400


async def test_an_upload_that_cannot_be_stored_says_why(tmp_path: Path) -> None:
    """It is the server's error, and not the caller's."""
    async with serving_uploads(tmp_path) as http:
        (tmp_path / "pictures").touch()
        answer = await http.post("/images", content=image_bytes())
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "setup")
        assert str(tmp_path) not in answer.text
        (tmp_path / "pictures").unlink()
        for path in tmp_path.glob("tasks.db*"):
            path.rename(path.with_name(f"hidden{path.name}"))
        answer = await http.post("/images", content=image_bytes())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]["code"] == "store_unavailable"


async def test_an_unexpected_error_has_a_report_id(caplog: pytest.LogCaptureFixture) -> None:
    """The cause is in the log only."""

    async def broken() -> Studio:
        raise RuntimeError("the cause")

    route = upload_route(broken, upload_limits())
    app = Starlette(routes=[route], middleware=[Middleware(Unauthenticated)])
    async with serving(app) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
        answer = await http.post("/images", content=image_bytes())
    assert (answer.status_code, answer.json()["error"]["code"], "the cause" in answer.text) == (500, "internal", False)
    assert answer.json()["error"]["message"].rpartition(" ")[2].rstrip(".") in caplog.text


async def test_uploads_are_in_the_log_of_calls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With who sent them, outcome and bytes; never the token."""
    caplog.set_level(logging.INFO, "journey_mcp.audit")
    file, content = tmp_path / "tokens", image_bytes()
    ada, eve = add_token(file, "ada"), add_token(file, "eve", "scopes=images:read")
    async with serving_uploads(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as http:

        async def upload(token: str, content: bytes, **params: str) -> Any:
            headers = {"authorization": f"Bearer {token}"}
            return (await http.post("/images", content=content, headers=headers, params=params)).json()

        kept = await upload(ada, content)
        await upload(ada, content, mask_of=f"up_{'x' * 22}")
        await upload(ada, bytes(4_000_001))
        await upload(eve, content)
    lines = [
        record.getMessage().partition(" duration_s=")[0]
        for record in caplog.records
        if record.name == "journey_mcp.audit"
    ]
    assert lines == [
        f"upload caller=ada outcome=completed image_id={kept['id']} bytes={len(content)}",
        f"upload caller=ada outcome=unknown_image bytes={len(content)}",
        "upload caller=ada outcome=upload_refused bytes=0",
        f"upload caller=eve outcome=upload_refused bytes={len(content)}",
    ]
    assert ada not in caplog.text


async def test_an_upload_that_breaks_off_is_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As interrupted: nobody gets an answer."""
    caplog.set_level(logging.INFO, "journey_mcp.audit")
    async with serving_uploads(tmp_path) as http:
        stream = await anyio.connect_tcp(http.base_url.host, http.base_url.port or 80)
        await stream.send(b"POST /images HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx")
        await ManualClock().sleep(1)
        await stream.aclose()
        await until(lambda: "upload caller=local outcome=interrupted bytes=0" in caplog.text)


async def test_an_upload_belongs_to_the_owner_of_its_token(tmp_path: Path) -> None:
    """As the database says; without a token, or with one that may only read, none is added, whatever is sent."""
    file = tmp_path / "tokens"
    ada, eve = add_token(file, "ada"), add_token(file, "eve", "scopes=images:read")
    async with serving_uploads(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as http:
        answers = [
            await http.post("/images", content=image_bytes(), headers={"authorization": f"Bearer {token}"})
            for token in (ada, eve, "jmcp_wrong")
        ]
        answers.append(await http.post("/images", content=image_bytes()))
        assert [answer.status_code for answer in answers] == [201, 403, 401, 401]
        assert "images:generate" in answers[1].text
        assert "www-authenticate" in answers[3].headers
    id_ = answers[0].json()["id"]
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        owners = [name for name in ("token:ada", "local") if await store.uploads.get([id_], principal=Principal(name))]
    assert owners == ["token:ada"]
    assert [path.stem for path in (tmp_path / "pictures").iterdir()] == [id_]


async def test_pages_and_foreign_hosts_may_not_upload(tmp_path: Path) -> None:
    """As for calls; and nothing else is done with this path."""
    async with serving_uploads(tmp_path) as http:
        for headers, status in (({"origin": "https://evil.test"}, 403), ({"host": "evil.test"}, 421)):
            assert (await http.post("/images", content=image_bytes(), headers=headers)).status_code == status
        for method in ("GET", "PUT", "DELETE"):
            assert (await http.request(method, "/images")).status_code == 405


async def test_an_upload_counts_as_a_call(tmp_path: Path) -> None:
    """It arrives whole, in however many parts; one above the limit of the caller is refused."""
    noise = io.BytesIO()
    Image.effect_noise((600, 500), 200).save(noise, "PNG")
    async with serving_uploads(tmp_path, JOURNEY_MCP_CALLS_PER_MINUTE="1") as http:
        first, second = [await http.post("/images", content=noise.getvalue()) for _ in range(2)]
    assert (first.status_code, first.json()["width"]) == (201, 600)
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) <= 60
