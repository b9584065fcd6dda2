"""The sizes of Black Forest Labs' images."""

import math
from collections.abc import Mapping
from typing import Any

from journey_mcp.sandbox.bfl.models import Model
from journey_mcp.sandbox.parameters import read_ratio
from journey_mcp.sandbox.render_specs import Ratio, fit

LARGEST_FLUX_2_PX = 4_194_304
"""Four megapixels, of 1024 x 1024 each."""
_MEGAPIXEL = 1_048_576
_ULTRA_LONG_SIDE_PX = 2048
_KONTEXT_SIZES: Mapping[Ratio, tuple[int, int]] = {
    (7, 3): (1568, 672),
    (16, 9): (1392, 752),
    (4, 3): (1184, 880),
    (3, 2): (1248, 832),
    (1, 1): (1024, 1024),
    (2, 3): (832, 1248),
    (3, 4): (880, 1184),
    (9, 16): (752, 1392),
    (3, 7): (672, 1568),
}
"""By the reduced ratio, so 21:9 is 7:3; stated by a reseller."""


def size_of(model: Model, params: Mapping[str, Any], source: tuple[int, int] | None) -> tuple[int, int]:
    """Return width and height of the result; `source` is the size of the input image, if there is one."""
    ratio = read_ratio(str(params.get("aspect_ratio")))
    if model.size_rule == "kontext":
        return _kontext(ratio or source or (1, 1))
    if model.size_rule == "ultra":
        return fit(ratio or (16, 9), _ULTRA_LONG_SIDE_PX)
    if model.size_rule == "sides":
        return params.get("width", 1024), params.get("height", 768)
    if model.size_rule == "flux-2":
        usual = _within(source) if source else (1024, 1024)
        return params.get("width") or usual[0], params.get("height") or usual[1]
    width, height = source or (1024, 1024)
    left, top, right, bottom = margins(params)
    return width + left + right, height + top + bottom


def margins(params: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return the margins at the left, top, right and bottom."""
    left, top, right, bottom = (int(params.get(name, 0)) for name in ("left", "top", "right", "bottom"))
    return left, top, right, bottom


def _kontext(ratio: Ratio) -> tuple[int, int]:
    """Return the size of about one megapixel in a shape."""
    divisor = math.gcd(*ratio)
    known = _KONTEXT_SIZES.get((ratio[0] // divisor, ratio[1] // divisor))
    if known:
        return known
    scale = math.sqrt(_MEGAPIXEL / (ratio[0] * ratio[1]))
    return _stepped(ratio[0] * scale), _stepped(ratio[1] * scale)


def _within(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a source within the limits of FLUX.2."""
    scale = min(1.0, math.sqrt(LARGEST_FLUX_2_PX / (size[0] * size[1])))
    return _stepped(size[0] * scale), _stepped(size[1] * scale)


def _stepped(side: float) -> int:
    return max(64, int(side) // 16 * 16)
