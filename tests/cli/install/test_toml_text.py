"""TOML is edited in place, wherever its tables are."""

import tomllib

import pytest

from journey_mcp.cli.install import toml_text
from journey_mcp.cli.install.editing import NotEditable

ENTRY = {"command": "/bin/journey-mcp", "required": True, "env": {"KEY": "k"}}
PATH = ("mcp_servers", "journey")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "model = 'x'",
        "model = 'x' # why\n",
        "[mcp_servers]\n\n[p]\na = 1\n",
        "[mcp_servers.a]\ncommand = 'x'\n",
        "[mcp_servers.a]\ncommand = 'x'\n[p]\nq = 1\n[mcp_servers.b]\ncommand = 'y'\n# end\n",
        "mcp_servers = { a = { command = 'x' } }\n[p]\nq = 1\n",
        "mcp_servers.a.command = 'x'\n[p]\nq = 1\n",
        "[[x]]\na = 1\n[[x]]\na = 2\n",
        "[mcp_servers.a]\r\ncommand = 'x'\r\n\r\n[p]\r\nq = 1\r\n",
        "[projects.'/home/me']\ntrust_level = 'trusted'\n\n[mcp_servers.a.env]\nA = '''\n[mcp_servers.journey]\n'''\n",
    ],
)
def test_an_entry_comes_and_goes(text: str) -> None:
    """The content is as expected, every line stays in its order, and the entry can be removed and put again."""
    content = tomllib.loads(text)
    put = toml_text.put(text, PATH, ENTRY)
    expected = {**content, "mcp_servers": {**content.get("mcp_servers", {}), "journey": ENTRY}}
    assert tomllib.loads(put) == expected
    removed = toml_text.remove(put, PATH)
    assert removed.split() == text.split()
    assert toml_text.put(removed, PATH, ENTRY).split() == put.split()
    if "\r\n" in text:
        assert put.count("\n") == put.count("\r\n")
    else:
        rest = iter(put.splitlines())
        assert "{" in text or all(line in rest for line in text.splitlines())


def test_comments_keep_their_neighbours() -> None:
    """Those above the table that follows are about that table, whatever comes or goes before them."""
    text = "[mcp_servers.a]\ncommand = 'x'\n\n# my projects\n[p]\nq = 1\n"
    put = toml_text.put(text, PATH, ENTRY)
    assert put.startswith(text)
    before, after = "[mcp_servers.journey]\ncommand = 'x'\n", "# my projects\n[p]\nq = 1\n"
    put = toml_text.put(before + after, (*PATH, "args"), ["a"])
    assert put == before + 'args = ["a"]\n' + after
    assert toml_text.put(put, (*PATH, "env"), {"A": "b"}) == before + 'args = ["a"]\nenv = {A = "b"}\n' + after
    assert toml_text.remove(put, PATH) == after
    assert toml_text.put(before + after, PATH, ENTRY).startswith(after)
    assert toml_text.remove(before + "# mine", PATH) == "# mine"


def test_a_comment_that_looks_like_one_is_part_of_a_text() -> None:
    """In a text of several lines."""
    text = "[mcp_servers.journey]\ncommand = '''\n# no comment\n'''\n\n[p]\n"
    assert toml_text.remove(text, PATH) == "[p]\n"


def test_a_table_in_several_places_is_removed_from_all() -> None:
    """As TOML allows it."""
    text = "[mcp_servers.journey]\ncommand = 'x'\n[p]\nq = 1\n[mcp_servers.journey.env]\nA = 'b'\n[z]\n"
    assert toml_text.remove(text, PATH) == "[p]\nq = 1\n[z]\n"


def test_a_value_in_the_place_of_a_table_is_refused() -> None:
    """It is not replaced."""
    with pytest.raises(NotEditable, match=r"^mcp_servers is not a table$"):
        toml_text.put("mcp_servers = 1\n", PATH, ENTRY)


def test_a_wrong_text_is_refused() -> None:
    """With line and column."""
    with pytest.raises(NotEditable, match="at line 2, column 5"):
        toml_text.parse("a = 1\nb = \n")
