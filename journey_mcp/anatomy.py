"""What picture files are made of: their pieces told apart, and what they say of themselves; no pixel is decoded."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_MAX_SCANS = 100
"""A progressive JPEG has about ten; each costs as much as decoding the whole picture."""
# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.4: tag 274, the place of the first row and column
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = range(1, 9)


class NotAPicture(Exception):
    """These bytes cannot be used as a picture. The message is a clause that tells why, to stand after a colon."""


_PNG_KEPT = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"),
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP", b"bKGD", b"pHYs"),
}
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")
"""Any but those that stand within the data of a scan."""
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_KEPT = {*range(0xC0, 0xD0), _JPEG_SCAN, 0xDB, 0xDC, 0xDD}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_WEBP_KEPT = {b"ICCP", b"ALPH", b"VP8 ", b"VP8L"}
_WEBP_METADATA = 0x0C
"""The flags of VP8X for EXIF and XMP."""
_GIF_EXTENSION, _GIF_IMAGE, _GIF_CONTROL = 0x21, 0x2C, 0xF9


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """The pieces of a picture file, told apart without decoding."""

    bare: bytes
    """What shows and colours the picture, bit for bit: no metadata, nothing appended, no later frames."""
    is_whole: bool
    """Its end was seen. Decoders are lenient, and would make up what is missing."""
    exif: bytes = b""
    is_animated: bool = False
    must_be_drawn: bool = False
    """`bare` is not: this format's frames cannot be told apart without drawing them."""

    @property
    def orientation(self) -> int:
        """The one of EXIF, 1 to 8; 1 is upright, and stands for nonsense."""
        tiff = self.exif.removeprefix(b"Exif\0\0")
        order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
        first = int.from_bytes(tiff[4:8], order)
        count = int.from_bytes(tiff[first : first + 2], order)
        for at in range(first + 2, min(first + 2 + 12 * count, len(tiff)), 12):
            if int.from_bytes(tiff[at : at + 2], order) == _ORIENTATION_TAG:
                value = int.from_bytes(tiff[at + 8 : at + 10], order)
                return value if value in _ORIENTATIONS else 1
        return 1


def _png(content: bytes) -> Anatomy:
    """https://www.w3.org/TR/png-3/: chunks of a length, a name, a body and a checksum."""
    kept, exif, frames, at, name = [content[:8]], b"", 0, 8, b""
    while at + 12 <= len(content) and name != b"IEND":
        end = at + 12 + int.from_bytes(content[at : at + 4])
        name, body = content[at + 4 : at + 8], content[at + 8 : end - 4]
        if name in _PNG_KEPT:
            kept.append(content[at:end])
        elif name == b"eXIf":
            exif = body
        elif name == b"acTL":
            frames = int.from_bytes(body[:4])
        at = end
    return Anatomy(bare=b"".join(kept), is_whole=name == b"IEND", exif=exif, is_animated=frames > 1)


def _jpeg(content: bytes) -> Anatomy:
    """https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B."""
    kept, exif, scans, marker = [b"\xff\xd8"], b"", 0, 0
    for marker, body, data in _jpeg_segments(content):
        scans += marker == _JPEG_SCAN
        if scans > _MAX_SCANS:
            raise NotAPicture(f"it is a progressive JPEG of more than {_MAX_SCANS} scans")
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif (needed := _jpeg_needed(marker, body)) is not None:
            kept += [bytes((0xFF, marker)), (len(needed) + 2).to_bytes(2), needed, data]
    end = bytes((0xFF, _JPEG_END))
    return Anatomy(bare=b"".join([*kept, end]), is_whole=marker == _JPEG_END, exif=exif)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker, body, and the data that follows a scan's, up to the end marker: what comes then is no part of it."""
    at, marker = 2, 0
    while marker != _JPEG_END and (found := _JPEG_MARKER.search(content, at)):
        marker, start = found[1][0], found.end()
        at = end = start + int.from_bytes(content[start : start + 2])
        if marker == _JPEG_SCAN:
            following = _JPEG_MARKER.search(content, end)
            at = following.start() if following else len(content)
        yield marker, content[start + 2 : end], content[end:at]


def _jpeg_needed(marker: int, body: bytes) -> bytes | None:
    """What of a segment belongs to the picture. An application's segment is its own affair but for the colours."""
    if marker in _JPEG_KEPT or (marker == _APP2 and body.startswith(b"ICC_PROFILE\0")):
        return body
    if marker == _APP0 and body.startswith(b"JFIF\0"):
        return body[:12] + b"\0\0"  # without its thumbnail, which may show what was cut away
    return body[:12] if marker == _APP14 and body.startswith(b"Adobe") else None


def _webp(content: bytes) -> Anatomy:
    """https://developers.google.com/speed/webp/docs/riff_container."""
    kept, exif, frames, at = [b"WEBP"], b"", 0, 12
    length = 8 + int.from_bytes(content[4:8], "little")
    while at + 8 <= min(length, len(content)):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if name == b"VP8X":  # its flags announce metadata
            kept += [content[at : at + 8], bytes((content[at + 8] & ~_WEBP_METADATA,)), content[at + 9 : end]]
        elif name in _WEBP_KEPT:
            kept.append(content[at:end])
        elif name == b"EXIF":
            exif = content[at + 8 : at + 8 + size]
        frames += name == b"ANMF"
        at = end
    body = b"".join(kept)
    return Anatomy(
        bare=content if frames else b"RIFF" + len(body).to_bytes(4, "little") + body,
        is_whole=length <= len(content),
        exif=exif,
        is_animated=frames > 1,
        must_be_drawn=frames > 0,
    )


def _gif(content: bytes) -> Anatomy:
    """https://www.w3.org/Graphics/GIF/spec-gif89a.txt: the first image, and how it is to be shown."""
    at = 13 + _gif_colours(content[10])
    kept, frames = [content[:at]], 0
    while frames <= 1 and at < len(content) and content[at] in {_GIF_EXTENSION, _GIF_IMAGE}:
        is_image = content[at] == _GIF_IMAGE
        end = _gif_end(content, at + 11 + _gif_colours(content[at + 9]) if is_image else at + 2)
        frames += is_image
        if frames <= 1 and (is_image or (content[at + 1] == _GIF_CONTROL and not frames)):
            kept.append(content[at:end])
        at = end
    return Anatomy(bare=b"".join([*kept, b";"]), is_whole=at <= len(content), is_animated=frames > 1)


def _gif_colours(flags: int) -> int:
    """The size of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_end(content: bytes, at: int) -> int:
    """Where a chain of blocks ends, each with its length before it, the last one empty."""
    while at < len(content) and content[at]:
        at += content[at] + 1
    return at + 1


ANATOMIES: dict[str, Callable[[bytes], Anatomy]] = {"png": _png, "jpeg": _jpeg, "webp": _webp, "gif": _gif}
"""How the pieces of each format are told apart."""
