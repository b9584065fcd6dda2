"""Export of images: from the stored copy or the link, completely or not at all."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from journey_mcp.cli.images import image_files
from journey_mcp.core.errors import InvalidArguments, SetupError, UpstreamError
from journey_mcp.core.images import OutputImage
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings.trusted_hosts import TrustedHosts

UNTRUSTED = SafeHttpClient(TrustedHosts())


def drawn(kind: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (4, 3), "teal").save(written, kind)
    return written.getvalue()


PNG = drawn("png")


@asynccontextmanager
async def answering(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """Run a server that answers every path with the result of `answer`; return its address."""

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


async def saved(url: str, path: Path, *, trusted: str | None = None, replace: bool = False) -> image_files.Saved:
    safe_http = UNTRUSTED.with_trusted(trusted) if trusted else UNTRUSTED
    return await image_files.save(OutputImage(url=url), path, safe_http, replace=replace)


async def test_redirects_are_followed_five_times(tmp_path: Path) -> None:
    def answer(path: str) -> bytes:
        number = int(path.strip("/"))
        return redirect(f"/{number - 1}") if number else ok(PNG)

    async with answering(answer) as origin:
        done = await saved(f"{origin}/5", tmp_path / "a.png", trusted=origin)
        assert done == image_files.Saved(path=tmp_path / "a.png", format="png")
        assert done.path.read_bytes() == PNG
        with pytest.raises(UpstreamError, match="redirects"):
            await saved(f"{origin}/6", tmp_path / "b.png", trusted=origin)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ok(b"<html>sign in"), "it is neither PNG, JPEG, WebP nor GIF but a web page"),
        (ok(b"RIFF\0\0\0\0WAVEfmt "), "it is neither PNG, JPEG, WebP nor GIF"),
        (ok(PNG, length=1000), "was interrupted"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "answered HTTP 403"),
        (b"nonsense", "cannot be saved"),
    ],
)
async def test_only_a_complete_image_is_written(tmp_path: Path, answer: bytes, words: str) -> None:
    async with answering(lambda _: answer) as origin:
        with pytest.raises(UpstreamError, match=words) as raised:
            await saved(f"{origin}/x", tmp_path / "new" / "a.png", trusted=origin)
    assert f"{origin}/x" in str(raised.value)
    assert "not lost" in str(raised.value.failure.next_step)
    assert list(tmp_path.iterdir()) == []


async def test_an_oversized_image_is_not_saved(tmp_path: Path) -> None:
    huge = ok(PNG + bytes(64 * 1024 * 1024))
    async with answering(lambda _: huge) as origin:
        with pytest.raises(UpstreamError, match="larger than 67,108,864 bytes"):
            await saved(f"{origin}/x", tmp_path / "a.png", trusted=origin)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/x", "is not fetched: give an https:// URL"),
        ("http://127.0.0.1:1/x", "is not fetched over plain http://"),
        ("https://127.0.0.1:1/x", "is not a public host"),
        ("https://a.test:99999/x", "ports are 1 to 65535"),
        ("data:image/png,x", "is not fetched"),
    ],
)
async def test_a_forbidden_url_is_an_error(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(UpstreamError, match=words):
        await saved(url, tmp_path / "a.png")


async def test_a_failed_connection_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="no connection to"):
        await saved("http://127.0.0.1:1/x", tmp_path / "a.png", trusted="http://127.0.0.1:1")


async def test_the_stored_copy_is_used_first(tmp_path: Path) -> None:
    image = OutputImage(url="http://127.0.0.1:1/x")
    done = await image_files.save(image, tmp_path / "a.png", UNTRUSTED, copy=PNG)
    assert done.path.read_bytes() == PNG


async def test_without_a_copy_the_link_is_downloaded(tmp_path: Path) -> None:
    async with answering(lambda _: ok(PNG)) as origin:
        image = OutputImage(url=f"{origin}/x")
        done = await image_files.save(image, tmp_path / "a.png", UNTRUSTED.with_trusted(origin))
    assert done.path.read_bytes() == PNG


async def test_an_error_states_when_the_link_expires(tmp_path: Path) -> None:
    image = OutputImage(url="http://127.0.0.1:1/x", expires_at=1_700_000_000.0)
    with pytest.raises(UpstreamError) as raised:
        await image_files.save(image, tmp_path / "a.png", UNTRUSTED)
    assert raised.value.failure.next_step == (
        "Its link expires at 2023-11-14T22:13:20Z: open it before then, or fetch it again."
    )


async def test_a_file_created_meanwhile_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    async with answering(lambda _: ok(PNG)) as origin:
        with pytest.raises(SetupError, match=r"it exists \(--force replaces it\)"):
            await saved(f"{origin}/x", tmp_path / "a.png", trusted=origin)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
        with pytest.raises(SetupError, match=r"Not a directory|File exists"):
            await saved(f"{origin}/x", tmp_path / "a.png" / "b.png", trusted=origin)
        await saved(f"{origin}/x", tmp_path / "a.png", trusted=origin, replace=True)
    assert (tmp_path / "a.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("png", "a.PNG", "a.jpg"), ("jpeg", "a.jpg", "a.png"), ("webp", "a.webp", "a.gif"), ("gif", "a.gif", "a.webp")],
)
async def test_a_suffix_of_another_format_is_noticed(tmp_path: Path, kind: str, good: str, bad: str) -> None:
    image, copy = OutputImage(url="https://a.test/x"), drawn(kind)
    done = [await image_files.save(image, tmp_path / name, UNTRUSTED, copy=copy) for name in (good, bad, "no_suffix")]
    assert {one.format for one in done} == {kind}
    assert [one.is_misnamed for one in done] == [False, True, False]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def make_device(path: Path) -> None:
    """Make a link, because only root can make a device node."""
    path.symlink_to(os.devnull)


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device, make_folder])
@pytest.mark.parametrize("is_linked", [False, True])
async def test_only_regular_files_are_replaced(
    tmp_path: Path, make: Callable[[Path], None], *, is_linked: bool
) -> None:
    there, name = tmp_path / "there", tmp_path / "a.png"
    make(there if is_linked else name)
    if is_linked:
        name.symlink_to(there)

    def state() -> tuple[int, ...]:
        """Return all but the access time, which reading a link changes."""
        found = name.lstat()
        return found.st_mode, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, Path(os.devnull).stat().st_mode

    before = state()
    words = (
        "it is a folder"
        if make is make_folder
        else "it is a device, a pipe or a socket, and only regular files are replaced"
    )
    for replace in (False, True):
        with pytest.raises(InvalidArguments, match=words) as refused:
            image_files.check_writable([name], replace=replace)
        assert "Nothing was sent" in (refused.value.failure.next_step or "")
        async with answering(lambda _: ok(PNG)) as origin:
            with pytest.raises(SetupError, match=words) as raised:
                await saved(f"{origin}/x", name, trusted=origin, replace=replace)
        assert "not lost" in (raised.value.failure.next_step or "")
    assert state() == before
    assert not list(tmp_path.glob(".journey-*"))


@pytest.mark.parametrize("exists", [True, False])
async def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path, *, exists: bool) -> None:
    file, link = tmp_path / "album" / "kite.png", tmp_path / "latest.png"
    file.parent.mkdir()
    link.symlink_to(file)
    if exists:
        file.write_text("old")
        with pytest.raises(InvalidArguments, match="it exists"):
            image_files.check_writable([link], replace=False)
    image_files.check_writable([link], replace=exists)
    async with answering(lambda _: ok(PNG)) as origin:
        done = await saved(f"{origin}/x", link, trusted=origin, replace=exists)
    assert (done.path, link.is_symlink(), file.read_bytes()) == (link, True, PNG)


def test_a_loop_of_symbolic_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(InvalidArguments, match="cannot be read"):
        image_files.check_writable([tmp_path / "a.png"], replace=True)
