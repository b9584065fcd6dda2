"""Masks of the size of an image: white areas are redrawn, everything else is kept.

All of this works on hostile bytes: it runs in a process that can be killed (`image_worker`).
"""

import io

from PIL import Image

from journey_mcp.media.containers import check_pixels
from journey_mcp.media.decoding import pixels_of
from journey_mcp.media.formats import ImageData

_WHITE_FROM = 128


def scaled_mask(content: bytes, width: int, height: int) -> ImageData:
    """Return a mask of this size as PNG, in black and white only; transparent areas count as black.

    Raises:
        NotAnImage: it is not an image, is damaged, or one of both is too large.
    """
    check_pixels(width, height)
    pixels = pixels_of(content)
    if pixels.mode == "RGBA":
        opaque = Image.new("RGB", pixels.size, "black")
        opaque.paste(pixels, mask=pixels.getchannel("A"))
        pixels = opaque
    # a filter would blur the edge, and a provider may read grey as half redrawn
    grey = pixels.convert("L").resize((width, height), Image.Resampling.NEAREST)
    mask = grey.point([255 if value >= _WHITE_FROM else 0 for value in range(256)])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return ImageData(content=buffer.getvalue(), format="png", width=width, height=height)
