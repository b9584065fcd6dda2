"""Bearer tokens in a file: one line each, with the digest of the token, its name and what it may do.

    NAME sha256:DIGEST [budget=2usd/day] [providers=a,b] [expires=2027-01-31] [scopes=images:read]
        [calls_per_minute=60] [running=5] [key.journeyapi=KEY]

A token has 256 random bits, so that a plain digest of it cannot be reversed. A provider key is there as it is. `#`
begins a comment.
"""

import hmac
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import get_args

from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.auth.identity import GENERATE, READ, SCOPES, Identity, Scope
from journey_mcp.core import private_files
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.limits import Limit, format_limits, parse_limits_of_one
from journey_mcp.core.principals import Principal, principal_of_token
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys, fault_of_callers

PREFIX = "jmcp_"
_RANDOM_BYTES = 32
_MAX_BYTES = 1024 * 1024
_RETRY_AFTER_S = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_OPTION = re.compile(r"[a-z_]{1,20}")
_KEY = "key."
_KEY_OF = re.compile(r"key\.([a-z0-9][a-z0-9_-]{0,39})")
_NONE = "none"
_COUNT = re.compile(r"[1-9][0-9]{0,5}")
_DEFAULT_SCOPES: frozenset[Scope] = frozenset({GENERATE, READ})
_CHANGEABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OWNERS_ONLY = "Make it yours alone: chmod 600."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A token of the file, without the token itself."""

    name: str
    digest: str
    """SHA-256 in lower-case hexadecimal."""
    scopes: frozenset[Scope] = _DEFAULT_SCOPES
    budget: tuple[Limit, ...] = ()
    providers: tuple[str, ...] | None = None
    expires: date | None = None
    """The last day on which it is valid, in UTC."""
    calls_per_minute: int | None = None
    running: int | None = None
    keys: CallerKeys = NO_KEYS
    """Provider keys of the token's owner."""

    def __str__(self) -> str:
        """Return the line of the file, with the provider keys."""
        options = {
            "budget": format_limits(self.budget),
            "providers": _NONE if self.providers == () else ",".join(self.providers or ()),
            "expires": str(self.expires or ""),
            "scopes": "" if self.scopes == _DEFAULT_SCOPES else ",".join(sorted(self.scopes)),
            "calls_per_minute": str(self.calls_per_minute or ""),
            "running": str(self.running or ""),
            **{f"{_KEY}{provider}": key for provider, key in self.keys.by_provider.items()},
        }
        given = [f"{name}={value}" for name, value in options.items() if value]
        return " ".join([self.name, f"sha256:{self.digest}", *given])

    def is_expired(self, now: float) -> bool:
        """Return whether the token's last day is over; `now` in seconds of the Unix epoch."""
        if self.expires is None:
            return False
        end = datetime.combine(self.expires + timedelta(days=1), datetime.min.time(), UTC)
        return now >= end.timestamp()

    @property
    def identity(self) -> Identity:
        """The identity of the token's owner."""
        return Identity(
            principal_of_token(self.name),
            self.name,
            self.scopes,
            providers=self.providers,
            calls_per_minute=self.calls_per_minute,
            keys=self.keys,
        )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The budget, which applies to this token's principal only."""
        source = f"the budget of token {self.name} in JOURNEY_MCP_TOKENS_FILE"
        return tuple(replace(limit, principal=self.name, source=source) for limit in self.budget)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """The tokens of a file, and its lines that are none."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    """Each names its line by number and says what is wrong, without a digest."""


def new_token() -> str:
    """Return a new token."""
    return f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"


def digest_of(token: str) -> str:
    """Return the digest by which the file knows a token."""
    return sha256(token.encode()).hexdigest()


def make_entry(name: str, digest: str, options: Iterable[str] = ()) -> Entry:
    """Return the entry of a line; each option is `name=value`.

    Raises:
        ValueError: a part is wrong; says what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name {name[:80]!r} must be 1 to 64 letters, digits, dots, hyphens and underscores, "
            "and begin with a letter or a digit"
        )
    given: dict[str, object] = {}
    keys: dict[str, str] = {}
    for option in options:
        key, equals, text = option.partition("=")
        provider = _KEY_OF.fullmatch(key)
        if not equals or not (provider or key in _OPTIONS):
            raise ValueError(f"{_shown(key, equals)} is not an option; options are {', '.join(_NAMES)}")
        if key in given or (provider and provider[1] in keys):
            raise ValueError(f"{key} is given twice")
        if provider:
            keys[provider[1]] = _key(key, text)
        else:
            given[key] = _OPTIONS[key](text)
    return Entry(name=name, digest=digest, keys=CallerKeys(keys), **given)  # type: ignore[arg-type]  # by their parsers


def parse(text: str) -> Parsed:
    """Parse the content of a tokens file. A wrong line has no effect on the others."""
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not (words := _words(line)):
            continue
        try:
            entry = _read(words, entries.values())
        except ValueError as error:
            problems.append(f"line {number}: {error}")
        else:
            entries[entry.name] = entry
    return Parsed(entries=tuple(entries.values()), problems=tuple(problems))


def read(path: Path) -> Parsed:
    """Read a tokens file; without the lines with provider keys if every user of this machine can read it.

    Raises:
        SetupError: it cannot be read, is not a text, or other users can change it.
    """
    parsed, is_readable_by_all = _read_whole(path)
    return _without_keys(parsed) if is_readable_by_all else parsed


def _read_whole(path: Path) -> tuple[Parsed, bool]:
    """Return all tokens of the file, and whether every user of this machine can read it; raises as `read`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _wrong(
            path, f"cannot be read: {error.strerror or error}", "Create it with journey-mcp token new."
        ) from error
    if os.name != "nt" and status.st_mode & _CHANGEABLE_BY_OTHERS:
        raise _wrong(path, "can be changed by other users of this machine", _OWNERS_ONLY)
    if len(content) > _MAX_BYTES:
        raise _wrong(path, f"is larger than {_MAX_BYTES:,} bytes", "Name a file of tokens, one in each line.")
    try:
        return parse(content.decode()), os.name != "nt" and bool(status.st_mode & stat.S_IROTH)
    except UnicodeDecodeError as error:
        raise _wrong(path, "is not a text in UTF-8", "Name a file of tokens, one in each line.") from error


def _without_keys(parsed: Parsed) -> Parsed:
    """Return the tokens without provider keys of a file that every user of this machine can read."""
    problems = (
        f"line of {entry.name}: it has a provider key, and every user of this machine can read the file: chmod 600"
        for entry in parsed.entries
        if entry.keys
    )
    entries = tuple(entry for entry in parsed.entries if not entry.keys)
    return Parsed(entries=entries, problems=(*parsed.problems, *problems))


def append(path: Path, entry: Entry) -> None:
    """Add a token to the file, which is created for its owner only.

    Raises:
        SetupError: the file cannot be read or written, or every user of this machine could read a provider key in it.
        InvalidArguments: it has a token of this name.
    """
    content = ""
    if path.exists():
        parsed, is_readable_by_all = _read_whole(path)
        if entry.keys and is_readable_by_all:
            raise _wrong(path, "can be read by every user of this machine: no provider key is written", _OWNERS_ONLY)
        if any(other.name == entry.name for other in parsed.entries):
            raise InvalidArguments(
                f"There is a token {entry.name} already.",
                next_step=f"Choose another name, or revoke it first: journey-mcp token revoke {entry.name}",
            )
        content = path.read_text(encoding="utf-8")
    separator = "" if not content or content.endswith("\n") else "\n"
    with _errors_of_writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # not a new file in its place: it keeps its owner, and a container may have only this file
        with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{separator}{entry}\n")


def remove(path: Path, name: str) -> None:
    """Remove the token of this name from the file; other lines stay as they are.

    Raises:
        SetupError: the file cannot be read or written.
        InvalidArguments: it has no such token.
    """
    known = [entry.name for entry in _read_whole(path)[0].entries]
    if name not in known:
        raise InvalidArguments(
            f"There is no token {name[:80]!r}; tokens are {', '.join(known) or 'none'}.",
            next_step="Name one of them; `journey-mcp token list` shows them.",
        )
    lines = path.read_text(encoding="utf-8").split("\n")
    with _errors_of_writing(path):
        _replace(path, "\n".join(line for line in lines if _words(line)[:1] != [name]))


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, with its mode and its owner: a reader has the old or the new one."""
    status = path.stat()
    with private_files.replacing(path) as file:
        file.write(text.encode())
        if os.name != "nt":
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))


@contextmanager
def _errors_of_writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _wrong(
            path, f"cannot be written: {error.strerror or error}", "Choose a file that you can write to."
        ) from error


class TokensFile:
    """The tokens of a file, read again when it changes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file.

        Raises:
            SetupError: as `read`.
        """
        self._path = path
        self._clock = clock
        self._version = self._stat()
        self._entries: Mapping[str, Entry] | None = _by_digest(read(path))

    def identify(self, token: str) -> Identity:
        """Return whose token this is.

        Raises:
            InvalidToken: it is unknown, or has expired.
            CannotVerify: the file cannot be read now.
        """
        self._reload()
        if self._entries is None:
            raise CannotVerify("The tokens of this server cannot be read now.", retry_after_s=_RETRY_AFTER_S)
        digest = digest_of(token)
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            raise InvalidToken("The token is unknown or revoked.")
        if entry.is_expired(self._clock.now()):
            raise InvalidToken("The token has expired.")
        return entry.identity

    def limits_of(self, principal: Principal) -> Sequence[Limit]:
        """Return the budget of the principal's token; none if it has none."""
        entry = self._entry_of(principal)
        return entry.limits if entry else ()

    def max_unfinished(self, principal: Principal) -> int | None:
        """Return how many unfinished tasks the principal's token allows; `None` if it says nothing about that."""
        entry = self._entry_of(principal)
        return entry.running if entry else None

    def _entry_of(self, principal: Principal) -> Entry | None:
        self._reload()
        entries = (self._entries or {}).values()
        return next((entry for entry in entries if principal_of_token(entry.name) == principal), None)

    def _reload(self) -> None:
        version = self._stat()
        if version == self._version:
            return
        self._version = version
        try:
            self._entries = _by_digest(read(self._path))
        except SetupError as error:
            self._entries = None
            _log.error("no token is accepted: %s", error)
        else:
            _log.info("the tokens were read again: %d", len(self._entries))

    def _stat(self) -> tuple[float, ...]:
        """Return what changes with the file; nothing if there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_dev, found.st_size, found.st_mode


def _by_digest(parsed: Parsed) -> dict[str, Entry]:
    for problem in parsed.problems:
        _log.warning("the tokens file has a wrong line, which is skipped: %s", problem)
    return {entry.digest: entry for entry in parsed.entries}


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _read(words: Sequence[str], earlier: Iterable[Entry]) -> Entry:
    name, digest, *options = words if len(words) > 1 else (words[0], "")
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError("the second word must be sha256: and 64 hexadecimal digits in lower case")
    entry = make_entry(name, match[1], options)
    if any(other.name == name or other.digest == entry.digest for other in earlier):
        raise ValueError(f"an earlier line has the name {name} or the same token")
    return entry


def _scopes(text: str) -> frozenset[Scope]:
    named = [scope.strip() for scope in text.split(",")]
    if unknown := [scope for scope in named if scope not in get_args(Scope)]:
        raise ValueError(f"scopes={unknown[0][:80]!r} is not a scope; scopes are {', '.join(SCOPES)}")
    return frozenset(scope for scope in SCOPES if scope in named)


def _expires(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"expires={text[:80]!r} is not a date such as 2027-01-31") from error


def _shown(key: str, equals: str) -> str:
    """Return how an error names an option: without its value, and without a word that may be a key."""
    return repr(f"{key}=…") if equals and _OPTION.fullmatch(key) else repr(key) if key in _OPTIONS else "a word"


def _key(option: str, text: str) -> str:
    if fault := fault_of_callers(text):
        raise ValueError(f"{option}: the key {fault}")
    if "#" in text:
        raise ValueError(f"{option}: the key has a #, which begins a comment in this file")
    return text


def _names(text: str) -> tuple[str, ...]:
    if text.strip().lower() == _NONE:
        return ()
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError("providers= names no provider")
    return names


def _count(name: str) -> Callable[[str], int]:
    def parse_count(text: str) -> int:
        if not _COUNT.fullmatch(text):
            raise ValueError(f"{name}={text[:80]!r} is not a number from 1 to 999999")
        return int(text)

    return parse_count


_OPTIONS: Mapping[str, Callable[[str], object]] = {
    "budget": parse_limits_of_one,
    "providers": _names,
    "expires": _expires,
    "scopes": _scopes,
    "calls_per_minute": _count("calls_per_minute"),
    "running": _count("running"),
}
_NAMES = (*(f"{name}=…" for name in _OPTIONS), f"{_KEY}PROVIDER=…")


def _wrong(path: Path, fault: str, next_step: str) -> SetupError:
    return SetupError(f"JOURNEY_MCP_TOKENS_FILE: {path} {fault}.", next_step=next_step)
