"""Images whose links die within a day are copied before the task is finished."""

import stat
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from PIL import Image
from support import make_wide_environment

from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.media.blobs import Blobs
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings.trusted_hosts import TrustedHosts

KITE: dict[str, Any] = {"model": "flux-2-pro", "prompt": "a red kite"}


@pytest.mark.parametrize(
    ("service", "model", "lives_s"), [("bfl", "flux-2-pro", 600), ("replicate", "flux-1.1-pro", 3600)]
)
async def test_a_copy_is_in_the_data_folder(tmp_path: Path, service: str, model: str, lives_s: int) -> None:
    """It is private and complete, with type and size, and as old as its task; the expiry of the link is kept too."""
    async with make_wide_environment(tmp_path, services=[service]) as here:
        task = await here.made(model=model, prompt="a red kite")
        (image,) = task.images
        path = Path(image.path or "")
        assert path.parent == tmp_path / "pictures"
        assert path.stem == f"{task.id}.1"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.stat().st_mtime == pytest.approx(task.created_at, abs=1e-5)
        with Image.open(path) as copy:
            copy.load()
            assert (copy.size, Image.MIME[copy.format or ""]) == ((image.width, image.height), image.mime_type)
        assert image.expires_at == pytest.approx(task.updated_at + lives_s, abs=1)
        assert (await here.studio.fetch([task.id], LOCAL))[task.id].images == task.images
        assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("image:dead_image,times=always", "404"),
        ("image:wrong_type,times=always", "neither"),
        ("image:reset,times=always", "no copy"),
    ],
)
async def test_without_a_copy_the_image_is_returned_anyway(tmp_path: Path, fault: str, says: str) -> None:
    """With a notice to use the link before it dies."""
    async with make_wide_environment(tmp_path, fault, services=["bfl"]) as here:
        task = await here.made(**KITE)
        assert (task.status, task.images[0].path) == (Status.SUCCEEDED, None)
        assert any("no copy" in str(notice) and says in str(notice) for notice in task.notices)
        assert not list((tmp_path / "pictures").glob("*"))


@pytest.mark.parametrize("keep", ["all", "expiring"])
async def test_a_copy_that_cannot_be_stored_now_is_stored_later(tmp_path: Path, keep: str) -> None:
    """A full disk, or a file in place of the folder: the result is not held up, and no notice says that it is over."""
    (tmp_path / "pictures").touch()
    async with make_wide_environment(tmp_path, services=["bfl"], JOURNEY_MCP_KEEP_IMAGES=keep) as here:
        task = await here.made(**KITE)
        assert (task.status, task.images[0].path, task.notices) == (Status.SUCCEEDED, None, ())
        await here.clock.sleep(5)
        (tmp_path / "pictures").unlink()
        await here.clock.sleep(80)
        found = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert found.images[0].path is not None
        assert found.notices == ()


@pytest.mark.parametrize("keep", ["all", "expiring"])
async def test_a_copy_that_cannot_be_stored_until_its_link_dies_is_reported(tmp_path: Path, keep: str) -> None:
    """With the reason, once there is nothing more to try."""
    (tmp_path / "pictures").touch()
    async with make_wide_environment(tmp_path, services=["bfl"], JOURNEY_MCP_KEEP_IMAGES=keep) as here:
        task = await here.made(**KITE)
        await here.clock.sleep(700)
        found = (await here.studio.fetch([task.id], LOCAL))[task.id]
        (notice,) = found.notices
        assert notice.code == "copy_failed"


async def test_a_damaged_copy_is_none(tmp_path: Path) -> None:
    """It is made again."""
    folder, id_ = ImageFolder(tmp_path), ImageId(f"tsk_{'a' * 22}", 1)
    blobs = Blobs(folder, 1_000_000, SafeHttpClient(TrustedHosts()), ManualClock())
    await folder.write(str(id_), "png", b"damaged", made_at=1.0)
    assert await blobs.read(id_) is None


@pytest.mark.parametrize("setting", [{"JOURNEY_MCP_COPY_MAX_MB": 0}, {"JOURNEY_MCP_KEEP_IMAGES": "off"}])
async def test_a_setting_turns_copies_off(tmp_path: Path, setting: dict[str, Any]) -> None:
    """Either one keeps none, and says nothing."""
    async with make_wide_environment(tmp_path, services=["bfl"], **setting) as here:
        task = await here.made(**KITE)
        assert (task.images[0].path, task.notices) == (None, ())


async def test_an_image_that_is_not_available_at_once_is_fetched_again(tmp_path: Path) -> None:
    """Its link lives ten minutes."""
    async with make_wide_environment(tmp_path, "image:status=503,times=2", services=["bfl"]) as here:
        task = await here.made(**KITE)
        assert task.images[0].path
        assert task.notices == ()
