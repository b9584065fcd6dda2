"""`token`: make, list and revoke the bearer tokens of `JOURNEY_MCP_TOKENS_FILE`."""

import getpass
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from journey_mcp.auth import tokens_file
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.limits import format_limits
from journey_mcp.registry import load
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings

_COLUMNS = ("name", "scopes", "budget", "providers", "own keys", "calls per minute", "running", "expires")


def new(name: str, options: Mapping[str, str], keys_of: Sequence[str] = ()) -> None:
    """Make a token, add it to the file, and print it: it cannot be shown again.

    A key of the token's owner is asked for at each of the providers `keys_of`.

    Raises:
        InvalidArguments: the name is taken or cannot be one, an option is wrong, or the token would be expired.
        SetupError: the file is not set, or cannot be read or written.
    """
    settings, path = _settings()
    known = load(settings.registry).providers
    _check_known(keys_of, known)
    given = {**options, **{f"key.{provider}": _asked_key(provider) for provider in keys_of}}
    token = tokens_file.new_token()
    try:
        entry = tokens_file.make_entry(
            name, tokens_file.digest_of(token), [f"{option}={value}" for option, value in given.items()]
        )
    except ValueError as error:
        raise InvalidArguments(f"No token was made: {error}.", next_step="Correct it, and run it again.") from error
    _check_known(entry.providers or (), known)
    _check_valid_today(entry)
    tokens_file.append(path, entry)
    console.result(token)
    console.info(f"This is the token of {name}. It is not shown again; {path} has only its digest.")
    console.info("A client sends it in the header Authorization: Bearer TOKEN. Running servers accept it at once.")


def _check_known(providers: Iterable[str], known: Collection[str]) -> None:
    if unknown := [provider for provider in providers if provider not in known]:
        raise InvalidArguments(
            f"No token was made: there is no provider {unknown[0][:80]!r}.",
            next_step=f"Providers are {', '.join(known)}.",
        )


def _check_valid_today(entry: tokens_file.Entry) -> None:
    if entry.is_expired(time.time()):
        raise InvalidArguments(
            f"No token was made: {entry.expires} of --expires is over, and no request would be accepted.",
            next_step="Give the last day on which it is valid, in UTC: today or later.",
        )


def _asked_key(provider: str) -> str:
    """Return a key that the person types, or a line of standard input: everybody sees the arguments of a process."""
    if sys.stdin.isatty():
        return getpass.getpass(f"Key at {provider} (not shown): ", stream=sys.stderr).strip()
    return sys.stdin.readline().strip()


def listed(*, as_json: bool) -> None:
    """Show the tokens of the file, without the tokens themselves.

    Raises:
        SetupError: the file is not set, or cannot be read.
    """
    _, path = _settings()
    parsed = tokens_file.read(path)
    for problem in parsed.problems:
        console.info(f"{path}, {problem}. The line is skipped.")
    if as_json:
        console.result_json({"tokens": [_row(entry) for entry in parsed.entries]}, rows="tokens")
    elif parsed.entries:
        console.table(_COLUMNS, [list(_row(entry).values()) for entry in parsed.entries])
    else:
        console.info(f"{path} has no tokens. `journey-mcp token new NAME` makes one.")


def revoke(name: str) -> None:
    """Remove a token from the file.

    Raises:
        InvalidArguments: there is no such token.
        SetupError: the file is not set, or cannot be read or written.
    """
    _, path = _settings()
    tokens_file.remove(path, name)
    console.info(f"The token of {name} is revoked. Running servers reject it at once; its tasks stay.")


def _settings() -> tuple[Settings, Path]:
    settings = ready_settings()
    if settings.tokens_file is None:
        raise SetupError(
            "JOURNEY_MCP_TOKENS_FILE is not set: it names the file of the tokens.",
            next_step="Set it, as the server has it, to a file that only you can write, such as ~/journey-tokens.",
        )
    return settings, settings.tokens_file


def _row(entry: tokens_file.Entry) -> dict[str, str]:
    expires = str(entry.expires or "")
    return {
        "name": entry.name,
        "scopes": ", ".join(sorted(entry.scopes)),
        "budget": format_limits(entry.budget),
        "providers": "none" if entry.providers == () else ", ".join(entry.providers or ()),
        "own_keys": ", ".join(entry.keys.by_provider),
        "calls_per_minute": str(entry.calls_per_minute or ""),
        "running": str(entry.running or ""),
        "expires": f"{expires} (expired)" if entry.is_expired(time.time()) else expires,
    }
