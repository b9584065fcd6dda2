"""Hiding secrets in whatever leaves the process: as they are, and in every form that escaping or cleaning makes."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any

SHOWN = "[secret]"
"""What stands in a secret's place."""
_SHORTEST, _SHORTEST_WORD = 8, 12
"""A shorter one, or a shorter one of letters only, is made up, as for a sandbox, and may be a part of any text."""
_TELLING = 12
"""So many of its first characters are the secret: the rest may have been cut off."""
_LONGEST = 100_000
"""Text of this length with an escaped secret in it is hidden as a whole: finding the place would take too long."""
KEY_ENDINGS = ("_API_KEY", "_API_TOKEN")
"""How the variables of provider keys end."""
_SECRET_ENDINGS = (*KEY_ENDINGS, "_WEBHOOK_SECRET")
_ADDRESS_ENDINGS = ("_BASE_URL", "_PUBLIC_URL", "_DATABASE_URL", "_PROXY")
_REFERENCE = re.compile(
    r"\$\{[A-Za-z_][A-Za-z0-9_.:-]{0,80}\}|\$(?:env:)?[A-Za-z_]\w{0,80}|%[A-Za-z_]\w{0,80}%"
    r"|\{\{[^{}]{1,80}\}\}|\$\([^()]{1,80}\)"
)
_DEEPEST = 100
"""Nothing that makes sense is nested deeper, and showing it as text would overflow the stack."""

_ESCAPE = (
    r"%(?:25)*([0-9a-f]{2})|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})"
    r"|&(?:amp;)*#x([0-9a-f]{1,8});|&(?:amp;)*#([0-9]{1,8});|&(?:amp;)*(amp|quot|apos|lt|gt);"
)
_READINGS = tuple(
    (re.compile(escape, re.IGNORECASE), re.compile(rf"{escape}|[!-$'-\[\]-~]+|.", re.IGNORECASE | re.DOTALL))
    for escape in (_ESCAPE, rf"{_ESCAPE}|\\[nrt]")
)
"""What is decoded; and the same, or a run of letters, or one character. A backslash before n, r or t may be a line
break or quote the letter: both are tried."""
_NAMED = {"amp": "&", "quot": '"', "apos": "'", "lt": "<", "gt": ">"}
_ALIKE = bytes.maketrans(b'ABCDEFGHIJKLMNOPQRSTUVWXYZ"+/', b"abcdefghijklmnopqrstuvwxyz'-_")
"""What may stand for each other: quoting replaces quotes, hosts are in lower case, Base64 has two alphabets."""
_DROPPED = bytes([*range(0x21), ord("\\"), 0x7F])


class Redactor:
    """Hides secrets. Texts are compared by their visible ASCII characters, decoded, in lower case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        told = [secret for secret in dict.fromkeys(secrets) if _is_telling(secret)]
        # the longest first: one that begins like another is hidden whole
        self._plain = sorted(told, key=len, reverse=True)
        forms = dict.fromkeys(form for secret in told for form in _forms(secret))
        self._forms = tuple(form for form in forms if len(form) >= _SHORTEST)

    def text(self, text: str) -> str:
        """The text with `SHOWN` in the place of every secret, and of one whose end was cut off."""
        if len(text) < _SHORTEST:  # as most names are: no form of a secret has room
            return text
        for secret in self._plain:
            text = text.replace(secret, SHOWN)
        for escape, unit in _READINGS if "\\" in text else _READINGS[:1]:
            folded = _folded(text, escape)
            if any(form[:_TELLING] in folded for form in self._forms):
                text = self._located(text, escape, unit)
        return text

    def plain(self, value: Any) -> Any:
        """The same for all texts and names in JSON-like data; what is nested deeper than makes sense is `None`."""
        texts: list[str] = []
        is_shallow = _gather(value, texts, 0)
        # a line feed is part of no secret's form and of no escape: together they hold what each of them holds
        return value if is_shallow and self._is_clean("\n".join(texts)) else self._hidden(value, 0)

    def _is_clean(self, text: str) -> bool:
        """Whether nothing has to be hidden; as most results are, this is all that a call of a tool pays for."""
        if any(secret in text for secret in self._plain):
            return False
        folded = [_folded(text, escape) for escape, _ in (_READINGS if "\\" in text else _READINGS[:1])]
        return not any(form[:_TELLING] in one for one in folded for form in self._forms)

    def _hidden(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple | dict) and depth == _DEEPEST:
            return None
        if isinstance(value, list | tuple):
            return [self._hidden(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self._hidden(name, depth): self._hidden(item, depth + 1) for name, item in value.items()}
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
            first = folded.find(form[:_TELLING])
            while first >= 0:
                pairs = zip(form, folded[first : first + len(form)], strict=False)
                yield first, first + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                first = folded.find(form[:_TELLING], first + 1)


def _gather(value: Any, texts: list[str], depth: int) -> bool:
    """Collect all texts and names; `False` where it is nested too deep."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        texts.extend(name for name in value if isinstance(name, str))
        return depth < _DEEPEST and all(_gather(item, texts, depth + 1) for item in value.values())
    elif isinstance(value, list | tuple):
        return depth < _DEEPEST and all(_gather(item, texts, depth + 1) for item in value)
    return True


@lru_cache(maxsize=64)
def redactor_of(*secrets: str) -> Redactor:
    """The one that hides these, made once."""
    return Redactor(secrets)


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """What must never be seen of an environment: keys, secrets of webhooks, and passwords in addresses.

    They are known by the variables' names, so that they are hidden also while a setting is wrong.
    """
    found = list[str]()
    for name, value in environment.items():
        if name.endswith(_SECRET_ENDINGS) and not is_reference(value.strip()):
            secret = value.strip().removeprefix(f"{name}=")  # the name is none, though it was copied along
            found += [secret, secret.removeprefix("whsec_")]
        elif name.upper().endswith(_ADDRESS_ENDINGS):
            found += _passwords_in(value)
    return list(dict.fromkeys(filter(None, found)))


def is_reference(text: str) -> bool:
    """Whether a text only names a value, as `${KEY}`, `$KEY`, `%KEY%`, `{{key}}`: nothing in it is secret."""
    return _REFERENCE.fullmatch(text) is not None


def without_userinfo(text: str) -> str:
    """An address as it may be shown: whatever is before its last @ may be a user name and a password."""
    return re.sub(r"^(\w+://)?.*@", r"\1", text, flags=re.DOTALL)


def _passwords_in(address: str) -> Iterator[str]:
    """The password in an address; what stands in place of both where there is no colon, for it is a token then."""
    userinfo, _, _ = address.strip().partition("://")[2].rpartition("@")
    user, colon, password = userinfo.partition(":")
    yield password if colon else user


def _is_telling(secret: str) -> bool:
    return len(secret) >= (_SHORTEST_WORD if secret.isalpha() else _SHORTEST)


def _forms(secret: str) -> Iterator[bytes]:
    """The secret itself, and what is the same in every Base64 of text with the secret in it."""
    raw = secret.encode("utf-8", "surrogateescape")  # as an environment may hold it
    yield _visible(secret)  # text in which all of it is escaped, though it looks escaped itself
    for escape, _ in _READINGS:
        yield _folded(secret, escape)
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
            # a character of 6 bits counts where all of them are the secret's
            yield _folded(encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6], escape)


def _folded(text: str, escape: re.Pattern[str]) -> bytes:
    """The visible ASCII characters, decoded and alike: cleaning drops only what is dropped here too."""
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
