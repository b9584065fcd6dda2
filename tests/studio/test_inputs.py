"""Input images: read in every form, fitted to limits, sent as the offer takes them."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from drawn import chunk
from PIL import Image
from support import created, make_wide_environment, make_wide_environment_without_copies

from journey_mcp.core.errors import InvalidRequest
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.sandbox import BflSettings

CASES = Path(__file__).parents[1] / "cases"
KONTEXT: dict[str, Any] = {"tool": "edit_image", "model": "flux-kontext-pro", "prompt": "make it blue"}


def image_bytes(kind: str = "PNG", size: tuple[int, int] = (160, 120), **more: Any) -> bytes:
    """Return an image of noise."""
    content = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(content, kind, **more)
    return content.getvalue()


def data_uri(content: bytes, kind: str = "png") -> str:
    """Return the image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def sent_image(body: dict[str, Any], field: str = "input_image") -> Image.Image:
    """Return the image in a request body, also if it is nested."""
    while field not in body:
        (body,) = [value[0] if isinstance(value, list) else value for k, value in body.items() if k in _WRAPPERS]
    text = body[field].rpartition(",")[2]
    return Image.open(io.BytesIO(base64.b64decode(text)))


_WRAPPERS = {"input", "params"}


@pytest.mark.parametrize("service", ["vtrix", "kkiai", "replicate", "bfl"])
async def test_a_data_uri_reaches_every_provider_that_takes_data(tmp_path: Path, service: str) -> None:
    """Each provider gets its form; the journal stores a digest and not the image."""
    given = data_uri(image_bytes())
    async with make_wide_environment_without_copies(tmp_path, services=[service]) as here:
        task = await here.made(**KONTEXT, image=given)
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to(service)[0]).size == (160, 120)
        assert task.request.image is not None
        assert task.request.image.startswith("data:sha256=")
        assert given[30:80] not in repr(task)


async def test_camera_metadata_is_not_sent(tmp_path: Path) -> None:
    """EXIF rotation is applied; location and camera are removed."""
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Camera of somebody"
    (tmp_path / "photo.jpg").write_bytes(image_bytes("JPEG", (320, 240), exif=exif))
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        task = await here.made(**KONTEXT, image=str(tmp_path / "photo.jpg"))
        assert task.status is Status.SUCCEEDED, task.failure
        sent = sent_image(here.sent_to("bfl")[0])
        assert (sent.size, dict(sent.getexif())) == ((240, 320), {})


async def test_an_image_that_is_too_large_is_scaled_down_with_a_notice(tmp_path: Path) -> None:
    """BFL takes at most 20 megapixels."""
    Image.new("L", (6000, 4000), "gray").save(tmp_path / "wide.png", compress_level=1)
    bfl = BflSettings()
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["bfl"], bfl=bfl, JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        task = await here.made(**KONTEXT, image=str(tmp_path / "wide.png"))
        assert task.status is Status.SUCCEEDED, task.failure
        width, height = sent_image(here.sent_to("bfl")[0]).size
        assert width * height <= 20_000_000
        assert any("6000x4000" in str(notice) for notice in task.notices)


@pytest.mark.parametrize(
    ("name", "kind", "mode", "notice_text"),
    [
        ("a.avif", "JPEG", "RGB", "The image was converted from AVIF to JPEG."),
        ("cmyk.jpg", "JPEG", "RGB", "The image was converted from CMYK to RGB."),
        ("gray16.png", "PNG", "L", "The image was converted to 8 bits per channel."),
        ("half_transparent.webp", "PNG", "RGBA", "The image was converted from WebP to PNG"),
    ],
)
async def test_a_format_that_no_provider_documents_is_converted(
    tmp_path: Path, name: str, kind: str, mode: str, notice_text: str
) -> None:
    """The notice names the image."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=CASES) as here:
        task = await here.made(**KONTEXT, image=str(CASES / name))
        assert task.status is Status.SUCCEEDED, task.failure
        sent = sent_image(here.sent_to("bfl")[0])
        assert (sent.format, sent.mode) == (kind, mode)
        assert any(name in str(notice) and notice_text in str(notice) for notice in task.notices)


async def test_an_image_below_the_least_size_of_an_offer_is_refused(tmp_path: Path) -> None:
    """Nothing is charged, and the error states the size that is needed."""
    async with make_wide_environment_without_copies(tmp_path, services=["vtrix"], JOURNEY_MCP_IMAGE_DIRS=CASES) as here:
        with pytest.raises(InvalidRequest, match=r"one\.png.* it has 1x1 pixels.* at least 15 on each side") as raised:
            await here.made(tool="edit_image", model="seedream-4", prompt="blue", image=str(CASES / "one.png"))
        assert raised.value.failure.code == "unusable_image"
        assert here.sent == []


async def test_an_image_made_to_take_long_is_rejected(tmp_path: Path) -> None:
    """The error names the image and what may be given."""
    small = image_bytes()
    (tmp_path / "chunks.png").write_bytes(small[:33] + chunk(b"tEXt") * 100_000 + small[33:])
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        with pytest.raises(InvalidRequest, match=r"chunks\.png.* more than 65,536 chunks") as raised:
            await here.made(**KONTEXT, image=str(tmp_path / "chunks.png"))
        assert raised.value.failure.code == "unusable_image"
        assert "Give another image" in (raised.value.failure.next_step or "")
        assert here.sent == []


async def test_a_large_file_is_uploaded_to_replicate_first(tmp_path: Path) -> None:
    """Above 256 kB; a smaller file is part of the request."""
    (tmp_path / "noise.png").write_bytes(content := image_bytes("PNG", (900, 700)))
    assert len(content) > 256_000
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["replicate"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        task = await here.made(**KONTEXT, image=str(tmp_path / "noise.png"))
        assert task.status is Status.SUCCEEDED, task.failure
        assert here.asked["replicate/files"] == 1
        assert here.sent_to("replicate")[0]["input"]["input_image"].startswith(here.upstream.base_urls["replicate"])


async def test_a_large_file_is_scaled_down_for_kkiai(tmp_path: Path) -> None:
    """It has no uploads, and a data URI has its limits."""
    (tmp_path / "noise.png").write_bytes(image_bytes("PNG", (900, 700)))
    async with make_wide_environment_without_copies(
        tmp_path / "data", services=["kkiai"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        task = await here.made(**KONTEXT, image=str(tmp_path / "noise.png"))
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to("kkiai")[0]).format == "JPEG"
        assert any("190,000 bytes" in str(notice) for notice in task.notices)


async def test_an_offer_that_takes_bytes_only_gets_the_content_of_the_url(tmp_path: Path) -> None:
    """This process fetches the image; exactly the sandbox's address is trusted."""
    async with make_wide_environment_without_copies(tmp_path, services=["journeyapi", "bfl"]) as here:
        first = await here.made()
        fill: dict[str, Any] = {**KONTEXT, "model": "flux-fill-pro"}
        by_id = await here.made(**fill, image=f"{first.id}.1")
        by_url = await here.made(**fill, image=first.images[0].url)
        assert (by_id.status, by_url.status) == (Status.SUCCEEDED, Status.SUCCEEDED)


UNREACHABLE = [
    "http://example.test/a.png",
    "http://127.0.0.1:9/a.png",
    "https://127.0.0.1:9/a.png",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/a.png",
    "https://192.168.1.5/a.png",
    "https://localhost/a.png",
    "https://printer.local/a.png",
]


async def test_an_address_that_a_provider_cannot_reach_is_refused(tmp_path: Path) -> None:
    """Unless the settings trust its host: then this process fetches the image and sends the bytes."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        for url in UNREACHABLE:
            with pytest.raises(InvalidRequest) as raised:
                await here.made(**KONTEXT, image=url)
            assert raised.value.failure.code == "malformed_url", url
            assert url in str(raised.value)
            assert "JOURNEY_MCP_TRUSTED_HOSTS" in (raised.value.failure.next_step or "")
            assert here.sent == []


async def test_an_image_that_cannot_be_fetched_for_an_offer_of_bytes_is_an_error(tmp_path: Path) -> None:
    """The host is trusted, but nothing listens there."""
    async with make_wide_environment_without_copies(
        tmp_path, services=["bfl"], JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1:9"
    ) as here:
        with pytest.raises(InvalidRequest) as raised:
            await here.made(**{**KONTEXT, "model": "flux-fill-pro"}, image="http://127.0.0.1:9/a.png")
        assert raised.value.failure.code == "unusable_image"
        assert "127.0.0.1" in str(raised.value)


async def test_a_mask_is_sent_and_must_have_the_size_of_the_image(tmp_path: Path) -> None:
    """White is redrawn."""
    fill: dict[str, Any] = {**KONTEXT, "model": "flux-fill-pro", "image": data_uri(image_bytes())}
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        task = await here.made(**fill, mask=data_uri(image_bytes()))
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to("bfl")[0], "mask").size == (160, 120)
        with pytest.raises(InvalidRequest, match="mask") as raised:
            await here.made(**fill, mask=data_uri(image_bytes(size=(100, 100))))
        assert raised.value.failure.code == "unusable_image"
        assert "100x100" in str(raised.value)


UNUSABLE = [
    ("data:image/png;base64,AAAA", "unusable_image", "neither"),
    ("data:image/png;base64,====!", "unusable_image", "data URI"),
    ("data:image/png,notbase64", "unusable_image", "not base64"),
    ("./nothing-here.png", "unusable_image", "nothing-here.png"),
    ("/etc/passwd", "file_not_allowed", "JOURNEY_MCP_IMAGE_DIRS"),
    ("/etc/shadow.png", "file_not_allowed", "JOURNEY_MCP_IMAGE_DIRS"),
    ("what is this", "malformed_url", "neither an http"),
    ("tsk_AAAAAAAAAAAAAAAAAAAAAA.1", "unknown_image", "no task"),
]


@pytest.mark.on_disk
async def test_an_unusable_image_is_an_error_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the value, what is accepted, and the next step."""
    monkeypatch.chdir(tmp_path)
    async with make_wide_environment_without_copies(tmp_path / "data", services=["bfl"]) as here:
        for image, code, says in UNUSABLE:
            with pytest.raises(InvalidRequest) as raised:
                await here.made(**KONTEXT, image=image)
            assert raised.value.failure.code == code, image
            assert says in str(raised.value)
            assert raised.value.failure.next_step, image
            assert here.sent == [], image
            assert await here.studio.newest(LOCAL) == [], image


async def test_over_http_a_path_is_refused(tmp_path: Path) -> None:
    """It would be a path of the server's machine."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        from support import make_request  # noqa: PLC0415

        with pytest.raises(InvalidRequest) as raised:
            await created(here.studio, make_request(**KONTEXT, image="./cat.png"), files_allowed=False)
        assert raised.value.failure.code == "file_not_allowed"
        assert "over HTTP" in str(raised.value)


async def test_an_image_whose_link_has_expired_is_read_from_its_copy(tmp_path: Path) -> None:
    """The error names an image whose copy is gone too."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await here.made(model="flux-2-pro", prompt="a kite")
        path = Path(first.images[0].path or "")
        here.clock.shift_calendar(601)
        task = await here.made(**KONTEXT, image=f"{first.id}.1")
        assert task.status is Status.SUCCEEDED, task.failure
        with Image.open(path) as copy:
            assert sent_image(here.sent_to("bfl")[1]).size == copy.size
        path.unlink()
        with pytest.raises(InvalidRequest, match="no copy") as raised:
            await here.made(**KONTEXT, image=f"{first.id}.1")
        assert raised.value.failure.code == "unknown_image"


async def test_a_link_that_works_is_sent_as_it_is(tmp_path: Path) -> None:
    """The provider fetches faster than this process sends."""
    async with make_wide_environment_without_copies(tmp_path, services=["bfl"]) as here:
        first = await here.made(model="flux-2-pro", prompt="a kite")
        await here.made(**KONTEXT, image=f"{first.id}.1")
        assert here.sent_to("bfl")[1]["input_image"] == first.images[0].url
