"""The folder of thumbnails: made once, private, deleted with their images; the answers of processes are checked."""

import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from drawn import drawn, opened, written
from PIL import Image
from processes import image_workers

from journey_mcp.core.views import VIEW_SIZES, RasterForm
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.rendering import captioned_sheet, raster
from journey_mcp.media.thumbnails import MAX_BYTES, Load, Thumbnail, Thumbnails
from journey_mcp.media.workers import WorkerResult, Workers

ID = f"tsk_{'a' * 22}.1"
IMAGE = written(drawn(size=(1200, 800)), "png")
MADE_AT = 1_795_880_000.0


def source(image: bytes | Path) -> Load:
    """Return what loads this image, or its file."""

    async def load() -> bytes | Path:
        return image

    return load


async def nothing() -> bytes:
    """Fail: a kept thumbnail needs no image."""
    raise AssertionError


@pytest.fixture
async def thumbnails(tmp_path: Path) -> AsyncIterator[Thumbnails]:
    """Yield a folder that does not exist yet."""
    async with aclosing(Workers()) as workers:
        yield Thumbnails(ImageFolder(tmp_path), workers)


@pytest.mark.parametrize("size", VIEW_SIZES)
async def test_a_thumbnail_is_made_once_and_kept_privately(tmp_path: Path, size: int) -> None:
    """With the size of its original, and the age of its image; nothing is read again."""
    async with aclosing(Workers()) as workers:
        thumbnails = Thumbnails(ImageFolder(tmp_path), workers)
        made = await thumbnails.get(ID, size, source(IMAGE), made_at=MADE_AT, caller="local")
    assert (made.width, made.height) == (1200, 800)
    assert opened(made.content).width == size
    # without a process: the kept one is read, whatever the source is now
    assert await thumbnails.get(ID, size, nothing, made_at=MADE_AT, caller="local") == made
    (path,) = (tmp_path / "thumbnails").iterdir()
    assert path.name == f"{ID}-{size}.jpg"
    assert opened(path.read_bytes()).width == size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_mtime == MADE_AT


async def test_a_process_reads_the_file_itself(tmp_path: Path, thumbnails: Thumbnails) -> None:
    """The bytes need not pass through the server."""
    file = tmp_path / "image.png"
    file.write_bytes(IMAGE)
    made = await thumbnails.get(ID, 320, source(file), made_at=MADE_AT, caller="local")
    assert (made.width, made.height) == (1200, 800)
    with pytest.raises(NotAnImage, match=r"its file cannot be read \(No such file or directory\)"):
        await thumbnails.get(ID, 512, source(tmp_path / "none.png"), made_at=MADE_AT, caller="local")
    large = tmp_path / "large.png"
    with large.open("wb") as file_of_zeros:
        file_of_zeros.truncate(65 * 1024**2)
    with pytest.raises(NotAnImage, match="at most 67,108,864 can be handled"):
        await thumbnails.get(ID, 512, source(large), made_at=MADE_AT, caller="local")


async def test_calls_at_the_same_time_make_it_once(thumbnails: Thumbnails) -> None:
    """One process is enough."""
    found: list[Thumbnail] = []

    async def make() -> None:
        found.append(await thumbnails.get(ID, 320, source(IMAGE), made_at=MADE_AT, caller="local"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(make)
    assert len(image_workers(os.getpid())) == 1
    assert found == [found[0]] * 5


async def test_what_is_no_image_leaves_no_file(tmp_path: Path, thumbnails: Thumbnails) -> None:
    """Nor one that was not completed."""
    with pytest.raises(NotAnImage, match="a web page"):
        await thumbnails.get(ID, 320, source(b"<html>"), made_at=MADE_AT, caller="local")
    assert not (tmp_path / "thumbnails").exists()


async def test_on_a_full_disk_it_is_shown_and_not_kept(tmp_path: Path, thumbnails: Thumbnails) -> None:
    """The folder cannot be made, because a file has its name."""
    (tmp_path / "thumbnails").write_bytes(b"")
    made = await thumbnails.get(ID, 320, source(IMAGE), made_at=MADE_AT, caller="local")
    assert opened(made.content).width == 320


async def test_a_damaged_file_is_made_again(tmp_path: Path, thumbnails: Thumbnails) -> None:
    """It lacks the size of its original."""
    await thumbnails.get(ID, 320, source(IMAGE), made_at=MADE_AT, caller="local")
    (path,) = (tmp_path / "thumbnails").iterdir()
    path.write_bytes(b"")
    made = await thumbnails.get(ID, 320, source(IMAGE), made_at=MADE_AT, caller="local")
    assert opened(made.content).width == 320


async def test_they_are_deleted_by_id(tmp_path: Path, thumbnails: Thumbnails) -> None:
    """Those of other images are kept."""
    other = f"tsk_{'b' * 22}.1"
    for image_id in (ID, other):
        for size in VIEW_SIZES:
            await thumbnails.get(image_id, size, source(IMAGE), made_at=MADE_AT, caller="local")
    await thumbnails.forget([ID, "unknown"])
    assert {path.name.partition("-")[0] for path in (tmp_path / "thumbnails").iterdir()} == {other}
    assert await thumbnails.get(other, 320, nothing, made_at=MADE_AT, caller="local")


async def test_fewer_bytes_and_sheets(thumbnails: Thumbnails) -> None:
    """Of thumbnails that are kept."""
    noise = written(Image.effect_noise((900, 900), 200), "png")
    made = await thumbnails.get(ID, 512, source(noise), made_at=MADE_AT, caller="local")
    assert 80_000 < len(made.content) <= MAX_BYTES
    smaller = await thumbnails.smaller(made.content, size=512, max_bytes=80_000, caller="local")
    assert len(smaller) <= 80_000
    assert opened(smaller).size == (512, 512)
    sheet = await thumbnails.sheet([made.content] * 4, [*"1234"], size=512, max_bytes=60_000, caller="local")
    assert len(sheet) <= 60_000
    assert opened(sheet).size == (516, 516)


@pytest.mark.parametrize("form", get_args(RasterForm))
async def test_rasters_are_what_the_function_makes(thumbnails: Thumbnails, form: RasterForm) -> None:
    """In each form."""
    assert await thumbnails.raster(IMAGE, size=48, form=form, caller="local") == raster(IMAGE, size=48, form=form)


JPEG = written(drawn(), "jpeg")


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (JPEG, {}),
        (JPEG, {"width": "48", "height": 32}),
        (JPEG, {"width": 0, "height": 32}),
        (JPEG, {"width": 48, "height": 1_000_000}),
        (written(drawn(), "png"), {"width": 48, "height": 32}),
        (written(drawn(size=(400, 20)), "jpeg"), {"width": 48, "height": 32}),
        (b"<html>", {"width": 48, "height": 32}),
    ],
)
async def test_the_answer_of_a_process_is_checked(tmp_path: Path, content: bytes, result: dict[str, Any]) -> None:
    """Hostile bytes may control it: only a JPEG within the size is accepted."""
    workers = TakenOver(WorkerResult(content=content, result=result, notices=()))
    with pytest.raises(NotAnImage):
        await Thumbnails(ImageFolder(tmp_path), workers).get(ID, 320, source(IMAGE), made_at=MADE_AT, caller="local")
    assert not (tmp_path / "thumbnails").exists()


async def test_a_captioned_sheet_is_what_the_function_makes(thumbnails: Thumbnails) -> None:
    """Also with a cell that has no image."""
    captions = [["a", "b"], ["c"]]
    made = await thumbnails.captioned_sheet([JPEG, b""], captions, cell=100, form="png", caller="local")
    assert made.content == captioned_sheet([JPEG, b""], captions, cell=100, form="png").content
    assert (made.format, made.width, made.height) == ("png", 204, 114)


@pytest.mark.parametrize("content", [b"<html>", JPEG, written(drawn(size=(4000, 8)), "png")])
async def test_a_captioned_sheet_is_checked(tmp_path: Path, content: bytes) -> None:
    """As any answer of a process."""
    workers = TakenOver(WorkerResult(content=content, result={}, notices=()))
    with pytest.raises(NotAnImage):
        await Thumbnails(ImageFolder(tmp_path), workers).captioned_sheet(
            [JPEG], [["a"]], cell=100, form="png", caller="local"
        )


@pytest.mark.parametrize(
    ("form", "content", "size"),
    [
        ("rgb", bytes(3 * 6 - 1), (2, 3)),
        ("rgb", b"", (0, 0)),
        ("rgb", bytes(3 * 100), (100, 1)),
        ("palette", bytes(6), (2, 3)),
        ("palette", bytes(3 * 256 + 7), (2, 3)),
        ("png", JPEG, (48, 32)),
        ("png", b"\x1b[2J", (48, 32)),
        ("jpeg", JPEG, (32, 48)),
        ("jpeg", JPEG, ("48", "32")),
    ],
)
async def test_a_raster_is_checked(tmp_path: Path, form: RasterForm, content: bytes, size: tuple[Any, Any]) -> None:
    """As any answer of a process."""
    answer = WorkerResult(content=content, result=dict(zip(("width", "height"), size, strict=True)), notices=())
    with pytest.raises(NotAnImage):
        await Thumbnails(ImageFolder(tmp_path), TakenOver(answer)).raster(IMAGE, size=48, form=form, caller="local")


class TakenOver(Workers):
    """A process that answers what it likes."""

    def __init__(self, answer: WorkerResult) -> None:
        super().__init__()
        self.answer = answer

    async def run(self, *_job: Any, **_caller: Any) -> WorkerResult:
        """Return the answer."""
        return self.answer
