"""Images that a person adds: checked in a process of their own, kept for the person alone, used by their ids."""

import io
from pathlib import Path
from typing import Any

import pytest
from drawn import HIDDEN, drawn, exif, written
from PIL import Image
from support import Environment, created, make_environment, make_request, make_wide_environment

from journey_mcp.core.errors import InvalidRequest, SetupError, StoreUnavailable
from journey_mcp.core.images import UploadId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.store.uploads import Upload
from journey_mcp.studio.keep import KeepRequest
from studio.test_inputs import KONTEXT, data_uri, image_bytes, sent_image

FILL: dict[str, Any] = {"tool": "edit_image", "model": "flux-fill-pro", "prompt": "a hat"}


async def kept(here: Environment, content: bytes, *, principal: Principal = LOCAL, **more: Any) -> Upload:
    """Keep an image."""
    return await here.studio.keep_image(KeepRequest(data=data_uri(content), **more), principal)


def mask_bytes(size: tuple[int, int]) -> bytes:
    """Return a mask whose left half is white, on nothing."""
    image = Image.new("RGBA", size)
    image.paste("white", (0, 0, size[0] // 2, size[1]))
    return written(image, "png")


async def test_an_image_is_kept_and_edited_by_its_id(tmp_path: Path) -> None:
    """The answer to an image that is attached to a chat; the stored request names the id, and no data."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        upload = await kept(here, image_bytes("JPEG"))
        assert UploadId.parse(upload.id)
        assert (upload.width, upload.height, upload.mime_type) == (160, 120, "image/jpeg")
        path = tmp_path / "pictures" / upload.file_name
        assert path.stat().st_size == upload.bytes
        task = await here.made(**KONTEXT, image=f" {upload.id} ")
        assert task.status is Status.SUCCEEDED, task.failure
        assert task.request.image == upload.id
        assert sent_image(here.sent_to("bfl")[0]).size == (160, 120)


async def test_it_is_a_reference_image_too(tmp_path: Path) -> None:
    """Wherever an id of an image is taken."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        upload = await kept(here, image_bytes())
        first = await here.made(model="flux-2-pro", prompt="a kite", reference_images=(upload.id,))
        assert first.status is Status.SUCCEEDED, first.failure
        assert first.request.reference_images == (upload.id,)


async def test_what_is_stored_has_no_metadata_and_is_upright(tmp_path: Path) -> None:
    """It was checked, decoded and written again in the process for images."""
    async with make_environment(tmp_path) as here:
        upload = await kept(here, written(drawn(), "jpeg", exif=exif(6)))
        content = (tmp_path / "pictures" / upload.file_name).read_bytes()
        assert HIDDEN not in content
        assert (upload.width, upload.height) == Image.open(io.BytesIO(content)).size == (32, 48)


@pytest.mark.parametrize("more", [{"JOURNEY_MCP_KEEP_IMAGES": "off"}, {"JOURNEY_MCP_COPY_MAX_MB": 0}])
async def test_it_is_kept_without_copies_of_results_too(tmp_path: Path, more: dict[str, Any]) -> None:
    """The person added it to use it."""
    async with make_wide_environment(tmp_path, services=["bfl"], **more) as here:
        upload = await kept(here, image_bytes())
        assert (await here.made(**KONTEXT, image=upload.id)).status is Status.SUCCEEDED


async def test_another_principal_has_no_such_image(tmp_path: Path) -> None:
    """The answer is that for an unknown id."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        upload = await kept(here, image_bytes(), principal=Principal("other"))
        for image in (upload.id, f"up_{'A' * 22}"):
            with pytest.raises(InvalidRequest) as raised:
                await created(here.studio, make_request(**KONTEXT, image=image))
            assert str(raised.value) == f"There is no image {image}, or not any more."
            assert raised.value.failure.code == "unknown_image"
            with pytest.raises(InvalidRequest, match="There is no image"):
                await kept(here, mask_bytes((10, 10)), mask_of=image)


async def test_an_image_whose_file_was_deleted_is_unknown(tmp_path: Path) -> None:
    """By the person, or by the limit of all stored images."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        upload = await kept(here, image_bytes())
        (tmp_path / "pictures" / upload.file_name).unlink()
        with pytest.raises(InvalidRequest, match="any more: it was deleted") as raised:
            await created(here.studio, make_request(**KONTEXT, image=upload.id))
        assert raised.value.failure.next_step


async def test_a_provider_that_takes_only_links_refuses_it_clearly(tmp_path: Path) -> None:
    """Before anything is sent."""
    async with make_wide_environment(tmp_path, services=["journeyapi"]) as here:
        upload = await kept(here, image_bytes())
        with pytest.raises(InvalidRequest) as raised:
            await created(here.studio, make_request(**KONTEXT, image=upload.id))
        assert raised.value.failure.code == "data_not_taken"
        assert str(raised.value).endswith(
            f"takes images as URLs only; {upload.id} is an image that was added on this machine, which has no URL."
        )
        assert here.sent == []


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\x89PNG\r\n\x1a\n" + bytes(50), "data cannot be used"), (b"GIF89a", "data cannot be used")],
)
async def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """With what to give instead; nothing is stored."""
    async with make_environment(tmp_path) as here:
        image = await kept(here, image_bytes())
        for mask_of in (None, image.id):
            with pytest.raises(InvalidRequest, match=says) as raised:
                await kept(here, content, mask_of=mask_of)
            assert raised.value.failure.next_step
        assert len(list((tmp_path / "pictures").iterdir())) == 1


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """And a database that does not answer; no id is given."""
    async with make_environment(tmp_path) as here:
        (tmp_path / "pictures").touch()
        with pytest.raises(SetupError, match="cannot be stored in the data folder: ") as raised:
            await kept(here, image_bytes())
        assert str(tmp_path) not in str(raised.value)
        (tmp_path / "pictures").unlink()
        (tmp_path / "tasks.db").rename(tmp_path / "away.db")
        with pytest.raises(StoreUnavailable):
            await kept(here, image_bytes())
        (tmp_path / "away.db").rename(tmp_path / "tasks.db")


# --- masks


@pytest.mark.parametrize("size", [(1024, 1024), (512, 512), (100, 80)])
async def test_a_mask_is_scaled_to_its_image(tmp_path: Path, size: tuple[int, int]) -> None:
    """The gallery paints on a smaller image than the one that is edited; the provider gets equal sizes."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await here.made(model="flux-2-pro", prompt="a kite")
        image = first.images[0]
        mask = await kept(here, mask_bytes(size), mask_of=f"{first.id}.1")
        assert (mask.width, mask.height, mask.mime_type) == (image.width, image.height, "image/png")
        task = await here.made(**FILL, image=f"{first.id}.1", mask=mask.id)
        assert task.status is Status.SUCCEEDED, task.failure
        assert task.request.mask == mask.id
        sent = sent_image(here.sent_to("bfl")[-1], "mask")
        assert sent.size == sent_image(here.sent_to("bfl")[-1], "image").size
        assert (sent.getpixel((0, 0)), sent.getpixel((sent.width - 1, 0))) == (255, 0)


async def test_a_mask_of_an_added_image_has_its_size(tmp_path: Path) -> None:
    """And so has the mask that is sent."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        large = io.BytesIO()
        Image.new("RGB", (3000, 2000), "teal").save(large, "PNG")
        image = await kept(here, large.getvalue())
        mask = await kept(here, mask_bytes((300, 200)), mask_of=image.id)
        assert (mask.width, mask.height) == (3000, 2000)
        task = await here.made(**FILL, image=image.id, mask=mask.id)
        assert task.status is Status.SUCCEEDED, task.failure
        body = here.sent_to("bfl")[-1]
        assert sent_image(body, "mask").size == sent_image(body, "image").size == (3000, 2000)


async def test_a_mask_made_for_another_image_is_scaled_and_a_given_one_is_refused(tmp_path: Path) -> None:
    """Only what was painted on this machine is known to be meant for the whole image."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        mask = await kept(here, mask_bytes((300, 200)))
        task = await here.made(**FILL, image=data_uri(image_bytes()), mask=mask.id)
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to("bfl")[-1], "mask").size == (160, 120)
        with pytest.raises(InvalidRequest, match="both must have the same size"):
            await created(
                here.studio, make_request(**FILL, image=data_uri(image_bytes()), mask=data_uri(mask_bytes((300, 200))))
            )


async def test_the_image_of_a_mask_may_be_at_its_link_only(tmp_path: Path) -> None:
    """Without a copy it is fetched; what is there instead is refused."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        first = await here.made()
        mask = await kept(here, mask_bytes((10, 10)), mask_of=f"{first.id}.1")
        assert (mask.width, mask.height) == (1024, 1024)
        here.faults("image:wrong_type,times=always")
        with pytest.raises(InvalidRequest, match=f"{first.id}.1 cannot be used: it is neither"):
            await kept(here, mask_bytes((10, 10)), mask_of=f"{first.id}.1")
        here.faults("image:status=404,times=always")
        with pytest.raises(InvalidRequest, match=f"{first.id}.1 cannot be fetched"):
            await kept(here, mask_bytes((10, 10)), mask_of=f"{first.id}.1")


async def test_images_that_are_kept_count_towards_the_limit(tmp_path: Path) -> None:
    """They are deleted when they are the oldest."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_GB=0.0001) as here:
        uploads = []
        for _ in range(4):
            uploads.append(await kept(here, image_bytes()))
            await here.clock.sleep(1)
        left = {path.name for path in (tmp_path / "pictures").iterdir()}
        assert left == {upload.file_name for upload in uploads[-len(left) :]}
        assert 0 < len(left) < 4
