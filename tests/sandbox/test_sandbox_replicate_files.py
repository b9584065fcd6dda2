"""Input images: uploads, data URIs and URLs, and their edits."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import base64
import hashlib
import io
import os
from datetime import datetime
from typing import Any

import pytest
from manual_clock import ManualClock, until
from PIL import Image

from journey_mcp.sandbox import Fault, ReplicateSettings, Settings
from journey_mcp.sandbox.replicate.files import Files, StoredFile, Upload

from .replicate_upstream import DEV, PRO, Upstream, upstream
from .upstream import http, listening

BOTH = pytest.mark.parametrize("service", ["kkiai", "replicate"])
INSTANT = Settings(speed=0, seed=1)


def photo(size: tuple[int, int] = (300, 200), color: str = "#204060") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, color).save(content, "PNG")
    return content.getvalue()


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


async def result(up: Upstream, model: str = DEV, **inputs: Any) -> Image.Image:
    """Run a prediction and return its image."""
    finished = await up.fetch((await up.made(model, **inputs))["id"])
    assert finished["status"] == "succeeded", finished
    response = await up.image(finished["output"])
    return Image.open(io.BytesIO(response.content)).convert("RGB")


async def uploaded(up: Upstream, content: bytes, **fields: str) -> Any:
    response = await up.client.post("/files", files={"content": ("snowman.png", content, "image/png")}, data=fields)
    assert response.status_code == 201, response.text
    return response.json()


async def test_an_upload_has_the_documented_form() -> None:
    async with upstream("replicate", Settings()) as up:
        content = os.urandom(2_000) + b"\r\n--x\r\n\n"
        payload = await uploaded(up, content, metadata='{"for": "a test"}')
        created, expires = (datetime.fromisoformat(payload.pop(name)) for name in ("created_at", "expires_at"))
        assert (expires - created).total_seconds() == pytest.approx(3_600, abs=0.002)
        assert payload == {
            "id": payload["id"],
            "content_type": "image/png",
            "size": len(content),
            "checksums": {"sha256": hashlib.sha256(content).hexdigest()},
            "metadata": {"for": "a test"},
            "urls": {"get": f"{up.running.origin}/replicate/v1/files/{payload['id']}"},
        }
        assert (await up.client.get(payload["urls"]["get"])).json()["checksums"] == payload["checksums"]
        requests = up.running.sandbox.request_log.requests
        assert (requests["replicate/files"], requests["replicate/file"]) == (1, 1)


async def test_the_type_of_an_upload_can_be_given() -> None:
    async with upstream("replicate", Settings()) as up:
        payload = await uploaded(up, b"GIF89a", filename="a.gif", type="image/gif")
        assert (payload["content_type"], payload["metadata"]) == ("image/gif", {})


@pytest.mark.parametrize(
    ("files", "fields", "reason"),
    [
        ({"file": ("a.png", b"x", "image/png")}, {}, "Additional property file is not allowed"),
        ({"filename": ("a.png", b"x", "image/png")}, {}, "content is required"),
        ({"content": ("a.png", b"x", "image/png")}, {"metadata": "{"}, "metadata: Must be a JSON object"),
        ({"content": ("a.png", b"x", "image/png")}, {"metadata": "[]"}, "metadata: Must be a JSON object"),
    ],
)
async def test_invalid_upload_forms_are_rejected(files: Any, fields: dict[str, str], reason: str) -> None:
    async with upstream("replicate", Settings()) as up:
        response = await up.client.post("/files", files=files, data=fields)
        assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
        assert response.json()["detail"].startswith(reason)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "", "multipart/mixed; boundary=x"])
async def test_an_upload_that_is_not_a_form_has_no_content(content_type: str) -> None:
    async with upstream("replicate", Settings()) as up:
        response = await up.client.post("/files", content=b"{}", headers={"Content-Type": content_type})
        assert (response.status_code, response.json()["detail"][:19]) == (422, "content is required")


@pytest.mark.parametrize("size", [1_000_001, 3_000_000])
async def test_an_upload_beyond_the_limit_is_rejected(size: int) -> None:
    settings = Settings(replicate=ReplicateSettings(file_limit_bytes=1_000_000))
    async with upstream("replicate", settings) as up:
        assert (await uploaded(up, bytes(1_000_000)))["size"] == 1_000_000
        response = await up.client.post("/files", files={"content": ("a", bytes(size), "image/png")})
        assert response.status_code == 413
        assert response.json() == {"detail": "Files must be less than 1MB in size", "status": 413}


async def test_an_upload_needs_a_key() -> None:
    async with upstream("replicate", Settings()) as up:
        del up.client.headers["Authorization"]
        assert (await up.client.post("/files", files={"content": ("a", b"x", "image/png")})).status_code == 401


async def test_faults_affect_uploads() -> None:
    faults = (Fault.parse("replicate/upload:status=503"), Fault.parse("upload:drop_fields,fields=urls,after=1"))
    async with upstream("replicate", Settings(faults=faults)) as up:
        files = {"content": ("a", b"x", "image/png")}
        responses = [await up.client.post("/files", files=files) for _ in range(2)]
        assert responses[0].status_code == 503
        assert "urls" not in responses[1].json()


async def test_an_upload_expires_after_an_hour() -> None:
    clock = ManualClock()
    async with upstream("replicate", Settings(speed=0)) as up:
        url = (await uploaded(up, photo()))["urls"]["get"]
        clock.advance(3_599)
        assert (await up.client.get(url)).status_code == 200
        clock.advance(1)
        assert (await up.client.get(url)).status_code == 404
        payload = await up.fetch((await up.made(DEV, input_image=url))["id"])
        assert (payload["status"], payload["error"]) == (
            "failed",
            "Could not fetch the input image: this file does not exist",
        )


def test_the_oldest_uploads_are_dropped_beyond_the_total_limit() -> None:
    files = Files(kept_bytes=100)
    for number in range(3):
        upload = Upload(content=bytes(50), content_type="image/png", metadata={})
        files.put(StoredFile(file_id=str(number), upload=upload, created_at=0, expires_at=9))
    assert [bool(files.find(str(number), 1)) for number in range(3)] == [False, True, True]


async def test_an_upload_is_edited() -> None:
    async with upstream("replicate", INSTANT) as up:
        url = (await uploaded(up, photo((400, 100))))["urls"]["get"]
        assert (await result(up, input_image=url)).size == (400, 100)


async def test_an_upload_that_is_not_an_image_fails_the_prediction() -> None:
    async with upstream("replicate", INSTANT) as up:
        url = (await uploaded(up, b"no image"))["urls"]["get"]
        payload = await up.fetch((await up.made(DEV, input_image=url))["id"])
        assert (payload["status"], payload["error"]) == (
            "failed",
            "Could not fetch the input image: this is not an image",
        )


@BOTH
@pytest.mark.parametrize(
    ("inputs", "size"), [({}, (300, 200)), ({"aspect_ratio": "1:1"}, (200, 200)), ({"aspect_ratio": "3:2"}, (300, 200))]
)
async def test_a_data_uri_is_edited(service: str, inputs: dict[str, str], size: tuple[int, int]) -> None:
    async with upstream(service, INSTANT) as up:
        image = await result(up, PRO, input_image=data_uri(photo()), **inputs)
        assert image.size == size
        # tinted, but still of one colour rather than a scene
        colors = image.crop((20, 20, 180, 100)).getcolors()
        assert colors is not None
        assert len(colors) == 1
        assert colors[0][1] != (0x20, 0x40, 0x60)


@BOTH
async def test_a_url_is_fetched_and_edited(service: str) -> None:
    async with listening(http(200, photo((120, 240)))) as server, upstream(service, INSTANT) as up:
        assert (await result(up, input_image=server.url)).size == (120, 240)
        assert server.received[0].line == "GET /hook HTTP/1.1"
        assert "authorization" not in server.received[0].headers


@BOTH
async def test_a_url_without_an_image_fails_the_prediction(service: str) -> None:
    async with listening(http(404)) as server, upstream(service, INSTANT) as up:
        payload = await up.fetch((await up.made(DEV, input_image=server.url))["id"])
        assert (payload["status"], payload["error"]) == ("failed", "Could not fetch the input image: HTTP 404")


@pytest.mark.parametrize(("service", "status", "form"), [("kkiai", 400, "error"), ("replicate", 422, "detail")])
async def test_a_large_data_uri_is_rejected(service: str, status: int, form: str) -> None:
    async with upstream(service, INSTANT) as up:
        response = await up.predict(input_image=data_uri(bytes(1_000_001)))
        assert (response.status_code, form in response.json()) == (status, True)
        assert "A data URI holds at most" in response.text


async def test_loading_the_input_image_does_not_count_towards_the_deadline() -> None:
    clock = ManualClock()
    async with listening(None) as server:
        settings = Settings(speed=1, source_timeout_s=0.5)
        async with upstream("replicate", settings) as up:
            creation = asyncio.create_task(up.predict(DEV, headers={"Cancel-After": "30"}, input_image=server.url))
            await until(lambda: bool(server.received))
            clock.advance(60)
            payload = await up.fetch((await creation).json()["id"])
            # were the time of the fetch counted, it would be canceled
            assert (payload["status"], payload["error"]) == (
                "failed",
                "Could not fetch the input image: no answer within 0.5 s",
            )


async def test_a_prediction_canceled_before_its_input_image_is_loaded_stays_canceled() -> None:
    async with listening(None) as server:
        settings = Settings(speed=0, source_timeout_s=0.5)
        async with upstream("replicate", settings) as up:
            creation = asyncio.create_task(up.predict(DEV, input_image=server.url))
            await until(lambda: bool(server.received))
            (payload,) = (await up.client.get("/predictions")).json()["results"]
            assert payload["status"] == "processing"
            await up.client.post(payload["urls"]["cancel"])
            assert (await creation).status_code == 201
            assert (await up.fetch(payload["id"]))["status"] == "canceled"


async def test_several_edits_of_one_image_differ() -> None:
    async with upstream("replicate", INSTANT) as up:
        version = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"
        made = (await up.run(version, prompt="a boat", image=data_uri(photo()), num_outputs=2)).json()
        one, other = [(await up.image(url)).content for url in (await up.fetch(made["id"]))["output"]]
        assert one != other
        assert Image.open(io.BytesIO(one)).size == (300, 200)
