"""Redaction: secrets are removed from all output, plain and in every form that escaping or cleaning makes."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any

SHOWN = "[secret]"
"""The text in place of a secret."""
_SHORTEST, _SHORTEST_WORD = 8, 12
"""A secret shorter than the first number, or of letters only and shorter than the second, is made up, as for a sandbox:
it may be part of any text."""
_PREFIX_LENGTH = 12
"""This many first characters identify a secret: the rest may have been cut off."""
_LONGEST = 100_000
"""A longer text with an escaped secret is redacted as a whole: finding the place would take too long."""
KEY_ENDINGS = ("_API_KEY", "_API_TOKEN")
"""How the variables of provider keys end."""
_FLEET_SECRET = "JOURNEY_MCP_SECRET"  # noqa: S105  # the name of the variable
_SECRET_ENDINGS = (
    *KEY_ENDINGS,
    "_WEBHOOK_SECRET",
    _FLEET_SECRET,
    # of object stores
    *("_SECRET_ACCESS_KEY", "_SESSION_TOKEN", "_ACCOUNT_KEY", "_CLIENT_SECRET", "_SAS_TOKEN"),
)
_ADDRESS_ENDINGS = ("_BASE_URL", "_PUBLIC_URL", "_DATABASE_URL", "_LISTEN_URL", "_PROXY")
_REFERENCE = re.compile(
    r"\$\{[A-Za-z_][A-Za-z0-9_.:-]{0,80}\}|\$(?:env:)?[A-Za-z_]\w{0,80}|%[A-Za-z_]\w{0,80}%"
    r"|\{\{[^{}]{1,80}\}\}|\$\([^()]{1,80}\)"
)
_PASSWORD_OPTION = re.compile(r"[?&](?:ssl)?password=([^&#]+)")
_DEEPEST = 100
"""Real data is never nested deeper, and rendering such data would overflow the stack."""

_ESCAPE = (
    r"%(?:25)*([0-9a-f]{2})|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})"
    r"|&(?:amp;)*#x([0-9a-f]{1,8});|&(?:amp;)*#([0-9]{1,8});|&(?:amp;)*(amp|quot|apos|lt|gt);"
)
_READINGS = tuple(
    (re.compile(escape, re.IGNORECASE), re.compile(rf"{escape}|[!-$'-\[\]-~]+|.", re.IGNORECASE | re.DOTALL))
    for escape in (_ESCAPE, rf"{_ESCAPE}|\\[nrt]")
)
"""Pairs of patterns: escapes, and units (an escape, a run of letters, or one character). A backslash before n, r or t
may be a line break or quote the letter: both are tried."""
_NAMED = {"amp": "&", "quot": '"', "apos": "'", "lt": "<", "gt": ">"}
_ALIKE = bytes.maketrans(b'ABCDEFGHIJKLMNOPQRSTUVWXYZ"+/', b"abcdefghijklmnopqrstuvwxyz'-_")
"""Equivalent characters: quoting replaces quotes, hosts are in lower case, Base64 has two alphabets."""
_DROPPED = bytes([*range(0x21), ord("\\"), 0x7F])


class Redactor:
    """Redactor of secrets. Texts are compared by their visible ASCII characters, decoded, in lower case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in dict.fromkeys(secrets) if _is_long_enough(secret)]
        # the longest first: a secret that begins like another is redacted as a whole
        self._plain = sorted(known, key=len, reverse=True)
        forms = dict.fromkeys(form for secret in known for form in _forms(secret))
        self._forms = tuple(form for form in forms if len(form) >= _SHORTEST)

    def text(self, text: str) -> str:
        """Return the text with `SHOWN` in place of every secret, also of one whose end was cut off."""
        if len(text) < _SHORTEST:  # most names are that short; no form of a secret fits
            return text
        for secret in self._plain:
            text = text.replace(secret, SHOWN)
        for escape, unit in _READINGS if "\\" in text else _READINGS[:1]:
            folded = _folded(text, escape)
            if any(form[:_PREFIX_LENGTH] in folded for form in self._forms):
                text = self._located(text, escape, unit)
        return text

    def plain(self, value: Any) -> Any:
        """Redact all texts and names in JSON-like data; what is nested too deeply becomes `None`."""
        texts: list[str] = []
        is_shallow = _gather(value, texts)
        # no form of a secret and no escape has a line feed: the joined text has the same secrets as its parts
        return value if is_shallow and self._is_clean("\n".join(texts)) else self._redacted(value, 0)

    def _is_clean(self, text: str) -> bool:
        """Return whether there is nothing to redact. Most results are clean, so most tool calls cost only this."""
        if any(secret in text for secret in self._plain):
            return False
        folded = [_folded(text, escape) for escape, _ in (_READINGS if "\\" in text else _READINGS[:1])]
        return not any(form[:_PREFIX_LENGTH] in one for one in folded for form in self._forms)

    def _redacted(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple | dict) and depth == _DEEPEST:
            return None
        if isinstance(value, list | tuple):
            return [self._redacted(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self._redacted(name, depth): self._redacted(item, depth + 1) for name, item in value.items()}
        return value

    def _located(self, text: str, escape: re.Pattern[str], unit: re.Pattern[str]) -> str:
        if len(text) > _LONGEST:
            return SHOWN
        folded, starts, ends = bytearray(), list[int](), list[int]()
        for found in unit.finditer(text):
            piece, (start, end) = _folded(found[0], escape), found.span()
            is_run = len(piece) == end - start
            folded += piece
            starts += range(start, end) if is_run else [start] * len(piece)
            ends += range(start + 1, end + 1) if is_run else [end] * len(piece)
        kept, done = list[str](), 0
        for first, last in sorted(self._found(bytes(folded))):
            if starts[first] >= done:
                kept += [text[done : starts[first]], SHOWN]
            done = max(done, ends[last - 1])
        return "".join([*kept, text[done:]])

    def _found(self, folded: bytes) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            first = folded.find(form[:_PREFIX_LENGTH])
            while first >= 0:
                pairs = zip(form, folded[first : first + len(form)], strict=False)
                yield first, first + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                first = folded.find(form[:_PREFIX_LENGTH], first + 1)


def _gather(value: Any, texts: list[str]) -> bool:
    """Collect all texts and names, level by level; return `False` if the data is nested too deeply."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        nested: list[Any] = []
        has_containers = False
        for item in level:
            if isinstance(item, str):
                texts.append(item)
            elif isinstance(item, dict):
                has_containers = True
                texts += [name for name in item if isinstance(name, str)]
                nested.extend(item.values())
            elif isinstance(item, list | tuple):
                has_containers = True
                nested.extend(item)
        if not has_containers:
            return True
        level = nested
    return False


@lru_cache(maxsize=64)
def redactor_of(*secrets: str) -> Redactor:
    """Return the redactor of these secrets; it is built once."""
    return Redactor(secrets)


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Return the secrets of an environment: keys, webhook secrets, and passwords in URLs.

    They are found by the names of the variables, so they are redacted even if a setting is wrong.
    """
    found = list[str]()
    for name, value in environment.items():
        if name.endswith(_SECRET_ENDINGS) and not is_reference(value.strip()):
            secret = value.strip().removeprefix(f"{name}=")  # the name may have been copied with it
            parts = secret.split(",") if name == _FLEET_SECRET else [secret.removeprefix("whsec_")]
            found += [secret, *map(str.strip, parts)]
        elif name.upper().endswith(_ADDRESS_ENDINGS):
            found += _passwords_in(value)
    return list(dict.fromkeys(filter(None, found)))


def is_reference(text: str) -> bool:
    """Return whether a text only refers to a value, as in `${KEY}`, `$KEY`, `%KEY%`, `{{key}}`; it is not secret."""
    return _REFERENCE.fullmatch(text) is not None


def without_userinfo(text: str) -> str:
    """Return a URL without user info: everything before the last @ may be a user name and a password."""
    return re.sub(r"^(\w+://)?.*@", r"\1", text, flags=re.DOTALL)


def _passwords_in(address: str) -> Iterator[str]:
    """Yield the passwords in a URL; without a colon the user info is a token."""
    userinfo, _, _ = address.strip().partition("://")[2].rpartition("@")
    user, colon, password = userinfo.partition(":")
    yield password if colon else user
    yield from _PASSWORD_OPTION.findall(address)


def _is_long_enough(secret: str) -> bool:
    return len(secret) >= (_SHORTEST_WORD if secret.isalpha() else _SHORTEST)


def _forms(secret: str) -> Iterator[bytes]:
    """Yield the secret and the parts that every Base64 of text with the secret has in common."""
    raw = secret.encode("utf-8", "surrogateescape")  # an environment may have any bytes
    yield _visible(secret)  # for text that escapes a secret that looks escaped
    for escape, _ in _READINGS:
        yield _folded(secret, escape)
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
            # a Base64 character counts if all of its 6 bits are of the secret
            yield _folded(encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6], escape)


def _folded(text: str, escape: re.Pattern[str]) -> bytes:
    """Return the visible ASCII characters, decoded and normalised. Cleaning drops nothing that stays here."""
    if "%" in text or "\\" in text or "&" in text:
        text = escape.sub(_decoded, text)
    return _visible(text)


def _visible(text: str) -> bytes:
    return text.encode("ascii", "ignore").translate(_ALIKE, _DROPPED)


def _decoded(escape: re.Match[str]) -> str:
    *hexadecimal, decimal, name = escape.groups()
    if name:
        return _NAMED[name.lower()]
    digits = next(filter(None, hexadecimal), None)
    number = int(decimal) if decimal else int(digits, 16) if digits else 0  # else a line break
    return chr(number) if number < 0x80 else ""  # noqa: PLR2004  # ASCII
