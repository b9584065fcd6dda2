"""Comparing screenshots: the bytes of two runs differ, their pixels hardly do."""

import io

from PIL import Image, ImageChops

_TOLERANCE = 8
"""The difference of a channel that counts as none, of 255."""
_MOST_DIFFERENT = 0.001


def difference(one: bytes, other: bytes) -> float:
    """Return the share of pixels that differ, from 0 to 1; 1 if the sizes differ."""
    first, second = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    if first.size != second.size:
        return 1.0
    channels = ImageChops.difference(first, second).split()
    largest = channels[0]
    for channel in channels[1:]:
        largest = ImageChops.lighter(largest, channel)
    changed = sum(largest.histogram()[_TOLERANCE + 1 :])
    return changed / (first.width * first.height)


def is_same(one: bytes, other: bytes) -> bool:
    """Return whether two screenshots show the same."""
    return difference(one, other) <= _MOST_DIFFERENT
