"""Width and height for an aspect ratio, where an offer takes pixels only."""

from collections.abc import Iterator
from dataclasses import replace

from journey_mcp.core.images import AspectRatio
from journey_mcp.core.requests import ImageRequest
from journey_mcp.registry import Offer, Parameter


def ratios_of(parameter: Parameter) -> list[AspectRatio]:
    """Return the aspect ratios among the values of a parameter."""
    return [ratio for text in parameter.values or () if (ratio := AspectRatio.parse(text))]


def with_size(request: ImageRequest, offer: Offer) -> ImageRequest:
    """Return the request with its aspect ratio as width and height, if the offer has no field for a ratio."""
    ratio = AspectRatio.parse(request.aspect_ratio or "")
    if ratio is None or offer.ratio_pixels is None:
        return request
    width, height = _best_size(ratio, offer, offer.ratio_pixels)
    return replace(request, aspect_ratio=None, width=width, height=height)


def _best_size(ratio: AspectRatio, offer: Offer, pixels: int) -> tuple[int, int]:
    """Return the width and height of the offer that are nearest to this ratio and to this number of pixels."""

    def loss(size: tuple[int, int]) -> tuple[float, int]:
        # a hundredth is not visible; the number of pixels then decides
        return round(ratio.distance(AspectRatio(*size)), 2), abs(size[0] * size[1] - pixels)

    sides = _sides(offer, "width", pixels), _sides(offer, "height", pixels)
    return min(_candidates(ratio, *sides, offer), key=loss)


def _candidates(ratio: AspectRatio, widths: range, heights: range, offer: Offer) -> Iterator[tuple[int, int]]:
    for width in widths:
        wanted = width * ratio.height / ratio.width
        below = heights[max(0, min(len(heights) - 1, int((wanted - heights.start) // heights.step)))]
        for height in {below, min(below + heights.step, heights[-1])}:
            if (offer.min_pixels or 0) <= width * height <= (offer.max_pixels or width * height):
                yield width, height


def _sides(offer: Offer, name: str, pixels: int) -> range:
    parameter = offer.parameters[name]
    step = parameter.multiple_of or 1
    low = -(-int(parameter.minimum or step) // step) * step
    high = int(parameter.maximum or 4 * pixels**0.5)
    return range(low, high + 1, step)
