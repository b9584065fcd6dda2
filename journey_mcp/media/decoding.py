"""Decoding of images: any readable file becomes 8-bit pixels, upright.

All of this works on hostile bytes and takes time: it runs in a process that can be killed (`image_worker`).
"""

import io
import struct
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from journey_mcp.core.text import cleaned
from journey_mcp.media.containers import (
    MAX_PIXELS,
    NAMES,
    Container,
    NotAnImage,
    check_pixels,
    damaged,
    exact_profile,
    parse_container,
)
from journey_mcp.media.formats import FORMATS, check_bytes, readable_format_of, shown_size

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    ImageCms.PyCMSError,
)
"""What Pillow raises for damaged files."""
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_RANGES = (1, 255, 65_535)
"""Maxima of grey values whose type allows larger ones."""
_REASON_LENGTH = 80
_ORIENTATION_TAG = 0x0112
_HEIC_EXTRA = 'pip install "journey-mcp[heic]"'

# orientations of EXIF, 1 is upright
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An image as it was given, opened and not decoded yet."""

    kind: str
    """One of `READABLE`."""
    container: Container | None
    """`None` if the kind is not one of `FORMATS`."""
    opened: Image.Image
    width: int
    """As displayed."""
    height: int

    @classmethod
    def read(cls, content: bytes) -> "Source":
        """Open an image; its pixels are not decoded yet.

        Raises:
            NotAnImage: not an image, damaged at its start, or too large to be handled.
        """
        check_bytes(content)
        kind = readable_format_of(content)
        container = parse_container(kind, content) if kind in FORMATS else None
        _use_decoder(kind)
        try:
            opened = Image.open(
                io.BytesIO(container.stripped if container else content), formats=["HEIF" if kind == "heic" else kind]
            )
            # Pillow reports the size of TIFF and HEIC with the orientation applied
            exif = opened.getexif() if kind == "avif" else {}
            orientation = container.orientation if container else exif.get(_ORIENTATION_TAG, 1)
        except _BOMB as error:
            raise NotAnImage(f"it has more than the {MAX_PIXELS:,} pixels that can be handled") from error
        except UNREADABLE as error:
            raise damaged(kind, reason_of(error)) from error
        check_pixels(*opened.size)
        width, height = shown_size(*opened.size, orientation)
        return cls(kind=kind, container=container, opened=opened, width=width, height=height)

    def decoded(self, at_least: tuple[int, int] | None = None) -> Image.Image:
        """Decode all pixels: a truncated file fails here, and not at a provider after payment.

        `at_least`: this size, as displayed, is enough. A JPEG is then decoded at a fraction of its size and time.

        Raises:
            NotAnImage: it is damaged or cut off.
        """
        if self.container and not self.container.is_complete:
            raise NotAnImage(f"it is a {NAMES[self.kind]} that is cut off")
        try:
            if at_least and self.container:
                self.opened.draft(None, shown_size(*at_least, self.container.orientation))
            self.opened.load()
            if self.opened.mode == "P" and self.opened.palette is None:
                raise NotAnImage(f"it is a {NAMES[self.kind]} whose colours are missing")
            if self.container is None:
                ImageOps.exif_transpose(self.opened, in_place=True)
                return self.opened
        except UNREADABLE as error:
            raise damaged(self.kind, reason_of(error)) from error
        transpose = _TRANSPOSES.get(self.container.orientation)
        return self.opened if transpose is None else self.opened.transpose(transpose)

    @property
    def has_more_frames(self) -> bool:
        """The file has further frames or pages, which are not used."""
        return self.container.is_animated if self.container else bool(getattr(self.opened, "is_animated", False))

    @property
    def is_lossless(self) -> bool:
        """Its format loses nothing."""
        return self.container.is_lossless if self.container else self.kind in {"bmp", "tiff"}

    @property
    def is_deep(self) -> bool:
        """More than 8 bits per channel."""
        return bool(self.container and self.container.is_deep) or self.opened.mode.startswith(("I", "F"))


def _use_decoder(kind: str) -> None:
    """Load the decoder of a rare format, with one thread: each thread takes memory."""
    if kind == "avif":
        from PIL import AvifImagePlugin  # noqa: PLC0415  # tens of megabytes

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if kind != "heic":
        return
    try:
        import pillow_heif  # noqa: PLC0415  # an extra
    except ImportError:
        raise NotAnImage(f"it is HEIC, which this server can read only after: {_HEIC_EXTRA}") from None
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def normalized(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to a mode that every format supports and that can be scaled: L, RGB, or RGBA if anything is transparent.

    The result has no `info`, of which Pillow would write parts into the new file.
    """
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.mode == "CMYK" and profile:
        image = _cmyk_to_rgb(image, profile)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    is_opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    if is_opaque or image.mode not in {"L", "RGB", "RGBA"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    image.info.clear()
    return image


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Convert grey of more bits: 16 bits by their range, other numeric types by the range that their values suggest."""
    low, high = cast("tuple[float, float]", image.getextrema())  # there is one channel
    ranges = _RANGES[-1:] if image.mode.startswith("I;16") else _RANGES
    if (top := next((top for top in ranges if 0 <= low <= high <= top), None)) is not None:
        low, high = 0, top
    factor = 255 / (high - low) if high > low else 0.0
    # values between two shades are rounded down afterwards
    grey = image.convert("F").point(lambda value: value * factor + (0.5 - low * factor)).convert("L")
    grey.info = {}  # a transparent value would be in the old range
    return grey


def _cmyk_to_rgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        cmyk = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        rgb = ImageCms.profileToProfile(image, cmyk, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except UNREADABLE:  # a profile of something else counts as none
        return image
    return rgb or image


def reason_of(error: Exception) -> str:
    """Return what Pillow says of a damaged file, in one short clause."""
    if isinstance(error, UnidentifiedImageError):  # its text names objects in memory
        return "its start cannot be read"
    return cleaned(str(error), _REASON_LENGTH) or type(error).__name__


def pixels_of(content: bytes) -> Image.Image:
    """Return the pixels of an image, upright, in one of the modes L, RGB and RGBA.

    Raises:
        NotAnImage: it is not an image, is damaged, or is too large.
    """
    pixels = Source.read(content).decoded()
    return normalized(pixels, exact_profile(pixels.info.get("icc_profile")))
