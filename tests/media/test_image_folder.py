"""The folder of stored images: files are private and whole, the oldest go first, foreign files stay."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.image_store import Content, StoredImage

TASK = "tsk_" + "a" * 22
OTHER = "tsk_" + "b" * 22
UPLOAD = "up_" + "c" * 22


def names_in(folder: Path) -> list[str]:
    """Return the names of all stored files."""
    return sorted(path.name for part in ("pictures", "thumbnails") for path in (folder / part).glob("*"))


def thumbnail(folder: Path, name: str, size_bytes: int, made_at: float) -> Path:
    """Store a thumbnail as another part of the server does."""
    (folder / "thumbnails").mkdir(exist_ok=True)
    path = folder / "thumbnails" / name
    path.write_bytes(bytes(size_bytes))
    os.utime(path, (made_at, made_at))
    return path


@pytest.mark.parametrize(("kind", "name"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp"), ("gif", "gif")])
@pytest.mark.parametrize("image_id", [f"{TASK}.1", f"{TASK}.12", UPLOAD])
async def test_an_image_is_found_by_its_id(tmp_path: Path, image_id: str, kind: str, name: str) -> None:
    """Whatever its format."""
    folder = ImageFolder(tmp_path / "data")
    assert (await folder.find([image_id]), await folder.read(image_id), await folder.describe(image_id)) == (
        {},
        None,
        None,
    )
    stored = await folder.write(image_id, kind, b"image", made_at=1000.0)
    path = tmp_path / "data" / "pictures" / f"{image_id}.{name}"
    assert stored == StoredImage(id=image_id, format=kind, path=path)
    assert await folder.find([image_id, f"{OTHER}.1"]) == {image_id: stored}
    assert (stored.file_name, await folder.read(image_id)) == (path.name, b"image")
    assert await folder.describe(image_id) == Content(size_bytes=5, digest=hashlib.sha256(b"image").hexdigest())
    assert b"".join([part async for part in folder.stream(stored, 1, 4)]) == b"mag"
    assert path.stat().st_mtime == 1000.0


@pytest.mark.parametrize("image_id", ["", "..", "../tasks", f"../pictures/{TASK}.1", TASK, f"{TASK}.0", "up_short"])
async def test_nothing_but_an_id_names_a_file(tmp_path: Path, image_id: str) -> None:
    """No path is made of other texts."""
    folder = ImageFolder(tmp_path)
    await folder.write(f"{TASK}.1", "png", b"image", made_at=0.0)
    (tmp_path / "tasks.png").touch()
    assert await folder.find([image_id]) == {}


async def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has another working directory."""
    monkeypatch.chdir(tmp_path)
    stored = await ImageFolder(Path("data")).write(UPLOAD, "png", b"", made_at=0.0)
    assert stored.path is not None
    assert stored.path.is_absolute()


async def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """As when it was deleted in this moment."""
    folder = ImageFolder(tmp_path)
    await folder.write(UPLOAD, "png", b"image", made_at=0.0)
    path = tmp_path / "pictures" / f"{UPLOAD}.png"
    path.chmod(0)
    if not os.access(path, os.R_OK):
        assert (await folder.read(UPLOAD), await folder.describe(UPLOAD)) == (None, None)


async def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither half an image nor its temporary file; an earlier image stays."""
    folder = ImageFolder(tmp_path)
    (tmp_path / "pictures" / f"{UPLOAD}.png").mkdir(parents=True)
    with pytest.raises(OSError, match=r"\w"):
        await folder.write(UPLOAD, "png", b"image", made_at=0.0)
    assert names_in(tmp_path) == [f"{UPLOAD}.png"]


async def test_the_oldest_images_are_evicted_with_their_thumbnails(tmp_path: Path) -> None:
    """Until the rest fits; copies, kept images and thumbnails count together."""
    folder = ImageFolder(tmp_path)
    for image_id, made_at in ((f"{TASK}.1", 300.0), (f"{TASK}.2", 301.0), (UPLOAD, 100.0), (f"{OTHER}.1", 200.0)):
        await folder.write(image_id, "png", bytes(1000), made_at=made_at)
    thumbnail(tmp_path, f"{UPLOAD}-512.jpg", 100, made_at=9e9)
    thumbnail(tmp_path, f"{TASK}.1-1024.jpg", 100, made_at=1.0)
    assert await folder.usage() == 4200
    assert await folder.evict(4200, ()) == 4200
    assert len(names_in(tmp_path)) == 6
    assert await folder.evict(3000, ()) == 2100
    assert names_in(tmp_path) == sorted([f"{TASK}.1.png", f"{TASK}.2.png", f"{TASK}.1-1024.jpg"])


@pytest.mark.parametrize(
    ("protected", "kept"),
    [([f"{TASK}.1"], [f"{TASK}.1.png"]), ([TASK], [f"{TASK}.1.png", f"{TASK}.2.png"]), ([UPLOAD], [f"{UPLOAD}.png"])],
)
async def test_what_a_running_task_needs_is_not_evicted(
    tmp_path: Path, protected: Sequence[str], kept: list[str]
) -> None:
    """By the id of the image or of its task, even if nothing fits."""
    folder = ImageFolder(tmp_path)
    for image_id in (f"{TASK}.1", f"{TASK}.2", UPLOAD):
        await folder.write(image_id, "png", bytes(1000), made_at=1.0)
    assert await folder.evict(0, protected) == 1000 * len(kept)
    assert names_in(tmp_path) == kept


async def test_a_thumbnail_without_a_copy_is_evicted_by_its_own_time(tmp_path: Path) -> None:
    """Its image was never copied, or is evicted already."""
    folder = ImageFolder(tmp_path)
    await folder.write(f"{TASK}.1", "png", bytes(1000), made_at=200.0)
    thumbnail(tmp_path, f"{OTHER}.1-320.jpg", 100, made_at=100.0)
    thumbnail(tmp_path, f"{OTHER}.1-512.jpg", 100, made_at=101.0)
    assert await folder.evict(1100, ()) == 1000


async def test_old_images_are_forgotten_and_foreign_files_stay(tmp_path: Path) -> None:
    """Also in a folder of the person's that is the same; without a folder there is nothing to do."""
    folder = ImageFolder(tmp_path)
    await folder.forget_older(1.0)
    await folder.write(f"{TASK}.1", "jpeg", b"old", made_at=1000.0)
    await folder.write(f"{OTHER}.1", "png", b"new", made_at=3000.0)
    for name in ("2026-11-28 a kite.png", f"{UPLOAD}.txt", f"{UPLOAD}d.png", "a.folder"):
        (tmp_path / "pictures" / name).touch()
        os.utime(tmp_path / "pictures" / name, (1.0, 1.0))
    await folder.forget_older(2000.0)
    await folder.evict(0, [OTHER])
    assert names_in(tmp_path) == sorted(
        [f"{OTHER}.1.png", "2026-11-28 a kite.png", f"{UPLOAD}.txt", f"{UPLOAD}d.png", "a.folder"]
    )


async def test_what_a_killed_process_left_is_deleted_later(tmp_path: Path) -> None:
    """Of an image or a thumbnail; a file that may still be written stays."""
    folder = ImageFolder(tmp_path)
    for part in ("pictures", "thumbnails"):
        (tmp_path / part).mkdir()
        for name, made_at in ((".0123456789ab.part", 0.0), (".0123456789ac.part", 9000.0), (".part", 0.0)):
            (tmp_path / part / name).touch()
            os.utime(tmp_path / part / name, (made_at, made_at))
    await folder.delete_unfinished(10_000.0)
    assert names_in(tmp_path) == sorted([".0123456789ac.part", ".part"] * 2)


async def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(tmp_path: Path) -> None:
    """Another process may have deleted it; a link is deleted, and not what it leads to."""
    folder = ImageFolder(tmp_path)
    await folder.write(UPLOAD, "png", bytes(1000), made_at=2.0)
    (tmp_path / "pictures" / f"{OTHER}.1.png").mkdir()
    (tmp_path / "photo.png").touch()
    (tmp_path / "pictures" / f"{TASK}.1.png").symlink_to(tmp_path / "photo.png")
    await folder.evict(0, ())
    assert names_in(tmp_path) == [f"{OTHER}.1.png"]
    assert (tmp_path / "photo.png").exists()


async def test_everything_of_a_task_is_deleted(tmp_path: Path) -> None:
    """Its images and thumbnails; those of other tasks stay."""
    folder = ImageFolder(tmp_path)
    for image_id in (f"{TASK}.1", f"{TASK}.2", f"{OTHER}.1", UPLOAD):
        await folder.write(image_id, "png", b"image", made_at=1.0)
        await folder.write_thumbnail(image_id, 512, b"small", made_at=1.0)
    await folder.delete([TASK, UPLOAD])
    assert names_in(tmp_path) == [f"{OTHER}.1-512.jpg", f"{OTHER}.1.png"]
