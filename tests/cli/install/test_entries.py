"""An entry that is there already is brought up to date, and keeps what the person or the client added."""

from typing import Any

import pytest

from journey_mcp.cli.install import jsonc
from journey_mcp.cli.install.clients import CLIENTS
from journey_mcp.cli.install.entries import entry_in, new_entry, with_entry, without_entry
from journey_mcp.cli.install.launch import Launch

CURSOR, COPILOT, CODEX = (CLIENTS[name] for name in ("cursor", "copilot", "codex"))
LAUNCH = Launch(command="/bin/journey-mcp")


def updated(client: Any, text: str, variables: dict[str, str], launch: Launch = LAUNCH) -> str:
    """Return the text with an entry of these variables."""
    return with_entry(client, text, new_entry(client, launch, variables, {}))


def test_variables_and_fields_that_are_not_set_now_stay() -> None:
    """A key that was entered before is not lost by a shell without it."""
    text = '{"mcpServers": {"journey": {"command": "old", "env": {"BFL_API_KEY": "b"}, "disabled": true, "note": 1}}}'
    assert jsonc.parse(updated(CURSOR, text, {"VTRIX_API_KEY": "v"}))["mcpServers"]["journey"] == {
        "command": "/bin/journey-mcp",
        "env": {"BFL_API_KEY": "b", "VTRIX_API_KEY": "v"},
        "disabled": True,
        "note": 1,
    }


def test_comments_inside_of_an_entry_stay() -> None:
    """Only what differs is written."""
    text = '{\n  "mcpServers": {\n    "journey": {\n      // mine\n      "command": "old" // older\n    }\n  }\n}\n'
    assert updated(CURSOR, text, {}) == text.replace('"old"', '"/bin/journey-mcp"')


@pytest.mark.parametrize("reference", ["${env:BFL_API_KEY}", "${BFL_API_KEY}", "$BFL_API_KEY", "${input:mine}"])
def test_a_reference_is_not_replaced_by_a_key(reference: str) -> None:
    """The person keeps the key elsewhere on purpose."""
    text = (
        f'{{"mcpServers": {{"journey": {{"command": "/bin/journey-mcp", "env": {{"BFL_API_KEY": "{reference}"}}}}}}}}'
    )
    assert updated(CURSOR, text, {"BFL_API_KEY": "b"}) == text


def test_a_reference_of_the_person_brings_no_input() -> None:
    """VS Code has one for it already."""
    entry = '{"type": "stdio", "command": "/bin/journey-mcp", "env": {"BFL_API_KEY": "${input:mine}"}}'
    text = f'{{"servers": {{"journey": {entry}}}}}'
    assert updated(CLIENTS["vscode"], text, {"BFL_API_KEY": "b"}) == text


@pytest.mark.parametrize(
    ("inputs", "left"),
    [
        ("", ""),
        (', "inputs": []', ', "inputs": []'),
        (', "inputs": {}', ', "inputs": {}'),
        (', "inputs": null', ', "inputs": null'),
        (', "inputs": ["journey-key", {"id": "other"}]', ', "inputs": ["journey-key", {"id": "other"}]'),
        (', "inputs": [{"id": "journey-key"}]', ', "inputs": []'),
    ],
)
def test_only_the_input_of_the_entry_goes_with_it(inputs: str, left: str) -> None:
    """If there is one: the person may have written the entry, and anything in the place of inputs."""
    text = f'{{"servers": {{"journey": {{"command": "x", "env": {{"K": "${{input:journey-key}}"}}}}}}{inputs}}}'
    assert len(entry_in(CLIENTS["vscode"], text).inputs) == (1 if left != inputs else 0)
    assert without_entry(CLIENTS["vscode"], text) == f'{{"servers": {{}}{left}}}'


@pytest.mark.parametrize(
    "entry", ['{"url": "https://example.com/mcp"}', '"journey-mcp"', "null", '{"command": ["journey-mcp"]}']
)
def test_something_else_of_the_same_name_is_replaced(entry: str) -> None:
    """As a whole: the person sees it in the change that is shown first."""
    text = f'{{"mcpServers": {{"journey": {entry}}}}}'
    assert updated(CURSOR, text, {}) == '{"mcpServers": {"journey": {"command": "/bin/journey-mcp"}}}'


def test_arguments_that_are_no_longer_needed_go() -> None:
    """Those of `uvx`, if the command was installed since."""
    text = '{"mcpServers": {"journey": {"command": "uvx", "args": ["journey-mcp"]}}}'
    assert jsonc.parse(updated(CURSOR, text, {}))["mcpServers"]["journey"] == {
        "command": "/bin/journey-mcp",
        "args": [],
    }
    again = updated(CURSOR, text, {}, Launch(command="/bin/uvx", args=("journey-mcp",)))
    assert again == text.replace('"uvx"', '"/bin/uvx"')


def test_variables_that_are_none_are_replaced() -> None:
    """A list, for example."""
    text = '{"mcpServers": {"journey": {"command": "/bin/journey-mcp", "env": []}}}'
    assert updated(CURSOR, text, {"A": "b"}) == text.replace("[]", '{"A": "b"}')


def test_fields_that_the_client_wants_are_added_but_not_changed() -> None:
    """The person may have allowed fewer tools."""
    text = '{"mcpServers": {"journey": {"command": "/bin/journey-mcp", "tools": ["imagine"]}}}'
    assert jsonc.parse(updated(COPILOT, text, {}))["mcpServers"]["journey"] == {
        "command": "/bin/journey-mcp",
        "tools": ["imagine"],
        "type": "local",
    }


def test_paths_of_windows_are_escaped() -> None:
    """In both formats."""
    launch = Launch(command=r"C:\Users\me\.local\bin\journey-mcp.exe")
    assert r'"C:\\Users\\me\\.local\\bin\\journey-mcp.exe"' in updated(CURSOR, "", {}, launch)
    assert r'"C:\\Users\\me\\.local\\bin\\journey-mcp.exe"' in updated(CODEX, "", {}, launch)


def test_an_entry_in_toml_is_brought_up_to_date() -> None:
    """With its comments, and an inline table as one."""
    text = '[mcp_servers.journey]\ncommand = "old" # older\nenv = { A = "a" }\n\n[tui]\nx = 1\n'
    assert updated(CODEX, text, {"B": "b"}) == (
        '[mcp_servers.journey]\ncommand = "/bin/journey-mcp" # older\nenv = { A = "a", B = "b"}\nrequired = true\n'
        "\n[tui]\nx = 1\n"
    )
