"""Parsing of a text that refers to an image: an id, the image itself as base64, a URL, or a path of a file.

Models and clients write these in many forms: in quotes, in Markdown, in a list, with a prefix missing or doubled.
`parse` works on the text alone, opens nothing, and takes time linear in its length.
"""

import enum
import re
from base64 import b64decode
from binascii import a2b_base64
from dataclasses import dataclass
from urllib.parse import unquote

from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.media.image_urls import INVISIBLE, MAX_URL, SCHEME, normalized
from journey_mcp.media.local_files import looks_like_path

MAX_PATH = 4096
"""Characters. No common system supports a longer path."""


class Unusable(enum.Enum):
    """Why a text refers to no image."""

    IN_CHAT = enum.auto()
    """It refers to an image that only the chat has, such as `[Image #1]` or `sandbox:/mnt/data/a.png`."""
    TASK_ID = enum.auto()
    """It begins like the id of a task, and is not the id of a task or an image."""
    BAD_URL = enum.auto()
    """It begins like a URL, and is not one: too long, or with invalid characters."""
    SEVERAL = enum.auto()
    """It refers to more than one image."""
    NO_BASE64 = enum.auto()
    """It is a data URI without base64."""
    TOO_LONG = enum.auto()
    """It is longer than any path, and nothing else."""
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class WholeTask:
    """The id of a task, without the number of one of its images."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Data:
    """An image as base64; `decode` returns its bytes."""

    payload: str
    """Base64 in either alphabet; it may lack padding, and contain blanks, line breaks and percent escapes."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A URL, with scheme and host in lower case."""

    url: str


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path as it was written, possibly with escapes."""

    texts: tuple[str, ...]
    """The whole text, and the content of its quotes or brackets."""
    url: str | None = None
    """The meaning if there is no such file: `example.com/cat.png` is a URL without its scheme."""

    @property
    def may_be_in_chat(self) -> bool:
        """Whether chats name attachments like this: by a name alone, or a path on the chat's machine."""
        text = self.texts[-1]
        return any(folder in text for folder in _FOLDERS_OF_CHATS) or not any(mark in text for mark in "/\\~")


Given = ImageId | UploadId | WholeTask | Data | WebAddress | FilePath | Unusable


def parse(text: str) -> Given:
    """Return what the text refers to, without anything around it."""
    inner = _trimmed(text)
    for _ in range(_MAX_LAYERS):
        found = _recognized(inner)
        if found is not None:
            return found
        content = _content(inner)
        if content is None:
            break
        inner = _trimmed(content)
    return _embedded(inner) or _path(text.strip(), inner)


def decode(data: Data) -> bytes:
    """Decode the base64.

    Raises:
        ValueError: a clause with the error, to follow a colon.
    """
    raw = data.payload.encode(errors="backslashreplace")
    for written, meant in _ESCAPES.items():
        raw = raw.replace(written.encode(), meant.encode())
    raw = _with_plus(raw.strip()).translate(_STANDARD_ALPHABET, _BLANKS).rstrip(b"=")
    padded = raw + b"=" * (-len(raw) % 4)
    try:
        # in pieces, so that other threads can run in between
        return b"".join(
            a2b_base64(padded[start : start + _PIECE], strict_mode=True) for start in range(0, len(padded), _PIECE)
        )
    except ValueError as error:
        wrong = _NOT_BASE64.search(raw.decode(errors="replace"))
        reason = f"{wrong[0]!r} is not a base64 character" if wrong else f"it is cut off after {len(raw):,} characters"
        raise ValueError(reason) from error


# --- wrappers

_MAX_LAYERS = 6
_TAGS = 4096
"""The characters of HTML that are searched for the image."""
_SHORT = 16_384
_WRAPPERS = (
    f" \t\r\n\v\f,;\"'`\u00a0\u202f{INVISIBLE}\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e"
    "\u3000\u3001\u3002\u3008\u3009\u300a\u300b\u300c\u300d\u300e\u300f\u3010\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
"""Blanks, separators, brackets and quotes, including those of word processors and of Chinese and Japanese."""
_MAX_ESCAPED_BREAKS = 9
_ESCAPED_BREAKS = ("\\n", "\\r", "\\t")
_PERCENT = {f"%{ord(character):02X}": character for character in "+/=-_ \t\r\n"}
_ESCAPES = dict.fromkeys((*_ESCAPED_BREAKS, *INVISIBLE), "") | {
    "\\/": "/",
    **{f"\\u00{ord(character):02x}": character for character in "+/="},
    # without the semicolon if it was removed as punctuation
    **{f"&#x{ord(character):X}{end}": character for end in (";", "") for character in "+/="},
    **{f"&#{ord(character)}{end}": character for end in (";", "") for character in "+/="},
    **_PERCENT,
    **{written.lower(): meant for written, meant in _PERCENT.items()},
}
"""The escapes of strings, URLs and HTML in base64, with their meaning; replaced one by one to save memory."""
_PAIRS = {"<": ">", "[": "]", "(": ")", "{": "}"}
_EMPHASIS = re.compile(r"([*_~]{1,3})(?=[^*_~])")
_CSS = re.compile(r"url\(", re.IGNORECASE)
_IMG = re.compile(r"<img\s[^>]{0,2000}?src\s{0,9}=\s{0,9}(?P<quote>[\"']?)", re.IGNORECASE)
_LINK = re.compile(r"<\w{1,40}\s[^>]{0,2000}?(?:src|href|path|url)\s{0,9}=\s{0,9}(?P<quote>[\"']?)", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:[-*+>\u2022]\s|\d{1,2}[.)]\s)?\s{0,9}(?:(?!file:)([A-Za-z][A-Za-z _-]{1,40})[:=](?!//)\s{0,9})?"
)
"""A list marker, or a label such as `Image URL: `; its words are checked against `_LABELS`."""
_ELEMENT = re.compile(r"<(\w{1,40})>")
_PASTED = re.compile(r"\[image(?: ?#?\d{1,4})?:? source: ", re.IGNORECASE)
"""The beginning of Claude Code's note of a pasted image, which ends with the file's path and a bracket."""
_TARGET = re.compile(r"[^()]*(?:\([^()]*\)[^()]*)*")
"""The target of a link in Markdown, which may contain brackets in pairs."""
_TITLE = re.compile(r"\s[\"'].*", re.DOTALL)


def _trimmed(text: str) -> str:
    """Return the text without blanks, quotes, and escaped line breaks around it."""
    text = text.strip(_WRAPPERS)
    for _ in range(_MAX_ESCAPED_BREAKS):
        if not text.endswith(_ESCAPED_BREAKS):
            break
        text = text[:-2].rstrip(_WRAPPERS)
    return text


def _content(text: str) -> str | None:
    """Return the content of Markdown, an element of HTML or XML, or brackets; `None` when there are none."""
    if pasted := _PASTED.match(text):
        return text[pasted.end() :].removesuffix("]")
    if text.startswith("<") and (tag := _IMG.search(text, 0, _TAGS) or _LINK.match(text)):
        return text[tag.end() :].partition(tag["quote"] or ">")[0]
    if (element := _ELEMENT.match(text)) and text.endswith(f"</{element[1]}>"):
        return text[element.end() :].removesuffix(f"</{element[1]}>")
    if (target := _markdown_target(text)) is not None:
        return target
    if text[:1] in _PAIRS and (text.endswith(_PAIRS[text[0]]) or SCHEME.match(text, 1)):
        return text[1:].removesuffix(_PAIRS[text[0]])
    return _marked(text)


def _marked(text: str) -> str | None:
    """Return the content of emphasis, CSS, a list item, or a label; `None` when there is none of these."""
    if (mark := _EMPHASIS.match(text)) and text.endswith(mark[1]):
        return text[mark.end() :].removesuffix(mark[1])
    if css := _CSS.match(text):
        return text[css.end() :].removesuffix(")")
    label = _LABEL.match(text)
    is_label = label and label.end() and set(_WORD.findall((label[1] or "").lower())) <= _LABELS
    return text[label.end() :] if label and is_label else None


def _markdown_target(text: str) -> str | None:
    """Return the target of a Markdown image in the text, else that of a link."""
    start = text.find("![")
    if start < 0 and not text.startswith("["):
        return None
    at = text.find("](", max(start, 0))
    if at < 0:
        return None
    rest = text[at + 2 :].lstrip()
    if rest.startswith("<"):
        return rest[1:].partition(">")[0]
    target = _TARGET.match(rest)
    return _TITLE.sub("", target[0][:_SHORT]) + target[0][_SHORT:] if target else None


# --- ids, data, URLs

_ENCODED = re.compile(r"(data|https?)%3A", re.IGNORECASE)
_SECOND_LINK = re.compile(r"[\s,;'\"<(|]https?://", re.IGNORECASE)
_INSIDE = re.compile(r"(?<![A-Za-z0-9+.-])(?<!xmlns=['\"])https?:[/\\]{2}", re.IGNORECASE)
_ENDS_OF_LINKS = {'"': '"', "'": "'", "<": ">", "(": ")", "[": "]", "`": "`"}
_TASK_ID = re.compile(
    r"(?<![A-Za-z0-9_-])(?i:tsk)_([A-Za-z0-9_-]{22})(?:\s?[.#:/_-]\s?0{0,3}([1-9]\d{0,2}))?(?![A-Za-z0-9_-])"
)
"""The id of a task, possibly with the number of an image, in any combination."""
_MAX_MENTION = 500

_DATA = re.compile(r"data\s{0,9}:", re.IGNORECASE)
_MARK = re.compile(r"(?:^|[;:\s])base64\s{0,9}(?P<end>[,;]|:(?://)?|\s)", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[\w.+/;=\s-]*")
_HEAD = 512
_MAX_HEADS = 4
_SAMPLE = 96
_MAGIC = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|....ftyp|%PDF-|<svg|<\?xml",
    re.DOTALL,
)
"""The beginnings of images, and of files mistaken for one, which the decoder then names."""
_ONLY_BASE64 = re.compile(rf"[A-Za-z0-9+/_=\s%\\&#;{INVISIBLE}-]*")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_PIECE = 2**20
_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\v\f"


def _recognized(text: str) -> Given | None:
    """Return the meaning of the text, unless it is a path, unknown, or wrapped."""
    if id_ := ImageId.parse(text) or UploadId.parse(text):
        return id_
    if _ENCODED.match(text):  # the rest is decoded with the base64
        text = unquote(text[:_SHORT]) + text[_SHORT:]
    if (data := _data(text)) is not None:
        return data
    if ":\\/" in text[:_HEAD]:
        text = text.replace("\\/", "/")
    if match := SCHEME.match(text):
        return _web_address(match[1], text[match.end() :])
    if len(text) <= _SHORT and text.count("![") > 1 and text.count("](") > 1:
        return Unusable.SEVERAL
    return Unusable.IN_CHAT if _is_in_chat(text) else None


def _data(text: str) -> Data | Unusable | None:
    """Return the data after all of its prefixes, or raw base64; `None` for anything else."""
    start = 0
    for _ in range(_MAX_HEADS):
        head = text[start : start + _HEAD]
        is_uri, mark = _DATA.match(head) is not None, _MARK.search(head)
        is_mark = mark and (mark["end"][0] in ",:;" or _has_magic(text[start + mark.end() : start + _HEAD]))
        if mark and (is_uri or (is_mark and _MEDIA_TYPE.fullmatch(head[: mark.start()]))):
            start += mark.end()
        elif is_uri:
            payload = text[start:].partition(",")[2]
            return Data(payload) if _has_magic(payload) else Unusable.NO_BASE64
        else:
            break
    payload = text[start:].strip(_WRAPPERS)
    if payload[:2] in {"b'", 'b"'}:  # a bytes literal of Python
        payload = payload[2:]
    # a model that omits a part writes dots in its place
    is_raw = _has_magic(payload) and _ONLY_BASE64.fullmatch(payload.replace("...", "").replace("…", ""))
    # nothing else is this long: the decoder names the type
    is_raw = is_raw or (len(payload) > MAX_PATH and _ONLY_BASE64.fullmatch(payload))
    return Data(payload) if start or is_raw else None


def _has_magic(payload: str) -> bool:
    sample = unquote(payload[:_SAMPLE])
    for written, meant in _ESCAPES.items():
        sample = sample.replace(written, meant)
    sample = "".join(sample.split()).replace("-", "+").replace("_", "/")
    size = len(_NOT_BASE64.split(sample, maxsplit=1)[0][:24])
    return _MAGIC.match(b64decode(sample[: size // 4 * 4])) is not None


def _with_plus(raw: bytes) -> bytes:
    """Return the data with `+` in place of blanks that form encoding produced; blanks between equal lines stay."""
    length = raw.find(b" ")
    if length < 0 or b"+" in raw or b"\n" in raw:
        return raw
    ends = raw[length : raw.rfind(b" ") + 1 : length + 1]
    is_wrapped = length % 4 == 0 and ends.count(b" ") == len(ends) == raw.count(b" ")
    return raw if is_wrapped else raw.replace(b" ", b"+")


def _web_address(scheme: str, rest: str) -> WebAddress | Unusable:
    if len(rest) <= MAX_URL and _SECOND_LINK.search(rest):
        return Unusable.SEVERAL
    url = normalized(scheme, rest)
    return WebAddress(url) if url else Unusable.BAD_URL


def _embedded(text: str) -> Given | None:
    """Return the one image that a short text mentions by URL or id."""
    link = _INSIDE.search(text, 0, _HEAD)
    if link and link.start():
        rest = text[link.start() :].partition(_ENDS_OF_LINKS.get(text[link.start() - 1], "\0"))[0]
        return _recognized(_trimmed(rest))
    if len(text) > _MAX_MENTION or looks_like_path(text):
        return None
    found = {WholeTask(f"tsk_{id_}") if not n else ImageId(f"tsk_{id_}", int(n)) for id_, n in _TASK_ID.findall(text)}
    return found.pop() if len(found) == 1 else Unusable.SEVERAL if found else None


# --- images that only the chat has


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FOLDERS_OF_CHATS = ("/mnt/data/", "/mnt/user-data/", "/home/oai/")
_CHAT_ADDRESS = re.compile(
    r"(sandbox|computer|attachments?|blob|cid|file-service|sediment|filesystem|clipboard):|(uploads?|content|ph|photos|"
    r"assets-library|about|chrome|webkit-fake-url)://|(turn\d{1,4}[a-z]{1,9}\d{1,4}|file[-_][A-Za-z0-9]{16,99})$",
    re.IGNORECASE,
)
_THINGS = _words(
    "image images img photo photos picture pictures pic attachment attachments attached upload uploads uploaded "
    "screenshot clipboard pasted"
)
_WORDS_AROUND = _words(
    "a above an and as at base by chat conversation current data file first from given here id in input last latest "
    "me message my name new of original path placeholder previous provided reference s second sent shared source that "
    "the this to url user users your with"
)
_LABELS = _THINGS | _WORDS_AROUND | _words("are file here href is link path src task uri")
"""The words of labels such as `Here is the image: `."""
_WORD = re.compile(r"[^\W\d_]+")
_MAX_WORDS = 120


def _is_in_chat(text: str) -> bool:
    """Return whether this is an internal URL of a chat, or words such as `<image_1>` or `the attached photo`."""
    if _CHAT_ADDRESS.match(text):
        return True
    if len(text) > _MAX_WORDS or any(mark in text for mark in "/\\.~"):
        return False
    words = set(_WORD.findall(text.lower()))
    return bool(words & _THINGS) and words <= _THINGS | _WORDS_AROUND


# --- paths

_HOST = re.compile(
    r"(:?//)?(?P<www>www\.)?(?:(?:[^\W_]|-){1,63}\.){1,8}(?P<top>[^\W\d_]{2,24}|\d{1,3})(:\d{1,5})?(?=/[^/\s]|$)",
    re.IGNORECASE,
)
_TOP_LEVEL = _words("com net org io ai app co dev edu gov info cloud")
"""Of a host without a scheme; folders may have other endings. Two letters are a country."""
_COUNTRY = 2
_SENTENCE_ENDS = ".!?:*"
_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")


def _path(text: str, inner: str) -> FilePath | Unusable:
    if len(inner) > MAX_PATH:
        return Unusable.TOO_LONG
    url = _with_scheme(inner)
    end = inner.rstrip(_SENTENCE_ENDS)
    if url or looks_like_path(inner) or looks_like_path(end):
        texts = (text[:MAX_PATH], inner) if looks_like_path(inner) or url else (text[:MAX_PATH], end)
        return FilePath(texts=tuple(dict.fromkeys(texts)), url=url)
    return Unusable.TASK_ID if inner.startswith("tsk_") else Unusable.UNKNOWN


def _with_scheme(text: str) -> str | None:
    """Return the URL that a text such as `www.example.com/cat.png` may mean."""
    match = _HOST.match(text)
    if match is None or any(character.isspace() for character in text):
        return None
    top = match["top"].lower()
    is_address = _IPV4.match(match[0].lstrip(":/")) is not None
    is_name = top in _TOP_LEVEL or (len(top) == _COUNTRY and top.isascii() and top.isalpha())
    is_host = match.end() < len(text) and (is_name or is_address)
    if not is_host and not match["www"]:
        return None
    found = _web_address("https", text.lstrip(":/"))
    return found.url if isinstance(found, WebAddress) else None
