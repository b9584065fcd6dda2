"""Image files for tests, written by Pillow and then altered."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from journey_mcp.media.formats import FORMATS, ImageData

HIDDEN = b"51.5007 north"
"""Text that must not leave the machine: every piece of metadata in these tests contains it."""
SIZE = (48, 32)


def drawn(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an image with a red corner at the top left of a gradient, which shows every rotation."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 3, size[1] // 3), fill="red")
    if mode == "I;16":
        return image.convert("L").convert(mode).point(lambda value: value * 257)
    return image.convert(mode)


def photo() -> Image.Image:
    """Return an image that does not compress well."""
    return Image.effect_noise((200, 120), 80).convert("RGB")


def see_through() -> Image.Image:
    """Return a black image, transparent in the right half."""
    image = Image.new("RGBA", SIZE, "black")
    image.paste((0, 0, 0, 0), (SIZE[0] // 2, 0, *SIZE))
    return image


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the encoded file."""
    file = io.BytesIO()
    image.save(file, kind.upper(), **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    """Return an animation of three frames; the first is drawn()."""
    others = [Image.new("RGB", SIZE, colour) for colour in ("blue", "green")]
    frames = [frame.convert("P") if kind == "gif" else frame for frame in (drawn(), *others)]
    return written(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def exif(orientation: int = 1) -> Image.Exif:
    """Return EXIF data with a camera, a place and an orientation."""
    made = Image.Exif()
    made[0x0112], made[0x010F] = orientation, HIDDEN.decode()
    place = made.get_ifd(0x8825)
    place[1], place[2], place[29] = "N", (51.0, 30.0, 2.5), HIDDEN.decode()
    return made


def opened(data: ImageData | bytes) -> Image.Image:
    """Return the decoded image as another program sees it."""
    image = Image.open(io.BytesIO(data if isinstance(data, bytes) else data.content))
    image.load()
    return image


def is_red(image: Image.Image, x: float, y: float) -> bool:
    """Return whether the red corner is there, in fractions of width and height."""
    at = int(x * (image.width - 1)), int(y * (image.height - 1))
    red, green, blue = image.convert("RGB").resize(image.size).load()[at]  # type: ignore[index, misc]  # of Pillow
    return bool(red > 200 and green < 80 and blue < 80)


def chunk(name: bytes, body: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    """Return the start of a PNG that states this size."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG file of this size in pixels, complete and all black."""
    deflate = zlib.compressobj(9, wbits=-15)
    # after a full flush every row is compressed to the same bytes, so one row is enough for all of them
    row = deflate.compress(bytes(1 + width * 3)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = (1 + width * 3) * height % 65521 << 16 | 1  # Adler-32 of zeros
    data = b"\x78\xda" + row * height + deflate.flush() + struct.pack(">I", checksum)
    return png_header(width, height) + chunk(b"IDAT", data) + chunk(b"IEND")


def with_everything(kind: str) -> bytes:
    """Return an image with all metadata that its format supports, and appended data."""
    image, xmp = drawn(), b"<x:xmpmeta>" + HIDDEN + b"</x:xmpmeta>"
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", HIDDEN.decode())
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        texts.add(b"prVt", HIDDEN)
        content = written(image, kind, exif=exif(), pnginfo=texts, icc_profile=PROFILE)
    elif kind == "gif":
        content = written(image.convert("P"), kind, comment=HIDDEN)
        xmp_block = b"!\xff\x0bXMP DataXMP" + bytes((len(HIDDEN),)) + HIDDEN + b"\0"
        content = content[:-1] + xmp_block + b";"
    else:
        comment = {"comment": HIDDEN} if kind == "jpeg" else {}
        content = written(image, kind, exif=exif(), xmp=xmp, icc_profile=PROFILE, **comment)
    return content + HIDDEN


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SAMPLES = [*(with_everything(kind) for kind in FORMATS), *(animated(kind) for kind in ("png", "webp", "gif"))]
