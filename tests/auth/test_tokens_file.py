"""The tokens file: its lines, its changes, and who may change it."""

import logging
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from manual_clock import ManualClock
from server.auth.served import add_token

from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.auth.tokens_file import (
    Entry,
    TokensFile,
    append,
    digest_of,
    make_entry,
    new_token,
    parse,
    read,
    remove,
)
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.limits import parse_limits_of_one
from journey_mcp.core.principals import principal_of_token

DIGESTS = [digest_of(f"jmcp_{number}") for number in range(3)]
KEY = "own-key-0123456789"


def test_a_token_is_random_and_has_a_prefix() -> None:
    """256 bits, so that a plain digest is enough."""
    tokens = {new_token() for _ in range(10)}
    assert len(tokens) == 10
    assert all(token.startswith("jmcp_") and len(token) == 48 for token in tokens)


def test_a_line_has_name_digest_and_options() -> None:
    """It is written as it was read; comments and blank lines are skipped."""
    line = (
        f"ada sha256:{DIGESTS[0]} budget=2usd/day,9credits/call providers=bfl,vtrix expires=2027-01-31 "
        "scopes=admin,images:read calls_per_minute=60 running=5"
    )
    (entry,) = parse(f"# mine\r\n\r\n{line}  # until January\r\n").entries
    assert entry == Entry(
        name="ada",
        digest=DIGESTS[0],
        scopes=frozenset({"images:read", "admin"}),
        budget=parse_limits_of_one("2usd/day,9credits/call"),
        providers=("bfl", "vtrix"),
        expires=date(2027, 1, 31),
        calls_per_minute=60,
        running=5,
    )
    assert str(entry) == line
    identity = entry.identity
    assert (identity.principal, identity.name) == ("token:ada", "ada")
    assert (identity.providers, identity.calls_per_minute) == (("bfl", "vtrix"), 60)
    (plain,) = parse(f"b.o-b_2 sha256:{DIGESTS[1]}").entries
    assert plain == Entry(name="b.o-b_2", digest=DIGESTS[1])
    assert plain.identity.allows("images:generate")
    assert not plain.identity.allows("admin")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ada", "the second word must be sha256: and 64 hexadecimal digits in lower case"),
        ("ada jmcp_secret", "the second word must be sha256:"),
        (f"ada sha256:{DIGESTS[1].upper()}", "in lower case"),
        (f"a/b sha256:{DIGESTS[1]}", "the name 'a/b' must be 1 to 64 letters"),
        (f"{'a' * 65} sha256:{DIGESTS[1]}", "must be 1 to 64 letters"),
        (f"first sha256:{DIGESTS[1]}", "an earlier line has the name first or the same token"),
        (f"other sha256:{DIGESTS[0]}", "an earlier line has the name other or the same token"),
        (f"ada sha256:{DIGESTS[1]} color=red", "'color=…' is not an option; options are budget=…, providers=…"),
        (f"ada sha256:{DIGESTS[1]} {KEY}", "a word is not an option; options are budget=…"),
        (f"ada sha256:{DIGESTS[1]} {KEY}=", "a word is not an option"),
        (f"ada sha256:{DIGESTS[1]} key={KEY}", "'key=…' is not an option; "),
        (f"ada sha256:{DIGESTS[1]} key.bfl", "a word is not an option"),
        (f"ada sha256:{DIGESTS[1]} key.bfl=", "key.bfl: the key is empty"),
        (f"ada sha256:{DIGESTS[1]} key.bfl=é{KEY}", "key.bfl: the key has characters that cannot be sent"),
        (f"ada sha256:{DIGESTS[1]} key.bfl={KEY} key.bfl={KEY}", "key.bfl is given twice"),
        (f"ada sha256:{DIGESTS[1]} running", "'running' is not an option"),
        (f"ada sha256:{DIGESTS[1]} running=1 running=2", "running is given twice"),
        (f"ada sha256:{DIGESTS[1]} running=0", "running='0' is not a number from 1 to 999999"),
        (f"ada sha256:{DIGESTS[1]} calls_per_minute=many", "calls_per_minute='many' is not a number"),
        (f"ada sha256:{DIGESTS[1]} expires=soon", "expires='soon' is not a date such as 2027-01-31"),
        (
            f"ada sha256:{DIGESTS[1]} scopes=images:write",
            "scopes='images:write' is not a scope; scopes are images:gene",
        ),
        (f"ada sha256:{DIGESTS[1]} providers=,", "providers= names no provider"),
        (f"ada sha256:{DIGESTS[1]} budget=much", "'much' must be AMOUNT UNIT/PERIOD"),
    ],
)
def test_a_wrong_line_is_named_by_number_and_leaves_the_others(line: str, words: str) -> None:
    """And the digest is not repeated."""
    parsed = parse(f"first sha256:{DIGESTS[0]}\n{line}\nlast sha256:{DIGESTS[2]}\n")
    assert [entry.name for entry in parsed.entries] == ["first", "last"]
    (problem,) = parsed.problems
    assert problem.startswith("line 2: ")
    assert words in problem
    assert "jmcp_secret" not in problem
    assert KEY not in problem
    assert not any(digest in problem.lower() for digest in DIGESTS)


def test_a_line_may_have_provider_keys() -> None:
    """They are written as they are, and never shown; `providers=none` is for callers with keys of their own only."""
    line = f"ada sha256:{DIGESTS[0]} providers=none key.bfl={KEY} key.journeyapi=j-{KEY}"
    (entry,) = parse(line).entries
    assert str(entry) == line
    assert entry.identity.providers == ()
    assert entry.identity.keys.by_provider == {"bfl": KEY, "journeyapi": f"j-{KEY}"}
    assert KEY not in repr(entry) + repr(entry.identity)
    with pytest.raises(ValueError, match="begins a comment in this file"):
        make_entry("ada", DIGESTS[0], [f"key.bfl={KEY}#1"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_provider_keys_that_everybody_can_read_are_not_used(tmp_path: Path) -> None:
    """Lines without one stay valid: their digests are no secret."""
    file = tmp_path / "tokens"
    file.write_text(f"ada sha256:{DIGESTS[0]} key.bfl={KEY}\nbob sha256:{DIGESTS[1]}\n", encoding="utf-8")
    file.chmod(0o644)
    found = read(file)
    assert [entry.name for entry in found.entries] == ["bob"]
    assert found.problems == (
        "line of ada: it has a provider key, and every user of this machine can read the file: chmod 600",
    )
    file.chmod(0o640)
    assert [entry.name for entry in read(file).entries] == ["ada", "bob"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_that_everybody_can_read_gets_no_provider_key(tmp_path: Path) -> None:
    """A key that is in it already belongs to a token, which can be revoked and whose name is taken."""
    file = tmp_path / "tokens"
    ada = f"ada sha256:{DIGESTS[0]} key.bfl={KEY}\n"
    file.write_text(ada, encoding="utf-8")
    file.chmod(0o644)
    with pytest.raises(SetupError, match="can be read by every user of this machine: no provider key is written"):
        append(file, make_entry("bob", DIGESTS[1], [f"key.bfl={KEY}"]))
    with pytest.raises(InvalidArguments, match="There is a token ada already"):
        append(file, make_entry("ada", DIGESTS[1]))
    assert file.read_text(encoding="utf-8") == ada
    remove(file, "ada")
    assert file.read_text(encoding="utf-8") == ""


def identified(tokens: TokensFile, token: str) -> str:
    """Return the principal of a token, or why it is rejected."""
    try:
        return tokens.identify(token).principal
    except (InvalidToken, CannotVerify) as error:
        return str(error)


async def test_a_change_has_effect_at_once(tmp_path: Path) -> None:
    """A new token, a revoked one, a file that is gone, and one that is back."""
    file = tmp_path / "tokens"
    ada = add_token(file, "ada")
    tokens = TokensFile(file, ManualClock())
    bob = add_token(file, "bob")
    assert [identified(tokens, token) for token in (ada, bob)] == ["token:ada", "token:bob"]
    assert identified(tokens, f"{ada}x") == "The token is unknown or revoked."
    remove(file, "ada")
    assert [identified(tokens, token) for token in (ada, bob)] == ["The token is unknown or revoked.", "token:bob"]
    content = file.read_bytes()
    file.unlink()
    assert identified(tokens, bob) == "The tokens of this server cannot be read now."
    file.write_bytes(content)
    file.chmod(0o600)
    assert identified(tokens, bob) == "token:bob"


async def test_limits_of_a_principal_are_those_of_the_file(tmp_path: Path) -> None:
    """As it is now; other principals have none."""
    file = tmp_path / "tokens"
    add_token(file, "ada", "budget=2usd/day", "running=5")
    tokens = TokensFile(file, ManualClock())
    ada, bob = principal_of_token("ada"), principal_of_token("bob")
    (limit,) = tokens.limits_of(ada)
    assert (limit.text, limit.principal, tokens.max_unfinished(ada)) == ("2usd/day", "ada", 5)
    assert limit.source == "the budget of token ada in JOURNEY_MCP_TOKENS_FILE"
    assert (tokens.limits_of(bob), tokens.max_unfinished(bob)) == ((), None)
    remove(file, "ada")
    assert (tokens.limits_of(ada), tokens.max_unfinished(ada)) == ((), None)


async def test_a_file_that_is_replaced_with_the_same_times_is_read_again(tmp_path: Path) -> None:
    """As by a program that copies times: the inode differs."""
    file, other = tmp_path / "tokens", tmp_path / "other"
    ada, bob = add_token(file, "ada"), add_token(other, "bob")
    times = file.stat()
    tokens = TokensFile(file, ManualClock())
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert [identified(tokens, token) for token in (ada, bob)] == ["The token is unknown or revoked.", "token:bob"]


async def test_a_broken_line_locks_nobody_else_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its number."""
    file = tmp_path / "tokens"
    ada = add_token(file, "ada")
    tokens = TokensFile(file, ManualClock())
    with file.open("a") as written:
        written.write("bob sha256:12\n")
    with caplog.at_level(logging.WARNING):
        assert identified(tokens, ada) == "token:ada"
    (record,) = caplog.records
    assert "a wrong line, which is skipped: line 2: the second word must be" in record.getMessage()


async def test_a_token_expires_after_its_last_day(tmp_path: Path) -> None:
    """In UTC."""
    file, clock = tmp_path / "tokens", ManualClock()
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    token = add_token(file, "ada", f"expires={today}")
    tokens = TokensFile(file, clock)
    assert identified(tokens, token) == "token:ada"
    clock.shift_calendar(86_400)
    assert identified(tokens, token) == "The token has expired."


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
async def test_a_file_that_others_can_change_is_not_used(tmp_path: Path, mode: int) -> None:
    """At the start, and after a change of its mode."""
    file = tmp_path / "tokens"
    token = add_token(file, "ada")
    assert file.stat().st_mode & 0o777 == 0o600
    tokens = TokensFile(file, ManualClock())
    file.chmod(mode)
    with pytest.raises(SetupError, match=r"can be changed by other users of this machine") as raised:
        TokensFile(file, ManualClock())
    assert raised.value.failure.next_step == "Make it yours alone: chmod 600."
    assert identified(tokens, token) == "The tokens of this server cannot be read now."
    file.chmod(0o640)
    assert identified(tokens, token) == "token:ada"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "is not a text in UTF-8"),
        (b"#" * 1_048_577, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_none_is_an_error(tmp_path: Path, content: bytes | None, words: str) -> None:
    """Which names the setting and the file."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(SetupError) as raised:
        read(file)
    assert str(raised.value).startswith(f"JOURNEY_MCP_TOKENS_FILE: {file} ")
    assert words in str(raised.value)


def test_lines_are_added_and_removed(tmp_path: Path) -> None:
    """What else is in the file stays, with its mode."""
    file = tmp_path / "tokens"
    file.write_text("# ours\nbroken line", encoding="utf-8")
    file.chmod(0o640)
    for number, name in enumerate(("ada", "bob")):
        append(file, make_entry(name, DIGESTS[number], ["running=1"]))
    with pytest.raises(InvalidArguments, match="There is a token ada already"):
        append(file, make_entry("ada", DIGESTS[2]))
    with pytest.raises(InvalidArguments, match=r"There is no token 'eve'; tokens are ada, bob\."):
        remove(file, "eve")
    remove(file, "ada")
    assert file.read_text(encoding="utf-8") == f"# ours\nbroken line\nbob sha256:{DIGESTS[1]} running=1\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in tmp_path.iterdir()] == ["tokens"]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "folder").write_text("not a folder", encoding="utf-8")
    with pytest.raises(SetupError, match="cannot be written: "):
        append(tmp_path / "folder" / "tokens", make_entry("ada", DIGESTS[0]))
