"""Saving pictures: from any server, whole or not at all."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from journey_mcp import saving
from journey_mcp.errors import SetupError, UpstreamError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@asynccontextmanager
async def answering(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """A server that answers every path with what `answer` makes of it; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        writer.write(answer(path))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def ok(content: bytes, length: int | None = None) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length or len(content)}\r\n\r\n".encode() + content


def redirect(path: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_redirects_are_followed_five_times(tmp_path: Path) -> None:
    def answer(path: str) -> bytes:
        number = int(path.strip("/"))
        return redirect(f"/{number - 1}") if number else ok(PNG)

    async with answering(answer) as origin:
        saved = await saving.save(f"{origin}/5", tmp_path / "a.png")
        assert saved == saving.Saved(path=tmp_path / "a.png", format="PNG")
        assert saved.path.read_bytes() == PNG
        with pytest.raises(UpstreamError, match="redirects"):
            await saving.save(f"{origin}/6", tmp_path / "b.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ok(b"<html>sign in"), 'neither PNG, JPEG, WebP nor GIF: "<html>sign in"'),
        (ok(PNG, length=1000), "peer closed connection"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "answered HTTP 403"),
        (b"nonsense", "cannot be saved"),
    ],
)
async def test_what_is_no_whole_picture_is_not_written(tmp_path: Path, answer: bytes, words: str) -> None:
    async with answering(lambda _: answer) as origin:
        with pytest.raises(UpstreamError, match=words) as raised:
            await saving.save(f"{origin}/x", tmp_path / "new" / "a.png")
    assert f"{origin}/x" in str(raised.value)
    assert "not lost" in str(raised.value.failure.next_step)
    assert list(tmp_path.iterdir()) == []


async def test_a_picture_beyond_all_bounds_is_left_alone(tmp_path: Path) -> None:
    huge = ok(PNG + bytes(64 * 1024 * 1024))
    async with answering(lambda _: huge) as origin:
        with pytest.raises(UpstreamError, match="larger than 64 MiB"):
            await saving.save(f"{origin}/x", tmp_path / "a.png")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://127.0.0.1:1/x", "http://[/x", "data:image/png,x"])
async def test_what_cannot_be_asked_is_said(tmp_path: Path, url: str) -> None:
    with pytest.raises(UpstreamError, match="cannot be saved"):
        await saving.save(url, tmp_path / "a.png")


async def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    async with answering(lambda _: ok(PNG)) as origin:
        with pytest.raises(SetupError, match="it exists by now"):
            await saving.save(f"{origin}/x", tmp_path / "a.png")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
        with pytest.raises(SetupError, match=r"Not a directory|File exists"):
            await saving.save(f"{origin}/x", tmp_path / "a.png" / "b.png")
        await saving.save(f"{origin}/x", tmp_path / "a.png", replace=True)
    assert (tmp_path / "a.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("content", "kind", "good", "bad"),
    [
        (PNG, "PNG", "a.PNG", "a.jpg"),
        (b"\xff\xd8\xff\xe0", "JPEG", "a.jpeg", "a.png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP", "a.webp", "a.gif"),
        (b"GIF89a", "GIF", "a.gif", "a.webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", None, "", ""),
    ],
)
def test_the_format_is_told_by_the_bytes(content: bytes, kind: str | None, good: str, bad: str) -> None:
    assert saving.picture_format(content) == kind
    if kind:
        named = [saving.Saved(path=Path(name), format=kind).is_misnamed for name in (good, bad, "no_suffix")]
        assert named == [False, True, False]


def test_several_pictures_are_numbered_before_the_suffix() -> None:
    assert saving.targets(Path("out/a.b.png"), 1) == [Path("out/a.b.png")]
    assert saving.targets(Path("out/a.b.png"), 2) == [Path("out/a.b-1.png"), Path("out/a.b-2.png")]
