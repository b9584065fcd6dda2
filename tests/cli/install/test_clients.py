"""Where the clients keep their lists of servers, on each system."""

from pathlib import Path

import pytest

from journey_mcp.cli.install.clients import CLIENTS, Machine


def machine_of(system: str, **environment: str) -> Machine:
    """Return a machine with the home folder /home/me."""
    return Machine(system=system, home=Path("/home/me"), environment=environment)


MAC = "/home/me/Library/Application Support"
ROAMING = "/home/me/AppData/Roaming"


@pytest.mark.parametrize(
    ("client", "on_mac", "on_windows", "on_linux"),
    [
        ("claude-desktop", f"{MAC}/Claude", f"{ROAMING}/Claude", "/home/me/.config/Claude"),
        ("claude-code", "/home/me", "/home/me", "/home/me"),
        ("cursor", "/home/me/.cursor", "/home/me/.cursor", "/home/me/.cursor"),
        ("vscode", f"{MAC}/Code/User", f"{ROAMING}/Code/User", "/home/me/.config/Code/User"),
        ("codex", "/home/me/.codex", "/home/me/.codex", "/home/me/.codex"),
        ("gemini", "/home/me/.gemini", "/home/me/.gemini", "/home/me/.gemini"),
        ("copilot", "/home/me/.copilot", "/home/me/.copilot", "/home/me/.copilot"),
        ("windsurf", *["/home/me/.codeium/windsurf"] * 3),
        ("lm-studio", "/home/me/.lmstudio", "/home/me/.lmstudio", "/home/me/.lmstudio"),
    ],
)
def test_each_client_has_a_folder_on_each_system(client: str, on_mac: str, on_windows: str, on_linux: str) -> None:
    """As its documents say."""
    folders = [str(CLIENTS[client].file(machine_of(system)).parent) for system in ("darwin", "win32", "linux")]
    assert folders == [on_mac, on_windows, on_linux]


def test_each_client_has_a_file() -> None:
    """Of the user: none of them is in a project."""
    assert {client.id: client.file(machine_of("linux")).name for client in CLIENTS.values()} == {
        "claude-desktop": "claude_desktop_config.json",
        "claude-code": ".claude.json",
        "cursor": "mcp.json",
        "vscode": "mcp.json",
        "codex": "config.toml",
        "gemini": "settings.json",
        "copilot": "mcp-config.json",
        "windsurf": "mcp_config.json",
        "lm-studio": "mcp.json",
    }


@pytest.mark.parametrize(
    ("client", "system", "variable", "file"),
    [
        ("claude-desktop", "win32", "APPDATA", "/x/Claude/claude_desktop_config.json"),
        ("claude-desktop", "linux", "XDG_CONFIG_HOME", "/x/Claude/claude_desktop_config.json"),
        ("claude-code", "linux", "CLAUDE_CONFIG_DIR", "/x/.claude.json"),
        ("vscode", "win32", "APPDATA", "/x/Code/User/mcp.json"),
        ("vscode", "linux", "XDG_CONFIG_HOME", "/x/Code/User/mcp.json"),
        ("vscode", "darwin", "VSCODE_APPDATA", "/x/Code/User/mcp.json"),
        ("vscode", "linux", "VSCODE_PORTABLE", "/x/user-data/User/mcp.json"),
        ("codex", "linux", "CODEX_HOME", "/x/config.toml"),
        ("gemini", "linux", "GEMINI_CLI_HOME", "/x/.gemini/settings.json"),
        ("copilot", "linux", "COPILOT_HOME", "/x/mcp-config.json"),
    ],
)
def test_a_variable_moves_the_file(client: str, system: str, variable: str, file: str) -> None:
    """As the client itself reads it."""
    assert str(CLIENTS[client].file(machine_of(system, **{variable: "/x"}))) == file


def test_the_package_of_windows_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Of several packages the one that has a file is used."""
    machine = Machine(system="win32", home=tmp_path, environment={})
    client = CLIENTS["claude-desktop"]
    folders = [
        tmp_path / "AppData/Local/Packages" / package / "LocalCache/Roaming/Claude"
        for package in ("Claude_pzs8sxrjxfjjc", "Claude_zzz")
    ]
    for folder in folders:
        folder.mkdir(parents=True)
    assert client.file(machine) == folders[0] / "claude_desktop_config.json"
    (folders[1] / "claude_desktop_config.json").write_text("{}")
    assert client.file(machine) == folders[1] / "claude_desktop_config.json"


def test_lm_studio_may_have_another_folder(tmp_path: Path) -> None:
    """An older one, or the one that its pointer names."""
    machine = Machine(system="linux", home=tmp_path, environment={})
    client = CLIENTS["lm-studio"]
    older = tmp_path / ".cache" / "lm-studio"
    older.mkdir(parents=True)
    assert client.file(machine) == older / "mcp.json"
    (tmp_path / ".lmstudio-home-pointer").write_text("/data/lm studio\n")
    assert client.file(machine) == Path("/data/lm studio/mcp.json")
