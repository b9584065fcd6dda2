"""Images with hidden data in the file: none of it reaches a provider."""

import base64
import string
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from drawn import animated, chunk, drawn, opened, written
from media.test_reencode import inflated, raw_png
from PIL import Image, ImageFile, PngImagePlugin
from studio.test_inputs import data_uri
from support import client_of, coarse, environment_of

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox
from journey_mcp.media.formats import FORMATS
from journey_mcp.settings import read_settings

SERVICES = ("vtrix", "kkiai", "replicate", "bfl")
"""The providers that accept images as data."""
_CHUNKS = (
    *("tEXt", "zTXt", "iTXt", "pHYs", "sBIT", "bKGD", "hIST", "tIME", "sPLT", "eXIf", "oFFs", "pCAL", "gIFx", "prVt"),
    *("gAMA", "cHRM", "sRGB", "cICP", "iCCP", "PLTE", "tRNS", "fdAT", "fcTL", "acTL", "mDCV", "cLLI", "caBX"),
)
_MARKERS = (*range(0xE0, 0xF0), 0xFE, 0xF7, 0xDC, 0xC8, 0x01)
Carrier = Callable[[Random, bytes], bytes]


def _png_chunk(random: Random, hidden: bytes) -> bytes:
    name = random.choice(_CHUNKS).encode()
    body = random.choice((hidden, b"Comment\0" + hidden, b"x\0\0" + zlib.compress(hidden), hidden * 50))
    return raw_png(chunk(name, body))


def _png_elsewhere(random: Random, hidden: bytes) -> bytes:
    plain = raw_png()
    end, data = plain.index(b"IEND") - 4, plain.index(b"IDAT") - 4
    piece = random.choice((chunk(b"IDAT", hidden), chunk(b"IEND", hidden), chunk(b"prVt", hidden), hidden))
    at = random.choice((data, end, len(plain)))
    return plain[:at] + piece + plain[at:]


def _png_rows(random: Random, hidden: bytes) -> bytes:
    return raw_png(extra=bytes(random.randrange(40)) + hidden * random.choice((1, 2000)))


def _png_palette(random: Random, hidden: bytes) -> bytes:
    """Hide it in unused palette colours and in their transparency."""
    pieces = [chunk(b"PLTE", bytes(6) + hidden + bytes(-len(hidden) % 3))]
    pieces += [chunk(b"tRNS", bytes(2) + hidden)] if random.random() < 0.5 else []
    return raw_png(*pieces, colour=3, channels=1)


def _jpeg_segment(random: Random, hidden: bytes) -> bytes:
    content = written(drawn(), "jpeg")
    start = random.choice((b"", b"Exif\0\0", b"JFXX\0", b"JFIF\0\1\1", b"Adobe\0d", b"ICC_PROFILE\0\1\1", b"MPF\0"))
    segment = bytes((0xFF, random.choice(_MARKERS))) + (len(start + hidden) + 2).to_bytes(2) + start + hidden
    at = random.choice((2, content.index(b"\xff\xdb"), content.index(b"\xff\xda"), len(content) - 2))
    return content[:at] + segment + content[at:]


def _behind_the_end(random: Random, hidden: bytes) -> bytes:
    kind = random.choice((*FORMATS, "bmp", "tiff", "avif"))
    return written(drawn(), kind) + random.choice((b"", bytes(1000), written(drawn(), "jpeg"))) + hidden


def _metadata(random: Random, hidden: bytes) -> bytes:
    """Hide it in metadata as programs write it."""
    kind, text = random.choice((*FORMATS, "tiff", "avif")), hidden.decode()
    exif = Image.Exif()
    exif[random.choice((0x010E, 0x010F, 0x013B, 0x8298, 0x9286))] = text
    exif.get_ifd(0x8825)[29] = text
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", text)
        return written(drawn(), kind, pnginfo=texts, exif=exif)
    if kind == "gif":
        return written(drawn("P"), kind, comment=hidden)
    if kind == "tiff":
        return written(drawn(), kind, description=text, artist=text, copyright=text)
    more = {"comment": hidden} if kind == "jpeg" else {}
    return written(drawn(), kind, exif=exif, xmp=hidden, **more)


def _webp_chunk(random: Random, hidden: bytes) -> bytes:
    content = written(drawn(), "webp", lossless=random.random() < 0.5)
    name = random.choice((b"EXIF", b"XMP ", b"ICCP", b"ANIM", b"prVt", b"VP8X", b"ALPH", b"VP8 "))
    body = content[12:] + name + len(hidden).to_bytes(4, "little") + hidden + bytes(len(hidden) % 2)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _gif_block(random: Random, hidden: bytes) -> bytes:
    content = random.choice((written(drawn("P"), "gif"), animated("gif")))
    start = random.choice((b"!\xfe", b"!\xff\x0bXMP DataXMP", b"!\x01\x0c" + bytes(12), b"!\x77"))
    at = random.choice((len(content) - 1, 13 + 768))
    return content[:at] + start + bytes((len(hidden),)) + hidden + b"\0" + content[at:]


def _gap(random: Random, hidden: bytes) -> bytes:
    """Hide it between the header and the pixels of a BMP."""
    content = bytearray(written(drawn(random.choice(("RGB", "L"))), "bmp"))
    start = struct.unpack_from("<I", content, 10)[0]
    struct.pack_into("<I", content, 10, start + len(hidden))
    return bytes(content[:start] + hidden + content[start:])


def _other_page(random: Random, hidden: bytes) -> bytes:
    """Hide it in a second page whose pixels are the text."""
    page = Image.frombytes("L", (len(hidden), 1), hidden)
    kind = random.choice(("tiff", "gif", "png", "webp"))
    first = drawn("L").resize(page.size)
    return written(first, kind, save_all=True, append_images=[page], lossless=True)


def _anywhere(random: Random, hidden: bytes) -> bytes:
    """Insert it anywhere; most of these files are damaged then."""
    kind = random.choice(FORMATS)
    content = written(drawn(), kind)
    # the quantization tables before it determine the pixels of a JPEG
    at = random.randrange(content.index(b"\xff\xda") if kind == "jpeg" else 0, len(content))
    return content[:at] + hidden + content[at:]


def _jpeg_table(random: Random, hidden: bytes) -> bytes:
    """Hide it in a quantization table that no channel uses."""
    content = written(drawn(), "jpeg")
    at = content.index(b"\xff\xda")
    return content[:at] + b"\xff\xdb\0\x43" + bytes((random.randrange(2, 4),)) + (hidden * 4)[:64] + content[at:]


def _cropped(random: Random, hidden: bytes) -> bytes:
    """Hide it below the height that a JPEG's header states."""
    rows = Image.frombytes("L", (len(hidden) * 8, 8), b"".join(bytes((byte,)) * 8 for byte in hidden) * 8)
    image = drawn("L", (rows.width, 64))
    image.paste(rows, (0, 64 - rows.height))
    whole = written(image, "jpeg", quality=100)
    height = random.randrange(8, 40)
    return whole.replace(struct.pack(">HH", 64, rows.width), struct.pack(">HH", height, rows.width), 1)


CARRIERS: tuple[Carrier, ...] = (
    *(_png_chunk, _png_elsewhere, _png_rows, _png_palette, _jpeg_segment, _behind_the_end, _metadata, _webp_chunk),
    *(_gif_block, _gap, _other_page, _anywhere, _jpeg_table, _cropped),
)


def sent_images(body: Any) -> Iterator[bytes]:
    """Yield the images in the body of a creating request, at any depth."""
    if isinstance(body, dict | list):
        for value in body.values() if isinstance(body, dict) else body:
            yield from sent_images(value)
    elif isinstance(body, str) and len(body) > 80:
        yield base64.b64decode(body.rpartition(",")[2], validate=True)


def holds(content: bytes, hidden: bytes) -> bool:
    """Return whether a file contains this: literally, in compressed parts, in pixels, or in rows below the last one."""
    image = opened(content)
    parts = [content, image.tobytes(), image.info.get("icc_profile") or b""]
    if image.format == "PNG":
        parts.append(inflated(content))
    below = _rows_below(content) if image.format == "JPEG" else b""
    is_below = len(below) == len(hidden) and all(abs(one - other) < 4 for one, other in zip(below, hidden, strict=True))
    return is_below or any(hidden in part for part in parts)


def _rows_below(content: bytes) -> bytes:
    """Return what `_cropped` wrote below the last row of a JPEG, as far as it is still there."""
    image = opened(content)
    size, whole = (struct.pack(">HH", height, image.width) for height in (image.height, 64))
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return opened(content.replace(size, whole, 1)).convert("L").crop((0, 60, image.width, 61)).tobytes()[4::8]
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


async def hidden_data(ground: Ground) -> Outcome:
    """Hide data in every format: in used and unused parts, after the end and below the last row."""
    outcome = Outcome(unit="images with hidden data in the file")
    sent = 0
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox.running(coarse(speed=0, seed=7)))
        settings = read_settings(environment_of(upstream, ground.folder, *SERVICES))
        client = await stack.enter_async_context(client_of(settings))
        for number in range(ground.count(250)):
            hidden = "".join(ground.random.choices(string.ascii_letters, k=24)).encode()
            carrier, provider = ground.random.choice(CARRIERS), ground.random.choice(SERVICES)
            image = data_uri(carrier(ground.random, hidden))
            given = {"prompt": f"a kite, {number}", "model": "flux-kontext-pro", "image": image, "wait_s": 20}
            result = await client.call_tool("edit_image", {**given, "provider": provider})
            is_refused = (result.structured_content or {}).get("error", {}).get("code") == "unusable_image"
            images = [] if is_refused else list(sent_images(upstream.sandbox.request_log.submissions[-1].request))
            sent += len(images)
            held = is_refused or (len(images) == 1 and not holds(images[0], hidden))
            what = f"{carrier.__name__} at {provider}: {result.structured_content}"
            outcome.attempt(held=held, what=what[:300])
    outcome.remark = f"{sent:,} were sent without it, the others were rejected"
    return outcome
