"""URLs of images, normalized from the texts of people and models for providers."""

import re
import unicodedata

from journey_mcp.core.images import IMAGE_ENDINGS
from journey_mcp.core.urls import is_web_address
from journey_mcp.net.urls import in_ascii

MAX_URL = 8192
"""Characters. Servers commonly refuse a longer URL."""
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Characters of no URL and no base64, which come with text copied from a page."""
SCHEME = re.compile(
    r"(?:https?:[/\\]+(?=https?:)){0,3}(https?)\s{0,9}(?::\s{0,9}[/\\]+|[/\\]{2,}|:(?=[\w-]{1,63}\.))\s{0,9}",
    re.IGNORECASE,
)
"""The beginning of a URL, also doubled, or with a slash or the colon missing; its group is the scheme."""

_NOTHING = dict.fromkeys(map(ord, INVISIBLE))
_HOST_ENDS = re.compile(r"[/?#]")
_HOST_NAME = re.compile(
    r"(?:[a-z0-9_-]{1,63}\.){0,126}[a-z0-9_-]{1,63}\.?(?::\d{0,5})?|\[[0-9a-f:.%]{2,60}\](?::\d{0,5})?"
)
_LINE_BREAK = re.compile(r"[ \t]{0,99}[\r\n]+[ \t]{0,99}")
_ENTITY = re.compile(r"&(?:amp|#38|#x26);", re.IGNORECASE)
_NAME_OF_IMAGE = re.compile(rf"[^?#]*(?:{'|'.join(map(re.escape, IMAGE_ENDINGS))})(?![^?#])", re.IGNORECASE)
_ENDS = ".>!?*:\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
_CLOSING = {")": "(", "]": "[", "}": "{", "\uff09": "\uff08", "\u3011": "\u3010", "\u300d": "\u300c"}
_PLACEHOLDER = re.compile(r"[<>{}\"]")
"""Characters of templates, in no URL: `https://<host>/{id}.png`."""


def normalized(scheme: str, rest: str) -> str | None:
    """Return the URL of this scheme as it is sent, in ASCII; `None` when it is truncated, a template, or not a URL.

    `rest` is the text after the scheme, with the line breaks, entities and end of its source.
    """
    if len(rest) > MAX_URL or rest.endswith("...") or "…" in rest:
        return None  # a model omitted the rest
    rest = _without_end(_LINE_BREAK.sub("", rest.translate(_NOTHING)))
    rest = _ENTITY.sub("&", rest).replace("\\", "/")
    if name := _NAME_OF_IMAGE.match(rest):  # in other URLs, words may follow a blank
        rest = name[0].replace(" ", "%20") + rest[name.end() :]
    if _PLACEHOLDER.search(rest):
        return None
    host_ends_at = match.start() if (match := _HOST_ENDS.search(rest)) else len(rest)
    userinfo, at, host = rest[:host_ends_at].rpartition("@")
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    url = _in_ascii(f"{scheme.lower()}://{userinfo}{at}{host}{rest[host_ends_at:]}")
    return url if url and is_web_address(url) and len(url) <= MAX_URL else None


def names_file(url: str) -> bool:
    """Return whether the path of a URL ends like an image file."""
    return _NAME_OF_IMAGE.match(url) is not None


def _without_end(rest: str) -> str:
    """Return the URL without the punctuation and the brackets of the sentence around it."""
    while rest and (rest[-1] in _ENDS or rest.count(rest[-1]) > rest.count(_CLOSING.get(rest[-1], rest[-1]))):
        rest = rest[:-1]
    return rest


def _in_ascii(url: str) -> str | None:
    """Return the URL with its host by IDNA and the rest percent-encoded; `None` when the host name is invalid."""
    if not url.isascii():
        try:
            url = in_ascii(url)
        except ValueError:
            return None
    host = _HOST_ENDS.split(url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    return url if _HOST_NAME.fullmatch(host) else None
