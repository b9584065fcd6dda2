"""Request bodies in the field names of an offer: the part that all protocols share, driven by the registry."""

import base64
from collections.abc import Sequence
from typing import Any

from journey_mcp.core.images import InputImage
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.providers.http import MAX_SUBMIT_S
from journey_mcp.registry import Offer

_QUEUE_TIMEOUT_S = 60.0
"""For a creating request that only queues a task: twice as long as the vendors' clients wait."""
_SLOW_LINE_BYTES_PER_S = 250_000


def write_fields(request: PreparedRequest, offer: Offer) -> dict[str, Any]:
    """Return prompt, parameters and images under their wire names and in their wire forms."""
    body: dict[str, Any] = {**({"prompt": request.prompt} if request.prompt else {}), **offer.constants}
    options = dict(request.options)
    if offer.size_field and "width" in options:
        body[offer.size_field] = f"{options.pop('width')}x{options.pop('height')}"
    for name, value in options.items():
        parameter = offer.parameters[name]
        body.update(parameter.along)
        body[parameter.wire_name or name] = parameter.wire_values.get(_as_key(value), value)
    body.update(_write_images([encode(image, offer) for image in request.images], offer))
    if request.mask is not None and offer.images.mask_field:
        body[offer.images.mask_field] = encode(request.mask, offer)
    return body


def encode(image: InputImage, offer: Offer) -> str:
    """Return an image as the offer takes it: the URL, or the bytes as base64 with or without a data prefix."""
    if image.url is not None:
        return image.url
    text = base64.b64encode(image.content).decode()
    form = next(encoding for encoding in offer.images.encodings if encoding != "url")
    return f"data:{image.mime_type};base64,{text}" if form == "data_uri" else text


def submit_timeout_s(*images: InputImage | None) -> float:
    """Return the timeout of a request with these images: their bytes need time on a slow line.

    A timeout that is too short would leave a paid request unconfirmed.
    """
    size_bytes = sum(len(image.content) for image in images if image)
    return min(_QUEUE_TIMEOUT_S + size_bytes / _SLOW_LINE_BYTES_PER_S, MAX_SUBMIT_S)


def _write_images(images: Sequence[str], offer: Offer) -> dict[str, Any]:
    names = offer.images.fields
    if offer.images.as_array:
        return {names[0]: list(images)} if images else {}
    return dict(zip(names, images, strict=False))


def _as_key(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
