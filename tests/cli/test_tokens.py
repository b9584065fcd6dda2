"""`token`: the tokens of the file, and a server that uses them."""

from pathlib import Path
from typing import Any

import pytest

from cli.command import CommandLine
from journey_mcp.auth.tokens_file import TokensFile, digest_of
from journey_mcp.core.clock import Clock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a tokens file that does not exist yet."""
    return tmp_path / "keys" / "tokens"


@pytest.fixture
def owner(journey: CommandLine, file: Path) -> CommandLine:
    """Return the command line with this file."""
    return journey.given(JOURNEY_MCP_TOKENS_FILE=str(file))


async def test_a_token_is_printed_once_and_stored_as_its_digest(owner: CommandLine, file: Path) -> None:
    """Only its owner reads the file; a server accepts the token."""
    made = await owner.run(
        *("token", "new", "ada", "--budget", "2usd/day", "--providers", "bfl,Vtrix", "--expires", "2999-12-31"),
        *("--scopes", "images:read", "--calls-per-minute", "60", "--running", "5"),
    )
    assert made.code == 0
    token = made.out.strip()
    assert made.err.startswith(f"This is the token of ada. It is not shown again; {file} has only its digest.\n")
    assert token not in made.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text(encoding="utf-8") == (
        f"ada sha256:{digest_of(token)} budget=2usd/day providers=bfl,vtrix expires=2999-12-31 scopes=images:read "
        "calls_per_minute=60 running=5\n"
    )
    assert TokensFile(file, Clock()).identify(token).principal == "token:ada"


async def test_provider_keys_are_read_from_standard_input(owner: CommandLine, file: Path) -> None:
    """Everybody sees the arguments of a process; no command prints them."""
    keys = "own-key-at-bfl-01234\nown-key-at-vtrix-01234\n"
    made = await owner.run(
        "token", "new", "ada", "--providers", "none", "--key", "bfl", "--key", "vtrix", stdin=keys.encode()
    )
    assert made.code == 0
    line = file.read_text(encoding="utf-8")
    assert line.endswith(" providers=none key.bfl=own-key-at-bfl-01234 key.vtrix=own-key-at-vtrix-01234\n")
    table, listed = await owner.run("token", "list"), await owner.run("token", "list", "--json")
    assert listed.json["tokens"][0] | {"providers": "none", "own_keys": "bfl, vtrix"} == listed.json["tokens"][0]
    assert "own-key" not in f"{made.out}{made.err}{table.out}{table.err}{listed.out}{listed.err}"


async def test_no_token_is_made_with_a_wrong_key(owner: CommandLine, file: Path) -> None:
    """Nothing at all on standard input, or an unknown provider; the key is not repeated."""
    empty = await owner.run("token", "new", "ada", "--key", "bfl", stdin=b"")
    assert (empty.code, "key.bfl: the key is empty" in empty.err) == (2, True)
    unknown = await owner.run("token", "new", "ada", "--key", "nobody", stdin=b"own-key-01234\n")
    assert (unknown.code, "there is no provider 'nobody'" in unknown.err) == (2, True)
    assert "own-key" not in unknown.err
    assert not file.exists()


async def test_tokens_are_listed_and_revoked(owner: CommandLine, file: Path) -> None:
    """As a table or as JSON, without anything that opens the door."""
    file.parent.mkdir()
    file.write_text(f"ada sha256:{digest_of('of ada')} budget=2usd/day expires=2020-01-01\n", encoding="utf-8")
    token = (await owner.run("token", "new", "bob")).out.strip()
    with file.open("a", encoding="utf-8") as written:
        written.write("broken\n")
    listed = await owner.run("token", "list", "--json")
    empty = {"budget": "", "providers": "", "own_keys": "", "calls_per_minute": "", "running": "", "expires": ""}
    rows: list[dict[str, Any]] = [
        {**empty, "name": "ada", "budget": "2usd/day", "expires": "2020-01-01 (expired)"},
        {**empty, "name": "bob"},
    ]
    assert listed.json == {"tokens": [{**row, "scopes": "images:generate, images:read"} for row in rows]}
    assert f"{file}, line 3: the second word must be sha256:" in listed.err
    table = await owner.run("token", "list")
    assert [line.split("\t")[0] for line in table.out.splitlines()] == ["name", "ada", "bob"]
    assert digest_of(token) not in table.out + listed.out
    revoked = await owner.run("token", "revoke", "bob")
    assert (revoked.code, revoked.out) == (0, "")
    assert revoked.err.startswith("The token of bob is revoked.")
    assert digest_of(token) not in file.read_text(encoding="utf-8")
    await owner.run("token", "revoke", "ada")
    assert "has no tokens. `journey-mcp token new NAME` makes one." in (await owner.run("token", "list")).err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "a b"), "No token was made: the name 'a b' must be 1 to 64 letters"),
        (("new", "eve", "--expires", "soon"), "expires='soon' is not a date such as 2027-01-31"),
        (("new", "eve", "--expires", "2020-01-31"), "No token was made: 2020-01-31 of --expires is over"),
        (("new", "eve", "--providers", "openai"), "there is no provider 'openai'.\nProviders are journeyapi, "),
        (("new", "ada"), "There is a token ada already.\nChoose another name, or revoke it first"),
        (("revoke", "eve"), "There is no token 'eve'; tokens are ada."),
        (("create", "eve"), "There is no command 'create'. Did you mean journey-mcp token new?"),
        (("nonsense", "eve"), "There is no command 'nonsense'. Commands: new, list, revoke."),
    ],
)
async def test_wrong_commands_change_nothing(
    owner: CommandLine, file: Path, arguments: tuple[str, ...], words: str
) -> None:
    """And say what is allowed."""
    await owner.run("token", "new", "ada")
    before = file.read_bytes()
    done = await owner.run("token", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert file.read_bytes() == before


async def test_the_file_must_be_named(journey: CommandLine, owner: CommandLine) -> None:
    """And must exist to be read."""
    done = await journey.run("token", "list")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "journey-mcp: JOURNEY_MCP_TOKENS_FILE is not set: it names the file of the tokens.",
    )
    done = await owner.run("token", "list")
    assert done.code == 2
    assert "cannot be read: No such file or directory.\nCreate it with journey-mcp token new." in done.err
