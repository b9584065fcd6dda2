"""Aspect ratios as people and models write them: `16x9`, `1792x1024`, `1.78`, `landscape`."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from journey_mcp.core.images import AspectRatio
from journey_mcp.routing import number_words

_NUMBER = r"(\d{1,5}(?:\.\d{1,4})?)"
_PAIR = re.compile(
    rf"{_NUMBER}\s*(?:[:x*/_\N{{MULTIPLICATION SIGN}}\N{{FRACTION SLASH}}\N{{RATIO}}-]|by|to|\s)\s*{_NUMBER}"
)
_DECIMAL = re.compile(r"(\d)(?:[.,](\d{1,6}))?")
_PORTRAIT = {
    **dict.fromkeys(("portrait", "upright"), AspectRatio(2, 3)),
    **dict.fromkeys(("vertical", "tall", "story", "reel", "phone", "mobile"), AspectRatio(9, 16)),
}
_LANDSCAPE = {
    **dict.fromkeys(("landscape", "horizontal"), AspectRatio(3, 2)),
    **dict.fromkeys(("wide", "widescreen", "desktop", "thumbnail"), AspectRatio(16, 9)),
    **dict.fromkeys(("ultrawide", "panorama", "panoramic", "cinematic", "banner"), AspectRatio(21, 9)),
}
_SHAPES = {**_PORTRAIT, **_LANDSCAPE, **dict.fromkeys(("square", "squared"), AspectRatio(1, 1))}
"""Words for a shape. Portrait and landscape are 2:3 and 3:2, as in photography and at Midjourney."""
_NOISE = frozenset(
    (
        *(
            "ar",
            "aspect",
            "aspectratio",
            "format",
            "hd",
            "image",
            "mode",
            "orientation",
            "pixels",
            "px",
            "ratio",
            "size",
        ),
        *("facebook", "instagram", "photo", "picture", "screen", "tiktok", "video", "wallpaper", "youtube"),
    )
)
_COMMON = tuple(
    AspectRatio(*sides)
    for w, h in ((1, 1), (16, 9), (4, 3), (3, 2), (5, 4), (21, 9), (2, 1))
    for sides in ((w, h), (h, w))
)
_MAX_RATIO = 32
"""The widest and highest ratio of an image, to one."""
_MIN_PIXELS = 64
"""From this number on, two numbers count as pixels."""
_SAME, _BY_NUMBERS, _BY_WORDS = 0.02, 0.1, 0.3
"""The greatest `AspectRatio.distance` between a size or decimal and the common ratio that it means, and between a ratio
in numbers or in words and the ratio of an offer that replaces it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedRatio:
    """The aspect ratio that a text means."""

    ratio: AspectRatio
    tolerance: float
    """The greatest `AspectRatio.distance` of a ratio that replaces it."""

    def nearest(self, ratios: Iterable[AspectRatio]) -> AspectRatio | None:
        """Return the nearest of these ratios; `None` when all are too far."""
        near = min(ratios, key=self.ratio.distance, default=None)
        return near if near and self.ratio.distance(near) <= self.tolerance else None


def parse(text: str) -> ParsedRatio | None:
    """Parse a ratio in any notation; `None` when the text has none, or something else besides.

    `W:H` in small numbers is exact: only the same shape replaces it.
    """
    plain = number_words.with_digits(unicodedata.normalize("NFKC", text).strip().lower())
    pair = _PAIR.search(plain)
    rest = plain.replace(pair[0], " ", 1) if pair else plain
    if decimal := _DECIMAL.fullmatch(plain):
        return _of_numbers(Fraction(f"{decimal[1]}.{decimal[2] or 0}"), Fraction(1), frozenset())
    words = frozenset(re.findall(r"[^\W\d_]+", rest))
    if re.search(r"\d", rest) or not words <= {*_SHAPES, *_NOISE}:
        return None
    if pair:
        is_plain = AspectRatio.parse(text) is not None
        return _of_numbers(Fraction(pair[1]), Fraction(pair[2]), words, is_plain=is_plain)
    shape = next((shape for word, shape in _SHAPES.items() if word in words), None)
    return ParsedRatio(ratio=shape, tolerance=_BY_WORDS) if shape else None


def _of_numbers(
    width: Fraction, height: Fraction, words: frozenset[str], *, is_plain: bool = False
) -> ParsedRatio | None:
    if not width or not height or not 1 / _MAX_RATIO <= width / height <= _MAX_RATIO:
        return None
    if (words & set(_PORTRAIT) and width > height) or (words & set(_LANDSCAPE) and width < height):
        width, height = height, width  # portrait_4_3 is 3:4
    is_exact = max(width, height) < _MIN_PIXELS and width.denominator == height.denominator == 1
    if is_exact:
        return ParsedRatio(ratio=AspectRatio(int(width), int(height)), tolerance=0 if is_plain else _BY_NUMBERS)
    about = (width / height).limit_denominator(_MAX_RATIO)
    ratio = AspectRatio(about.numerator, about.denominator)
    return ParsedRatio(
        ratio=ParsedRatio(ratio=ratio, tolerance=_SAME).nearest(_COMMON) or ratio,
        tolerance=_BY_NUMBERS,
    )
