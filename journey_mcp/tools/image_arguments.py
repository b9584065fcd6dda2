"""The images in arguments: one text for each, from lists, JSON and content blocks of model APIs."""

import json
import re
from typing import Any

_BLOCK_KEYS = (
    *("image_url", "imageUrl", "url", "source", "data", "b64_json", "base64", "blob", "inlineData", "inline_data"),
    *("file_data", "fileData", "path", "file_path", "file", "resource", "uri", "file_uri", "fileUri", "href", "src"),
    *("id", "image_id", "image", "file_id", "task_id"),
)
"""Keys of an image in content blocks of model APIs and of MCP."""
_MAX_BLOCK_DEPTH = 4
_LINK_PREFIXES = ("http://", "https://", "www.", "tsk_", "up_")
_SEPARATORS = re.compile(r"[\s,;]+")
_MAX_COMMAS = 1000
"""The limit for JSON, so that it is not parsed with millions of values. A hundred objects with data URIs have fewer."""
_MAX_LINKS_LENGTH = 16_384


def image_texts(value: Any) -> list[Any]:
    """Return the images of an argument: plain, in a list, as JSON, or as a content block of a model API.

    Values that are not text stay unchanged, for the caller to reject.
    """
    if isinstance(value, str):
        if (parsed := parse_json(value.strip())) is not None:
            return image_texts(parsed)
        links = _SEPARATORS.split(value.strip()) if len(value) <= _MAX_LINKS_LENGTH else []
        return links if links and all(link.lower().startswith(_LINK_PREFIXES) for link in links) else [value]
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        return [text for item in value for text in image_texts(item)]
    if isinstance(value, dict):
        block: Any = value
        for _ in range(_MAX_BLOCK_DEPTH):
            block = next((block[key] for key in _BLOCK_KEYS if isinstance(block.get(key), str | dict)), None)
            if not isinstance(block, dict):
                break
        return [block if isinstance(block, str) else value]
    return [value]


def single_image(value: Any) -> Any:
    """Return the single image of an argument, as `image_texts` finds it.

    Raises:
        ValueError: there is more than one image.
    """
    texts = image_texts(value)
    if len(texts) > 1:
        raise ValueError(
            f"only one image is accepted, and {len(texts)} were given: give the others as reference_images"
        )
    return texts[0] if texts else value


def parse_json(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or object in a JSON text; `None` for other texts, and for JSON above the limit."""
    if text[:1] not in {"[", "{"} or text.count(",") > _MAX_COMMAS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None
