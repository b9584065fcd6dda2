"""Which providers can fetch images from this server, and that nobody else's are given to them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from manual_clock import ManualClock

from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import UploadId
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.engine.retention import Retention
from journey_mcp.media.formats import probe
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.image_store import StoredImage
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.registry import load
from journey_mcp.settings import read_settings
from journey_mcp.store import Store, open_store
from journey_mcp.studio.hosting import Hosting
from journey_mcp.studio.uploads import Uploads
from studio.test_inputs import image_bytes

BASE = "https://mcp.example.com"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a task database."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as opened:
        yield opened


def hosting(folder: Path, store: Store, base_url: str | None = BASE) -> Hosting:
    """Return hosting at an address."""
    images, clock = ImageFolder(folder), ManualClock()
    uploads = Uploads(store, images, Retention(images, store, clock, max_bytes=1), clock)
    return Hosting(ImageLinks([b"k"], base_url), uploads, images, clock)


@pytest.mark.parametrize(
    ("base_url", "provider", "can"),
    [
        (BASE, "https://api.example.com/v1", True),
        ("https://mcp.internal", "https://api.example.com/v1", False),
        ("http://127.0.0.1:8000", "https://api.example.com/v1", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9/v1", True),
    ],
)
async def test_a_provider_must_reach_the_address(
    tmp_path: Path, store: Store, base_url: str, provider: str, *, can: bool
) -> None:
    """A provider on this machine reaches everything of this machine."""
    settings = read_settings({"JOURNEYAPI_API_KEY": "k", "JOURNEYAPI_BASE_URL": provider})
    (account,) = accounts_of(settings, load())
    host = await hosting(tmp_path, store, base_url).of(LOCAL)
    assert host is not None
    assert host.serves(account) is can


async def test_without_an_address_nothing_is_hosted(tmp_path: Path, store: Store) -> None:
    """As on stdio."""
    assert await hosting(tmp_path, store, None).of(LOCAL) is None


async def test_an_image_is_hosted_once_for_each_caller(tmp_path: Path, store: Store) -> None:
    """Its id tells nobody whether another has the same image; a deleted one is stored again."""
    image = probe(image_bytes())
    names = {}
    for principal in (LOCAL, Principal("token:other")):
        host = await hosting(tmp_path, store).of(principal)
        assert host is not None
        links = [await host.url_of(image, None) for _ in range(2)]
        assert len(set(links)) == 1
        names[principal] = links[0].partition("?")[0].rpartition("/")[2]
        id_ = names[principal].partition(".")[0]
        assert UploadId.parse(id_)
        assert list(await store.uploads.get([id_], principal=principal)) == [id_]
    assert len(set(names.values())) == 2
    (tmp_path / "pictures" / names[LOCAL]).unlink()
    host = await hosting(tmp_path, store).of(LOCAL)
    assert host is not None
    await host.url_of(image, None)
    assert (tmp_path / "pictures" / names[LOCAL]).exists()


async def test_an_image_that_is_stored_already_is_only_linked(tmp_path: Path, store: Store) -> None:
    """Nothing is written."""
    host = await hosting(tmp_path, store).of(LOCAL)
    assert host is not None
    stored = StoredImage(id=f"tsk_{'a' * 22}.2", format="png")
    link = await host.url_of(probe(image_bytes()), stored)
    assert link.startswith(f"{BASE}/images/{stored.file_name}?e=")
    assert not (tmp_path / "pictures").exists()
