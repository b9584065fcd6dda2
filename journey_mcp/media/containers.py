"""Containers of image files: their parts and headers, parsed without decoding a pixel.

Time and memory are linear in the size of a file, and the number of its parts is limited.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

NAMES = {
    "png": "PNG",
    "jpeg": "JPEG",
    "webp": "WebP",
    "gif": "GIF",
    "avif": "AVIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "heic": "HEIC",
}
"""The display names of the formats that can be read."""
MAX_PIXELS = 1024**3 // 4 // 3
"""Above 89 megapixels, 256 MiB in memory, Pillow itself suspects a decompression bomb."""

_MAX_CHUNKS = 65_536
"""Of a PNG or WebP. Encoders write chunks of 8 KiB and more, frames apart."""
_MAX_SEGMENTS = 4096
"""Of a JPEG. A segment takes up to 64 KiB, and only the few of the image are many."""
_MAX_SCANS = 100
"""A progressive JPEG has about ten; each costs as much as decoding the whole image."""
_MAX_SCANNED = 16 * MAX_PIXELS
"""Pixels times scans: the cost of the largest usual JPEG."""
_MAX_GIF_BLOCKS = 300_000
"""Of up to 255 bytes."""
_MAX_PROFILE = 4 * 1024 * 1024
"""Bytes of a colour profile; those of printers have about one million."""
# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.4: tag 274, the place of the first row and column
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = range(1, 9)


class NotAnImage(Exception):
    """These bytes cannot be used as an image. The message is a clause with the reason, to follow a colon."""


_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 13
_PNG_COLOURS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
"""Chunks that colour the image, with their lengths."""
_PNG_NUMBERS = {b"gAMA", b"cHRM"}
"""Those that hold numbers of four bytes, in hundred thousandths."""
_PNG_LARGEST = 1_000_000
"""No gamma and no chromaticity comes near it; text is far above."""
_PNG_CHANNELS = {0: 1, 2: 3, 6: 4}
"""Of grey, RGB and RGBA, by colour type."""
_PNG_PALETTE = 3
_PNG_GREY = (0, 4)
_INFLATED_AT_ONCE = 1024 * 1024
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""Any marker but those within the data of a scan."""
_JPEG_PADDING = re.compile(rb"\xff\xff+")
"""Equivalent to a single 0xFF, but decoders scan it repeatedly."""
_JPEG_SEARCHED_AT_ONCE = 1024 * 1024
"""Bytes; no other thread can run during a search."""
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of the header with the size."""
_JPEG_KEPT = {*range(0xC0, 0xD0), _JPEG_SCAN, 0xDB, 0xDC, 0xDD}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_WEBP_KEPT = {b"ICCP", b"ALPH", b"VP8 ", b"VP8L"}
_WEBP_METADATA = 0x0C
"""The flags of VP8X for EXIF and XMP."""
_GIF_EXTENSION, _GIF_IMAGE, _GIF_CONTROL = 0x21, 0x2C, 0xF9


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """The parts of an image file, found without decoding."""

    stripped: bytes
    """The file to decode: pixels and colours, without metadata, later frames, or appended data."""
    width: int
    """As stored, before the orientation is applied."""
    height: int
    is_complete: bool
    """The end of the file was found. Decoders are lenient, and would invent the missing part."""
    exif: bytes = b""
    is_animated: bool = False
    is_lossless: bool = False
    is_deep: bool = False
    """More than 8 bits per channel."""

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8; 1 is upright, also for invalid values."""
        tiff = self.exif.removeprefix(b"Exif\0\0")
        order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
        first = int.from_bytes(tiff[4:8], order)
        count = int.from_bytes(tiff[first : first + 2], order)
        for at in range(first + 2, min(first + 2 + 12 * count, len(tiff)), 12):
            if int.from_bytes(tiff[at : at + 2], order) == _ORIENTATION_TAG:
                value = int.from_bytes(tiff[at + 8 : at + 10], order)
                return value if value in _ORIENTATIONS else 1
        return 1


def parse_container(kind: str, content: bytes) -> Container:
    """Parse a PNG, JPEG, WebP or GIF.

    Raises:
        NotAnImage: its start is damaged, or it has more parts or pixels than can be handled.
    """
    try:
        container = _PARSERS[kind](content)
    except (IndexError, ValueError):
        raise damaged(kind, "its start cannot be read") from None
    if not container.width or not container.height:
        raise damaged(kind, "its start cannot be read")
    check_pixels(container.width, container.height)
    return container


def check_pixels(width: int, height: int) -> None:
    """Check, before anything is decoded, that the memory is sufficient.

    Raises:
        NotAnImage: names size and limit.
    """
    if width * height > MAX_PIXELS:
        raise NotAnImage(f"it has {width}x{height} pixels, and at most {MAX_PIXELS:,} can be handled")


def damaged(kind: str, reason: str) -> NotAnImage:
    """Return the error for a file that cannot be decoded."""
    return NotAnImage(f"it is a damaged {NAMES[kind]} ({reason})")


def exact_profile(profile: bytes | None) -> bytes | None:
    """Return a colour profile cut to the length that it states; `None` when it is not a profile.

    https://www.color.org/specification/ICC.1-2022-05.pdf, 7.2: length in the first four bytes, signature at 36.
    """
    if not profile or profile[36:40] != b"acsp" or len(profile) > _MAX_PROFILE:
        return None
    length = int.from_bytes(profile[:4])
    return profile[:length] if 128 <= length <= len(profile) else None  # noqa: PLR2004  # 128: the header


# --- PNG: https://www.w3.org/TR/png-3/


def _png(content: bytes) -> Container:
    colours: dict[bytes, bytes] = {}
    header, data, exif, frames, name = b"", [], b"", 0, b""
    for name, body in _png_chunks(content):
        if name == b"IHDR":
            header = header or bytes(body)
        elif name == b"IDAT":
            data.append(body)
        elif name == b"eXIf":
            exif = bytes(body)
        elif name == b"acTL":
            frames = int.from_bytes(body[:4])
        elif not data and (colour := _png_colour(name, body, header)) is not None:
            colours.setdefault(name, colour)
    if len(header) != _PNG_HEADER_BYTES:
        raise ValueError
    pieces = [
        _chunk(b"IHDR", header),
        *(_chunk(*colour) for colour in colours.items()),
        _chunk(b"IDAT", b"".join(data)),
    ]
    return Container(
        stripped=b"".join([_PNG_MAGIC, *pieces, _chunk(b"IEND", b"")]),
        width=int.from_bytes(header[:4]),
        height=int.from_bytes(header[4:8]),
        is_complete=name == b"IEND",
        exif=exif,
        is_animated=frames > 1,
        is_lossless=True,
        is_deep=header[8] > 8,  # noqa: PLR2004  # bits
    )


def is_exact_png(stripped: bytes) -> bool:
    """Return whether a parsed PNG has 8-bit grey, RGB or RGBA, row by row, and no byte more than its size needs.

    What a careless program cropped is often still present after the last row.
    """
    chunks = dict(_png_chunks(stripped))
    header = chunks[b"IHDR"]
    depth, colour, *methods = header[8:]
    channels = _PNG_CHANNELS.get(colour)
    if depth != 8 or channels is None or any(methods) or b"tRNS" in chunks:  # noqa: PLR2004  # bits
        return False
    row = 1 + channels * int.from_bytes(header[:4])
    return _inflates_to(chunks[b"IDAT"], row * int.from_bytes(header[4:8]))


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and body of each chunk up to the end; a truncated body is short."""
    view, at, name, count = memoryview(content), len(_PNG_MAGIC), b"", 0
    while at + 12 <= len(content) and name != b"IEND":
        count += 1
        if count > _MAX_CHUNKS:
            raise NotAnImage(f"it is a PNG of more than {_MAX_CHUNKS:,} chunks")
        end = at + 12 + int.from_bytes(view[at : at + 4])
        name = content[at + 4 : at + 8]
        yield name, view[at + 8 : end - 4]
        at = end


def _png_colour(name: bytes, body: memoryview, header: bytes) -> bytes | None:
    """Return the body of a chunk that defines colours, without any other content; else `None`."""
    if name == b"iCCP":
        profile = exact_profile(_inflated(bytes(body).partition(b"\0")[2][1:]))
        space = b"GRAY" if header[9] in _PNG_GREY else b"RGB "
        return b"icc\0\0" + zlib.compress(profile) if profile and profile[16:20] == space else None
    # colours beyond those an index can name, or a palette in an image without indices, have no effect
    most = {b"PLTE": 3 << header[8], b"tRNS": 1 << header[8]}.get(name, 0) if header[9] == _PNG_PALETTE else 0
    if name == b"tRNS" and header[9] != _PNG_PALETTE:
        most = 2 * _PNG_CHANNELS.get(header[9], 0)
    if len(body) == _PNG_COLOURS.get(name):
        numbers = struct.unpack(f">{len(body) // 4}I", body) if name in _PNG_NUMBERS else ()
        return bytes(body) if all(number <= _PNG_LARGEST for number in numbers) else None
    return bytes(body) if 0 < len(body) <= most else None


def _chunk(name: bytes, body: bytes) -> bytes:
    return b"".join([len(body).to_bytes(4), name, body, zlib.crc32(body, zlib.crc32(name)).to_bytes(4)])


def _inflated(data: bytes) -> bytes:
    """Inflate at most the size of a colour profile; empty when the data is invalid."""
    try:
        return zlib.decompressobj().decompress(data, _MAX_PROFILE + 1)
    except zlib.error:
        return b""


def _inflates_to(data: memoryview, length: int) -> bool:
    """Return whether this is one zlib stream of this many bytes, with nothing after it; the bytes are not kept."""
    stream, found = zlib.decompressobj(), 0
    try:
        for at in range(0, len(data), _INFLATED_AT_ONCE // 16):
            given: bytes | memoryview = data[at : at + _INFLATED_AT_ONCE // 16]
            while given:
                if stream.eof:
                    return False
                found += len(stream.decompress(given, _INFLATED_AT_ONCE))
                if found > length:
                    return False
                given = stream.unconsumed_tail
        found += len(stream.flush())
    except zlib.error:
        return False
    return stream.eof and found == length and not stream.unused_data


# --- JPEG: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B


def _jpeg(content: bytes) -> Container:
    kept, exif, frame, scans, marker = [b"\xff\xd8"], b"", b"", 0, 0
    for marker, body, data in _jpeg_segments(content):
        if marker in _JPEG_FRAMES:
            frame = frame or body
        scans += marker == _JPEG_SCAN
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif (needed := _jpeg_needed(marker, body)) is not None:
            kept += [bytes((0xFF, marker)), (len(needed) + 2).to_bytes(2), needed, _JPEG_PADDING.sub(b"\xff", data)]
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    check_pixels(width, height)
    if scans > _MAX_SCANS or scans * width * height > _MAX_SCANNED:
        raise NotAnImage(f"it is a JPEG of {scans} scans, which take too long to decode")
    end = bytes((0xFF, _JPEG_END))
    return Container(
        stripped=b"".join([*kept, end]), width=width, height=height, is_complete=marker == _JPEG_END, exif=exif
    )


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, body, and the data that follows a scan's, up to the end marker, which ends the image."""
    at, marker, count = 2, 0, 0
    while marker != _JPEG_END and (found := _next_marker(content, at)):
        count += 1
        if count > _MAX_SEGMENTS:
            raise NotAnImage(f"it is a JPEG of more than {_MAX_SEGMENTS:,} segments")
        marker, start = found[1][0], found.end()
        at = end = start + int.from_bytes(content[start : start + 2])
        if marker == _JPEG_SCAN:
            following = _next_marker(content, end)
            at = following.start() if following else len(content)
        yield marker, content[start + 2 : end], content[end:at]


def _next_marker(content: bytes, at: int) -> re.Match[bytes] | None:
    for start in range(at, len(content), _JPEG_SEARCHED_AT_ONCE):
        if found := _JPEG_MARKER.search(content, start, start + _JPEG_SEARCHED_AT_ONCE + 1):
            return found
    return None


def _jpeg_needed(marker: int, body: bytes) -> bytes | None:
    """Return the part of a segment that belongs to the image. Of an application's segment, only colours do."""
    if marker in _JPEG_KEPT or (marker == _APP2 and body.startswith(b"ICC_PROFILE\0")):
        return body
    if marker == _APP0 and body.startswith(b"JFIF\0"):
        return body[:12] + b"\0\0"  # without its thumbnail
    return body[:12] if marker == _APP14 and body.startswith(b"Adobe") else None


# --- WebP: https://developers.google.com/speed/webp/docs/riff_container


def _webp(content: bytes) -> Container:
    kept: list[bytes | memoryview] = [b"WEBP"]
    exif, frames, size, is_lossless = b"", 0, (0, 0), False
    length = 8 + int.from_bytes(content[4:8], "little")
    for name, body in _webp_chunks(content[:length]):
        size = size if any(size) else _webp_size(name, body)
        if name == b"VP8X":  # its flags announce metadata
            kept += [name, len(body).to_bytes(4, "little"), bytes((body[0] & ~_WEBP_METADATA,)), body[1:]]
        elif name in _WEBP_KEPT:
            kept += [name, len(body).to_bytes(4, "little"), body, b"\0" * (len(body) % 2)]
            is_lossless |= name == b"VP8L"
        elif name == b"EXIF":
            exif = bytes(body)
        frames += name == b"ANMF"
    stripped = b"".join(kept)
    return Container(
        stripped=content[:length] if frames else b"RIFF" + len(stripped).to_bytes(4, "little") + stripped,
        width=size[0],
        height=size[1],
        is_complete=length <= len(content),
        exif=exif,
        is_animated=frames > 1,
        is_lossless=is_lossless,
    )


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at, count = memoryview(content), 12, 0
    while at + 8 <= len(content):
        count += 1
        if count > _MAX_CHUNKS:
            raise NotAnImage(f"it is a WebP of more than {_MAX_CHUNKS:,} chunks")
        size = int.from_bytes(view[at + 4 : at + 8], "little")
        yield content[at : at + 4], view[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _webp_size(name: bytes, body: memoryview) -> tuple[int, int]:
    if name == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return 0, 0


# --- GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt


def _gif(content: bytes) -> Container:
    """Parse the first image, and how it is displayed."""
    at = 13 + _gif_colours(content[10])
    width, height = (int.from_bytes(content[start : start + 2], "little") for start in (6, 8))
    kept, frames, blocks = [content[:at]], 0, 0
    while frames <= 1 and at < len(content) and content[at] in {_GIF_EXTENSION, _GIF_IMAGE}:
        is_image = content[at] == _GIF_IMAGE
        end, blocks = _gif_end(content, at + 11 + _gif_colours(content[at + 9]) if is_image else at + 2, blocks)
        frames += is_image
        if is_image and frames == 1:  # one that reaches beyond the screen enlarges it
            left, top, wide, high = (int.from_bytes(content[at + n : at + n + 2], "little") for n in (1, 3, 5, 7))
            width, height = max(width, left + wide), max(height, top + high)
        if frames <= 1 and (is_image or (content[at + 1] == _GIF_CONTROL and not frames)):
            kept.append(content[at:end])
        at = end
    return Container(
        stripped=b"".join([*kept, b";"]),
        width=width,
        height=height,
        is_complete=at <= len(content),
        is_animated=frames > 1,
        is_lossless=True,
    )


def _gif_colours(flags: int) -> int:
    """Return the size of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_end(content: bytes, at: int, blocks: int) -> tuple[int, int]:
    """Return the end of a chain of blocks, each after its length, the last one empty; and the count of blocks."""
    while at < len(content) and content[at]:
        at += content[at] + 1
        blocks += 1
        if blocks > _MAX_GIF_BLOCKS:
            raise NotAnImage(f"it is a GIF of more than {_MAX_GIF_BLOCKS:,} blocks")
    return at + 1, blocks


_PARSERS: dict[str, Callable[[bytes], Container]] = {"png": _png, "jpeg": _jpeg, "webp": _webp, "gif": _gif}
"""The parser of each format."""
