"""The folder of the person: nothing is overwritten, nothing is written elsewhere, failures leave nothing."""

import errno
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from journey_mcp.media.save_folder import SaveFolder

NAME = "2026-11-28 a kite"


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_an_image_gets_its_name(tmp_path: Path) -> None:
    """With the ending of its format, and the usual permissions: the person shares it as any other file."""
    folder = SaveFolder(tmp_path / "Images")
    path = folder.save(NAME, "jpeg", b"image")
    assert path == tmp_path / "Images" / f"{NAME}.jpg"
    assert path.read_bytes() == b"image"
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert names_in(folder.path) == [path.name]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Not even by the same image: it was asked for twice."""
    folder = SaveFolder(tmp_path)
    saved = [folder.save(NAME, "png", content).name for content in (b"one", b"two", b"one")]
    assert saved == [f"{NAME}.png", f"{NAME} (2).png", f"{NAME} (3).png"]
    assert [(tmp_path / name).read_bytes() for name in saved] == [b"one", b"two", b"one"]


def test_an_image_that_may_be_saved_already_is_not_saved_again(tmp_path: Path) -> None:
    """After a process died between saving and noting it. A file of another content is not it."""
    folder = SaveFolder(tmp_path)
    for content in (b"of the person", b"ours"):
        folder.save(NAME, "png", content)
    assert folder.save(NAME, "png", b"ours", may_exist=True).name == f"{NAME} (2).png"
    assert folder.save(NAME, "png", b"next", may_exist=True).name == f"{NAME} (3).png"
    assert len(names_in(tmp_path)) == 3


@pytest.mark.parametrize("target", ["elsewhere/file", "nowhere"])
def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, target: str) -> None:
    """Its name is taken, whether its target exists or not, also when the image may be saved already."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"image")
    folder = SaveFolder(tmp_path / "Images")
    folder.prepare()
    (folder.path / f"{NAME}.png").symlink_to(tmp_path / target)
    assert folder.save(NAME, "png", b"image", may_exist=True).name == f"{NAME} (2).png"
    assert names_in(tmp_path) == ["Images", "elsewhere"]
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"image"


def test_several_threads_get_different_names(tmp_path: Path) -> None:
    """As several processes do: the file system decides."""
    folder = SaveFolder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda number: folder.save(NAME, "png", str(number).encode()), range(40)))
    assert len(set(saved)) == 40
    assert sorted(int(path.read_bytes()) for path in saved) == list(range(40))


def test_a_folder_whose_place_is_missing_is_not_created(tmp_path: Path) -> None:
    """A drive may not be mounted."""
    with pytest.raises(FileNotFoundError):
        SaveFolder(tmp_path / "drive" / "Images").save(NAME, "png", b"image")
    assert names_in(tmp_path) == []


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    """Made after the start of the server."""
    (tmp_path / "Images").touch()
    with pytest.raises(FileExistsError):
        SaveFolder(tmp_path / "Images").save(NAME, "png", b"image")


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_is_not_writable_is_an_error(tmp_path: Path) -> None:
    """The reason is named."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="the folder is not writable"):
        SaveFolder(tmp_path).save(NAME, "png", b"image")
    tmp_path.chmod(0o700)


def without_links(*_arguments: object, **_more: object) -> None:
    """Refuse a hard link, as the file systems of memory cards do."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_hard_links_works_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is overwritten there either."""
    monkeypatch.setattr(os, "link", without_links)
    folder = SaveFolder(tmp_path)
    saved = [folder.save(NAME, "png", content).name for content in (b"one", b"two")]
    assert saved == names_in(tmp_path)[::-1] == [f"{NAME}.png", f"{NAME} (2).png"]
    assert [(tmp_path / name).read_bytes() for name in saved] == [b"one", b"two"]


def test_a_disk_that_is_full_there_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the image is written, under its own name."""

    def fill(*_arguments: object, **_more: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        without_links()

    monkeypatch.setattr(os, "link", fill)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"\w"):
            SaveFolder(tmp_path).save(NAME, "png", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names_in(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The limit of a process on the size of its files fails a write as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"\w") as raised:
            SaveFolder(tmp_path).save(NAME, "png", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    assert names_in(tmp_path) == []
