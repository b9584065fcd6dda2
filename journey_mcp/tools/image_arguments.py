"""The images that arguments give: one text each, from lists, JSON and content blocks of models' APIs."""

import json
import re
from typing import Any

_BLOCK_KEYS = (
    *("image_url", "imageUrl", "url", "source", "data", "b64_json", "base64", "blob", "inlineData", "inline_data"),
    *("file_data", "fileData", "path", "file_path", "file", "resource", "uri", "file_uri", "fileUri", "href", "src"),
    *("id", "image_id", "image", "file_id", "task_id"),
)
"""Where content blocks of models' APIs, MCP included, keep an image."""
_DEEPEST_BLOCK = 4
_LINK_STARTS = ("http://", "https://", "www.", "tsk_")
_SEPARATORS = re.compile(r"[\s,;]+")
_MOST_COMMAS = 1000
"""Of JSON. A hundred images, each an object and a data URI, have fewer; millions of values would be looked through."""
_SHORT = 16_384


def texts_of(value: Any) -> list[Any]:
    """List the images that an argument gives: plain, in a list, as JSON, or as a content block of a model's API.

    What is not text stays as it is, for the caller to refuse.
    """
    if isinstance(value, str):
        if (parsed := parsed_json(value.strip())) is not None:
            return texts_of(parsed)
        links = _SEPARATORS.split(value.strip()) if len(value) <= _SHORT else []
        return links if links and all(link.lower().startswith(_LINK_STARTS) for link in links) else [value]
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        return [text for item in value for text in texts_of(item)]
    if isinstance(value, dict):
        block: Any = value
        for _ in range(_DEEPEST_BLOCK):
            block = next((block[key] for key in _BLOCK_KEYS if isinstance(block.get(key), str | dict)), None)
            if not isinstance(block, dict):
                break
        return [block if isinstance(block, str) else value]
    return [value]


def only_text(value: Any) -> Any:
    """Return the one image that an argument gives, as `texts_of` finds it.

    Raises:
        ValueError: there are more.
    """
    texts = texts_of(value)
    if len(texts) > 1:
        raise ValueError(f"one image is taken, and {len(texts)} were given: give the others as reference_images")
    return texts[0] if texts else value


def parsed_json(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or object that a JSON text holds; `None` when it is none, or holds more than is ever meant."""
    if text[:1] not in {"[", "{"} or text.count(",") > _MOST_COMMAS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None
