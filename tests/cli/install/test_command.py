"""`install` and `uninstall` change the file of the client and nothing else in it, on every system."""

import json
import stat
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from journey_mcp.cli.install.clients import CLIENTS, Machine
from journey_mcp.cli.install.command import install, uninstall
from journey_mcp.core.errors import InvalidArguments, SetupError

FILES = Path(__file__).parent / "files"
COMMAND = str(Path(sys.executable).with_name("journey-mcp"))
KEY = "japi_secret_1"
SHELL = {"JOURNEYAPI_API_KEY": KEY, "JOURNEY_MCP_BUDGET": "8credits/call"}
SYSTEMS = ["darwin", "win32", "linux"]


def machine_with(home: Path, system: str = "linux", environment: Mapping[str, str] = SHELL) -> Machine:
    """Return a machine whose commands are not found."""
    return Machine(system=system, home=home, environment={"PATH": "", **environment})


def golden(client: str, which: str) -> str:
    """Return the file of a client before or after."""
    (path,) = FILES.glob(f"{client}.{which}.*")
    return path.read_text("utf-8").replace("COMMAND", COMMAND.replace("\\", "\\\\"))


def placed(client: str, machine: Machine, content: bytes | None) -> Path:
    """Write the file of a client, or only its folder."""
    file = CLIENTS[client].file(machine)
    file.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        file.write_bytes(content)
    return file


def mode(file: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("is_of_windows", [False, True], ids=["lf", "crlf and bom"])
def test_an_entry_comes_and_goes(client: str, system: str, is_of_windows: bool, tmp_path: Path) -> None:
    """Comments, order, indentation and line ends stay; afterwards the file is byte for byte as it was."""
    before, after = (
        ("\ufeff" + text.replace("\n", "\r\n") if is_of_windows else text).encode()
        for text in (golden(client, "before"), golden(client, "after"))
    )
    machine = machine_with(tmp_path, system)
    file = placed(client, machine, before)
    assert install(client, machine, only_print=False, is_agreed=True) == 0
    assert file.read_bytes() == after
    (backup,) = file.parent.glob("*.bak")
    assert backup.read_bytes() == before
    assert (mode(file), mode(backup)) == (0o600, 0o600)
    assert install(client, machine, only_print=False, is_agreed=True) == 0
    assert file.read_bytes() == after
    assert uninstall(client, machine, is_agreed=True) == 0
    assert file.read_bytes() == before
    assert mode(file) == 0o600


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_that_was_made_is_removed_again(client: str, tmp_path: Path) -> None:
    """It is for this user only."""
    machine = machine_with(tmp_path)
    file = placed(client, machine, None)
    if file.parent == tmp_path:
        file.write_text("{}")
        file.unlink()
        machine = replace(machine, environment={**machine.environment, "CLAUDE_CONFIG_DIR": str(tmp_path / "claude")})
        file = placed(client, machine, None)
    assert install(client, machine, only_print=False, is_agreed=True) == 0
    assert mode(file) == 0o600
    assert uninstall(client, machine, is_agreed=True) == 0
    assert not file.exists()


@pytest.mark.parametrize("client", CLIENTS)
def test_other_changes_survive_the_removal(client: str, tmp_path: Path) -> None:
    """Then the copy is not used: only the entry goes, and the inputs that only it used."""
    machine = machine_with(tmp_path)
    file = placed(client, machine, golden(client, "before").encode())
    install(client, machine, only_print=False, is_agreed=True)
    comment = "\n# mine" if client == "codex" else "\n// mine"
    file.write_text(file.read_text() + comment)
    assert uninstall(client, machine, is_agreed=True) == 0
    left = file.read_text()
    assert left.endswith(comment)
    assert "journey" not in left
    rest = left.removesuffix(comment)
    if client == "gemini":  # nobody knows any longer that there was no list of servers
        rest = rest.replace(',\n  "mcpServers": {}', "")
    assert rest.split() == golden(client, "before").split()


def test_the_change_is_shown_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither ours nor those of other servers."""
    machine = machine_with(tmp_path)
    placed("cursor", machine, golden("cursor", "before").encode())
    install("cursor", machine, only_print=False, is_agreed=True)
    uninstall("cursor", machine, is_agreed=True)
    placed("lm-studio", machine, golden("lm-studio", "before").encode())
    install("lm-studio", machine, only_print=False, is_agreed=True)
    out, err = capsys.readouterr()
    assert '+            "command": ' in err
    assert '+                "JOURNEYAPI_API_KEY": "[secret]",' in err
    assert '-                "JOURNEYAPI_API_KEY": "[secret]",' in err
    assert '             "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "[secret]" }' in err
    assert '         "Authorization": "[secret]"' in err
    for secret in (KEY, "ghp_of_somebody_else", "hf_of_somebody_else"):
        assert secret not in out + err


@pytest.mark.parametrize("indent", [2, None])
def test_secrets_in_other_places_are_not_shown(
    indent: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In arguments and URLs of other servers, in variables of any name for keys, and of the client itself."""
    secrets = [f"{name}-of-somebody-else" for name in ("option", "equals", "header", "query", "pat", "client")]
    option, equals, header, query, pat, own = secrets
    arguments = ["--api-key", option, f"--token={equals}", "--header", f"Authorization: Bearer {header}"]
    content = {
        "mcpServers": {
            "remote": {"url": f"https://mcp.example.com/?api_key={query}"},
            "other": {"command": "npx", "env": {"GITHUB_PAT": pat}, "args": arguments},
        },
        "primaryApiKey": own,
    }
    machine = machine_with(tmp_path)
    placed("claude-code", machine, json.dumps(content, indent=indent).encode())
    install("claude-code", machine, only_print=False, is_agreed=True)
    uninstall("claude-code", machine, is_agreed=True)
    out, err = capsys.readouterr()
    assert [secret for secret in secrets if secret in out + err] == []
    assert "npx" in err or indent


def test_the_result_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And which settings the file has."""
    machine = machine_with(tmp_path)
    file = placed("cursor", machine, b"{}\n")
    install("cursor", machine, only_print=False, is_agreed=True)
    out, err = capsys.readouterr()
    assert out == (
        f"journey is in {file}. Quit Cursor completely and open it again. "
        'Then say: "Make an image of a lighthouse at dusk with journey."\n'
    )
    assert f"It starts {COMMAND}\n" in err
    assert "The file, which only you can read, has these settings: JOURNEYAPI_API_KEY, JOURNEY_MCP_BUDGET." in err
    assert "The file as it was: " in err
    assert "sandbox" not in err


def test_vs_code_gets_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks for it, whatever variable has it."""
    machine = machine_with(tmp_path, environment={"BFL_API_KEY": "bfl_secret_1", "JOURNEY_MCP_SECRET": "s" * 32})
    file = placed("vscode", machine, None)
    install("vscode", machine, only_print=False, is_agreed=True)
    written = file.read_text()
    assert "bfl_secret_1" not in written
    assert "s" * 32 not in written
    assert '"BFL_API_KEY": "${input:journey-bfl-api-key}"' in written
    assert '"description": "Black Forest Labs key"' in written
    asked = "VS Code asks for JOURNEY_MCP_SECRET, BFL_API_KEY when it starts the server, and keeps what you enter."
    err = capsys.readouterr().err
    assert asked in err or "VS Code asks for BFL_API_KEY, JOURNEY_MCP_SECRET when" in err


def test_an_input_that_another_server_uses_stays(tmp_path: Path) -> None:
    """The entry goes without it."""
    machine = machine_with(tmp_path)
    file = placed("vscode", machine, None)
    install("vscode", machine, only_print=False, is_agreed=True)
    shared = '"other": {"command": "x", "env": {"K": "${input:journey-journeyapi-api-key}"}}'
    file.write_text(file.read_text().replace('"servers": {', '"servers": {' + shared + ","))
    uninstall("vscode", machine, is_agreed=True)
    assert '"id": "journey-journeyapi-api-key"' in file.read_text()
    assert '"journey":' not in file.read_text()


def test_without_a_key_the_sandbox_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nobody is asked for one."""
    machine = machine_with(tmp_path, environment={})
    file = placed("cursor", machine, None)
    assert install("cursor", machine, only_print=False, is_agreed=True) == 0
    assert '"env"' not in file.read_text()
    assert "It has no key: a free sandbox draws test images." in capsys.readouterr().err


@pytest.mark.parametrize("environment", [SHELL, {}], ids=["with a key", "without"])
def test_without_a_terminal_nothing_is_written(environment: dict[str, str], tmp_path: Path) -> None:
    """The error names what to add; nobody is asked for a key either."""
    machine = machine_with(tmp_path, environment=environment)
    file = placed("cursor", machine, b"{}")
    with pytest.raises(InvalidArguments, match="there is no terminal to ask at") as raised:
        install("cursor", machine, only_print=False, is_agreed=False)
    assert "--yes" in str(raised.value.failure.next_step)
    assert file.read_bytes() == b"{}"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("client", CLIENTS)
def test_print_changes_nothing(client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what belongs where, without keys, also if the client is not there."""
    machine = machine_with(tmp_path)
    assert install(client, machine, only_print=True, is_agreed=False) == 0
    out, err = capsys.readouterr()
    assert f"This belongs into {CLIENTS[client].file(machine)}. Keys are not printed." in err
    assert COMMAND in out
    assert KEY not in out
    assert ("${input:journey-journeyapi-api-key}" if client == "vscode" else "your-key") in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_is_not_there_is_reported(client: str, tmp_path: Path) -> None:
    """With the command that shows what to write."""
    with pytest.raises(SetupError, match=f"^{CLIENTS[client].title} was not found: there is no {tmp_path}") as raised:
        install(client, machine_with(tmp_path), only_print=False, is_agreed=True)
    assert f"`journey-mcp install {client} --print`" in str(raised.value.failure.next_step)
    assert list(tmp_path.iterdir()) == []


def test_a_client_without_a_folder_is_found_by_its_command(tmp_path: Path) -> None:
    """It has not been started yet; its folder is made for this user only."""
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    machine = machine_with(tmp_path, environment={**SHELL, "PATH": str(program.parent)})
    assert install("codex", machine, only_print=False, is_agreed=True) == 0
    assert mode(tmp_path / ".codex") == 0o700


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("claude", "Did you mean claude-desktop or claude-code?"),
        ("Codex-CLI", "Did you mean codex?"),
        (
            "emacs",
            "Clients are claude-desktop, claude-code, cursor, vscode, codex, gemini, copilot, windsurf, lm-studio.",
        ),
    ],
)
def test_an_unknown_client_is_refused(name: str, hint: str, tmp_path: Path) -> None:
    """With the names that are near, or all."""
    with pytest.raises(InvalidArguments, match="There is no client") as raised:
        install(name, machine_with(tmp_path), only_print=False, is_agreed=True)
    assert str(raised.value.failure.next_step).startswith(hint)
    with pytest.raises(InvalidArguments, match="There is no client"):
        uninstall(name, machine_with(tmp_path), is_agreed=True)


def test_without_a_name_the_clients_of_the_machine_are_named(tmp_path: Path) -> None:
    """And all others."""
    machine = machine_with(tmp_path)
    placed("gemini", machine, None)
    placed("lm-studio", machine, None)
    with pytest.raises(InvalidArguments, match="No client was named") as raised:
        install(None, machine, only_print=False, is_agreed=True)
    step = str(raised.value.failure.next_step)
    assert step.startswith(
        "Found on this machine: gemini, lm-studio. Run `journey-mcp install` with one of claude-desk"
    )


@pytest.mark.parametrize(
    ("client", "content", "where"),
    [
        ("cursor", '{\n  "mcpServers": {\n    "a": {}\n    "b": {}\n  }\n}', "line 4, column 5: expected a comma or }"),
        ("cursor", '{"mcpServers": []}', "mcpServers is not a list of servers by name"),
        ("vscode", '{"inputs": {}}', "line 1, column 12: expected an array"),
        ("vscode", '{"inputs": null}', "line 1, column 12: expected an array"),
        ("codex", "model = \n", "Invalid value \\(at line 1, column 9\\)"),
        ("codex", "mcp_servers = 1\n", "mcp_servers is not a list of servers by name"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused(client: str, content: str, where: str, tmp_path: Path) -> None:
    """The error says where; nothing is changed, and nothing is added beside it."""
    machine = machine_with(tmp_path)
    file = placed(client, machine, content.encode())
    with pytest.raises(SetupError, match=f"^{file} cannot be edited: {where}. Nothing was changed.$"):
        install(client, machine, only_print=False, is_agreed=True)
    assert file.read_text() == content
    assert list(file.parent.iterdir()) == [file]


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    """A server with them would not start."""
    machine = machine_with(tmp_path, environment={"JOURNEYAPI_API_KEY": "your-key"})
    placed("cursor", machine, b"{}")
    with pytest.raises(SetupError, match="JOURNEYAPI_API_KEY is a placeholder"):
        install("cursor", machine, only_print=False, is_agreed=True)


def test_there_may_be_nothing_to_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither an entry nor a file."""
    machine = machine_with(tmp_path)
    assert uninstall("cursor", machine, is_agreed=True) == 0
    placed("cursor", machine, b'{"mcpServers": {"other": {}}}')
    assert uninstall("cursor", machine, is_agreed=True) == 0
    assert capsys.readouterr().out.count("There is nothing to remove: journey is not in ") == 2


def test_a_copy_that_cannot_be_read_as_the_format_is_passed_over(tmp_path: Path) -> None:
    """The entry is removed from the file as it is."""
    machine = machine_with(tmp_path)
    file = placed("cursor", machine, b'{"mcpServers": {"journey": {"command": "journey-mcp"}}}')
    file.with_name("mcp.json.20261129-120000-000000.journey-mcp.bak").write_text("{")
    assert uninstall("cursor", machine, is_agreed=True) == 0
    assert file.read_text() == '{"mcpServers": {}}'


def test_a_link_to_the_file_stays(tmp_path: Path) -> None:
    """Its target is written, and the copy is beside the target."""
    machine = machine_with(tmp_path)
    link = placed("cursor", machine, None)
    target = tmp_path / "dotfiles" / "cursor.json"
    target.parent.mkdir()
    target.write_text("{}")
    link.symlink_to(target)
    install("cursor", machine, only_print=False, is_agreed=True)
    assert link.is_symlink()
    assert KEY in target.read_text()
    assert [path.name for path in target.parent.glob("*.bak")] == [
        path.name for path in target.parent.iterdir() if path != target
    ]
    assert list(link.parent.iterdir()) == [link]
