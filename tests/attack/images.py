"""Images built to take time, memory or other calls' turns, and calls that name too many images."""

import os
import shutil
import signal
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import anyio
from anyio import to_thread
from drawn import animated, bomb, chunk, drawn, png_header, written
from PIL import Image
from processes import TIMEOUT_S, ServerProcess, Usage, image_workers, in_thread, server_process, until_worker
from support import coarse, environment_of

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox

_FILE_BYTES = 64 * 1024 * 1024
_MOST_BYTES = 700 * 1024 * 1024
"""The limit of memory, which holds an image of 64 MiB more than once."""
_MOST_COMPUTED_S = 5.0
"""The CPU time of the server itself for one image: all other calls wait for that."""
_ENDS = {"succeeded", "unusable_image"}
_EDIT = {"model": "flux-kontext-pro", "prompt": "make it blue"}
_SMALL = written(drawn(), "png")


def _chunks(random: Random) -> bytes:
    count = random.randrange(60_000, 3_000_000)
    return _SMALL[:33] + chunk(random.choice((b"tEXt", b"IDAT", b"prVt"))) * count + _SMALL[33:]


def _noise(random: Random) -> bytes:
    """Return incompressible pixels, too many to be sent."""
    size = random.randrange(500, 3500), random.randrange(500, 3500)
    image = Image.frombytes("RGBA", size, random.randbytes(size[0] * size[1] * 4))
    return written(image, "png", compress_level=0)


def _scans(random: Random) -> bytes:
    side = random.choice((100, 3000))
    content = written(Image.effect_noise((side, side), 40), "jpeg", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + scan * random.choice((5, 90, 3000)) + content[-2:]


def _slow_rows(random: Random) -> bytes:
    """Return a BMP in runs of a single pixel."""
    width, height, rows = 9000, 9000, random.randrange(10, 600)
    data = (b"\1\1" * width + b"\0\0") * rows
    head = struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + head + bytes(1024) + data


def _inflating(random: Random) -> bytes:
    """Return a decompression bomb in a colour profile, a text or the pixels."""
    deflate = zlib.compressobj(9)
    data = b"".join([*(deflate.compress(bytes(1_000_000)) for _ in range(random.randrange(50, 500))), deflate.flush()])
    piece = random.choice((chunk(b"iCCP", b"x\0\0" + data), chunk(b"zTXt", b"x\0\0" + data), chunk(b"IDAT", data)))
    return _SMALL[:33] + piece + _SMALL[33:]


def _blocks(random: Random) -> bytes:
    if random.random() < 0.5:
        return b"GIF89a" + bytes(7) + b"!\xfe" + b"\1." * random.randrange(1000, 5_000_000) + b"\0;"
    return b"RIFF" + (4 + 8 * 5_000_000).to_bytes(4, "little") + b"WEBP" + b"XMP \0\0\0\0" * 5_000_000


def _padding(random: Random) -> bytes:
    content = written(drawn(), "jpeg")
    at = content.index(random.choice((b"\xff\xdb", b"\xff\xda")))
    return content[:at] + random.choice((b"\xff", b"\xff\xfe\0\2")) * random.randrange(1000, 10_000_000) + content[at:]


def _cut_off(random: Random) -> bytes:
    content = written(drawn(size=(2000, 2000)), random.choice(("png", "jpeg", "webp", "tiff", "bmp", "avif")))
    return content[: random.randrange(8, len(content))]


def _pages(random: Random) -> bytes:
    pages = [Image.new("L", (1, 1))] * random.randrange(2, 2000)
    return written(pages[0], random.choice(("tiff", "gif")), save_all=True, append_images=pages[1:])


def _claims(random: Random) -> bytes:
    """Return a header that states a wrong size."""
    side = random.choice((9_000, 60_000, 2**31 - 1))
    return random.choice(
        (
            png_header(side, side) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND"),
            b"GIF89a" + struct.pack("<HH", side & 0xFFFF, side & 0xFFFF) + animated("gif")[10:],
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        )
    )


def _bomb(random: Random) -> bytes:
    return bomb(random.randrange(1000, 9400), random.randrange(1000, 9400))


_KINDS: tuple[Callable[[Random], bytes], ...] = (
    *(_chunks, _noise, _scans, _slow_rows, _inflating, _blocks, _padding, _cut_off, _pages, _claims, _bomb),
)


class _Caller:
    """A client of a server process that edits images of one folder, several at a time."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self._server, self._folder = server, folder
        self.outcomes: dict[int, str] = {}
        """The outcome of each call by request id: the task's status or the error's code, in the order of their ends."""

    def edit(self, content: bytes) -> int:
        """Start a call with this image and return the id of the request."""
        path = self._folder / f"{len(list(self._folder.iterdir()))}.png"
        path.write_bytes(content)
        return self._server.send("edit_image", **_EDIT, image=str(path), fresh=True, wait_s=50)

    async def until_answered(self, *ids: int) -> None:
        """Wait for the responses to these requests."""
        with anyio.fail_after(2 * TIMEOUT_S):
            while not set(ids) <= set(self.outcomes):
                answer = await to_thread.run_sync(self._server.answer, abandon_on_cancel=True)
                content = answer["result"]["structuredContent"]
                self.outcomes[answer["id"]] = str(
                    content.get("error", {}).get("code") or content.get("status") or "listed"
                )


async def _round(caller: _Caller, server: ServerProcess, contents: list[bytes]) -> list[str]:
    """Send these images at once and return the problems."""
    pid = server.process.pid
    await caller.until_answered(small := caller.edit(_SMALL))
    workers = image_workers(pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    hostile = [caller.edit(content) for content in contents]
    listing, other = server.send("fetch_task"), caller.edit(_SMALL)
    await caller.until_answered(listing)
    wrong = [] if workers else ["images are prepared in the server itself"]
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    await caller.until_answered(*hostile, other)
    wrong += [f"it ended as {caller.outcomes[id_]}" for id_ in hostile if caller.outcomes[id_] not in _ENDS]
    wrong += [
        f"a small image ended as {caller.outcomes[id_]}"
        for id_ in (small, other)
        if caller.outcomes[id_] != "succeeded"
    ]
    return wrong


async def hostile_images(ground: Ground) -> Outcome:
    """Send two at a time while the image workers are stopped: other calls are answered meanwhile, these afterwards."""
    outcome = Outcome(unit="images built to take time or memory")
    images, most_s = ground.folder / "images", 0.0
    images.mkdir()
    more = {"JOURNEY_MCP_IMAGE_DIRS": str(images), "JOURNEY_MCP_LOG_LEVEL": "error"}
    async with sandbox.running(coarse(speed=0)) as upstream:
        with server_process(environment_of(upstream, ground.folder / "data", "bfl", **more)) as server:
            caller = _Caller(server, images)
            for _ in range(ground.count(8)):
                makers = [ground.random.choice(_KINDS) for _ in range(2)]
                contents = [await in_thread(make, ground.random) for make in makers]
                before = Usage.of(server.process.pid)
                wrong = await _round(caller, server, contents)
                after = Usage.of(server.process.pid)
                computed_s = after.computed_s - before.computed_s
                most_s = max(most_s, computed_s)
                if computed_s > _MOST_COMPUTED_S or after.peak_bytes > _MOST_BYTES:
                    wrong.append(f"the server computed for {computed_s:.1f} s, with {after.peak_bytes:,} bytes")
                outcome.attempts += len(contents)
                outcome.succeeded += [f"{what}: {[make.__name__ for make in makers]}" for what in wrong]
            peak = Usage.of(server.process.pid).peak_bytes
            os.kill(await until_worker(server.process.pid), signal.SIGSTOP)
            caller.edit(_SMALL)
            server.process.terminate()
            code = await in_thread(server.process.wait, TIMEOUT_S)
            outcome.attempt(held=code == 0, what=f"it ended with {code} while an image was prepared")
    outcome.remark = (
        f"the server itself used at most {most_s:.1f} s of CPU time for two; peak memory {peak // 2**20} MiB"
    )
    return outcome


async def hostile_views(ground: Ground) -> Outcome:
    """Look at images of a provider that are built like these: each is shown or refused, in a process of its own."""
    outcome, most_s = Outcome(unit="views of images built to take time or memory"), 0.0
    data = ground.folder / "data"
    more = {"JOURNEY_MCP_COPY_MAX_MB": "0", "JOURNEY_MCP_LOG_LEVEL": "error"}
    async with sandbox.running(coarse(speed=0)) as upstream:
        with server_process(environment_of(upstream, data, "journeyapi", **more)) as server:
            made = await in_thread(server.call, "imagine", prompt="a kite", model="z-image")
            image_id = made["images"][0]["id"]
            (data / "pictures").mkdir()
            for _ in range(ground.count(8)):
                make = ground.random.choice(_KINDS)
                (data / "pictures" / f"{image_id}.png").write_bytes(await in_thread(make, ground.random))
                shutil.rmtree(data / "thumbnails", ignore_errors=True)
                before = Usage.of(server.process.pid)
                seen = await in_thread(server.call, "view_image", image_ids=[image_id])
                after = Usage.of(server.process.pid)
                most_s = max(most_s, computed_s := after.computed_s - before.computed_s)
                is_answered = bool(seen.get("images")) or seen["errors"][0]["code"] == "unusable_image"
                held = is_answered and computed_s < _MOST_COMPUTED_S and after.peak_bytes < _MOST_BYTES
                outcome.attempt(
                    held=held, what=f"{make.__name__}: {computed_s:.1f} s, {after.peak_bytes:,} bytes: {seen}"
                )
            peak = Usage.of(server.process.pid).peak_bytes
    outcome.remark = f"the server itself used at most {most_s:.1f} s of CPU time; peak memory {peak // 2**20} MiB"
    return outcome


def _names(random: Random, folder: Path, file: Path, count: int) -> list[str]:
    """Return `count` names of one file, most of them different."""
    names = []
    for number in range(count):
        link = folder / f"{number}.png"
        if random.random() < 0.3:
            link.symlink_to(file)
        elif random.random() < 0.5 and count > 4:  # each is a file of its own, and as many may be read as files
            link.hardlink_to(file)
        else:
            link = file
        names.append(random.choice((str(link), f"file://{link}", f"{link.parent}/{'./' * number}{link.name}")))
    return names


async def many_names(ground: Ground) -> Outcome:
    """Name more images than any model accepts, all of one file of 64 MiB: it is not read at all.

    An accepted number of names is read once, and of several such files no more than a call may contain.
    """
    outcome = Outcome(unit="calls that name files of 64 MiB")
    folder = ground.folder / "images"
    folder.mkdir()
    files = [folder / f"large-{number}.png" for number in range(5)]
    for file in files:
        file.write_bytes(_SMALL)
        os.truncate(file, _FILE_BYTES)
    more = {"JOURNEY_MCP_IMAGE_DIRS": str(folder), "JOURNEY_MCP_LOG_LEVEL": "error"}
    async with sandbox.running(coarse(speed=0)) as upstream:
        with server_process(environment_of(upstream, ground.folder / "data", "bfl", **more)) as server:
            await in_thread(server.call, "fetch_task")
            for number in range(ground.count(8)):
                links = ground.folder / "images" / f"names-{number}"
                links.mkdir()
                count, most_files = ground.random.choice(((40, 0), (4, 1), (0, 3)))
                given = _names(ground.random, links, files[0], count) if count else list(map(str, files))
                before = Usage.of(server.process.pid).read_bytes
                wanted = {"model": "flux-2-pro", "prompt": "blue", "image": given[0], "reference_images": given[1:]}
                result = await in_thread(server.call, "edit_image", **wanted, wait_s=20)
                read = Usage.of(server.process.pid).read_bytes - before
                is_right = result["status"] == ("succeeded" if most_files == 1 else "failed")
                held = is_right and read < most_files * _FILE_BYTES + 2**20
                outcome.attempt(held=held, what=f"{read:,} bytes read for {len(given)} names: {result}"[:300])
            peak = Usage.of(server.process.pid).peak_bytes
            outcome.attempt(held=peak < _MOST_BYTES, what=f"{peak:,} bytes of memory")
    outcome.remark = f"peak memory {peak // 2**20} MiB"
    return outcome
