"""The clients: where each keeps its list of servers, how an entry looks there, and what to do afterwards.

The sources are the documents of the clients and what their own commands write; docs/install.md has the versions.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journey_mcp.cli.install.editing import Format

SERVER = "journey"
"""The name of the entry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where files are: the system, the folder of the user, and the environment that may move them."""

    system: str
    """As `sys.platform`: `darwin`, `win32`, otherwise a system with the folders of Linux."""
    home: Path
    environment: Mapping[str, str]

    def folder(self, variable: str, default: Path) -> Path:
        """Return the folder that a variable names, if it is set."""
        return Path(self.environment.get(variable) or default)

    def which(self, program: str) -> str | None:
        """Return the path of a command; a path to one is returned if it can be run."""
        return shutil.which(program, path=self.environment.get("PATH", ""))

    @property
    def app_data(self) -> Path:
        """The folder in which desktop programs keep their settings."""
        if self.system == "darwin":
            return self.home / "Library" / "Application Support"
        if self.system == "win32":
            return self.folder("APPDATA", self.home / "AppData" / "Roaming")
        return self.folder("XDG_CONFIG_HOME", self.home / ".config")


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A client whose configuration file belongs to the user, never to a project."""

    id: str
    title: str
    file: Callable[[Machine], Path]
    restart: str
    """What makes it read the file."""
    variables: tuple[str, ...] = ()
    """The variables of the environment that move the file, for the documents."""
    program: str | None = None
    """Its command: if there is one, the client is there, even before it made its folder."""
    form: Format = "json"
    servers: str = "mcpServers"
    """The member that has the servers by name."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What an entry has besides `command`, `args` and `env`."""
    has_inputs: bool = False
    """It asks the person for secrets and keeps them itself: the file only refers to them, by `inputs`."""

    @property
    def path(self) -> tuple[str, str]:
        """Where the entry is in the file."""
        return self.servers, SERVER

    def is_found(self, machine: Machine) -> bool:
        """Return whether the client is on this machine: by its folder, its file or its command."""
        file = self.file(machine)
        is_here = file.exists() if file.parent == machine.home else file.parent.is_dir()
        return is_here or (self.program is not None and machine.which(self.program) is not None)


def _claude_desktop(machine: Machine) -> Path:
    """Return its file: a package of Windows reads a copy of `%APPDATA%` (anthropics/claude-code#26073)."""
    name = Path("Claude") / "claude_desktop_config.json"
    if machine.system == "win32":
        local = machine.folder("LOCALAPPDATA", machine.home / "AppData" / "Local")
        packages = sorted(local.glob("Packages/Claude_*/LocalCache/Roaming/Claude"))
        files = [folder / name.name for folder in packages]
        if files:
            return next((file for file in files if file.exists()), files[0])
    return machine.app_data / name


def _vs_code(machine: Machine) -> Path:
    """Return the file of the default profile, as VS Code itself finds its folder of the user."""
    if portable := machine.environment.get("VSCODE_PORTABLE"):
        return Path(portable) / "user-data" / "User" / "mcp.json"
    return machine.folder("VSCODE_APPDATA", machine.app_data) / "Code" / "User" / "mcp.json"


def _lm_studio(machine: Machine) -> Path:
    """Return its file, in the folder that a pointer names, as `lms` finds it (lmstudio-ai/lmstudio.js)."""
    try:
        pointed = (machine.home / ".lmstudio-home-pointer").read_text("utf-8").strip()
    except (OSError, UnicodeError):
        pointed = ""
    older = machine.home / ".cache" / "lm-studio"
    return (Path(pointed) if pointed else older if older.is_dir() else machine.home / ".lmstudio") / "mcp.json"


CLIENTS = {
    client.id: client
    for client in (
        Client(
            id="claude-desktop",
            title="Claude Desktop",
            file=_claude_desktop,
            restart="Quit Claude Desktop completely and open it again.",
        ),
        Client(
            id="claude-code",
            title="Claude Code",
            program="claude",
            file=lambda machine: machine.folder("CLAUDE_CONFIG_DIR", machine.home) / ".claude.json",
            fixed={"type": "stdio"},
            variables=("CLAUDE_CONFIG_DIR",),
            restart="Start Claude Code again; /mcp shows whether the server runs.",
        ),
        Client(
            id="cursor",
            title="Cursor",
            program="cursor",
            file=lambda machine: machine.home / ".cursor" / "mcp.json",
            restart="Quit Cursor completely and open it again.",
        ),
        Client(
            id="vscode",
            title="VS Code",
            program="code",
            file=_vs_code,
            servers="servers",
            fixed={"type": "stdio"},
            has_inputs=True,
            variables=(
                "VSCODE_APPDATA",
                "VSCODE_PORTABLE",
            ),
            restart="Quit VS Code and open it again.",
        ),
        Client(
            id="codex",
            title="Codex",
            program="codex",
            file=lambda machine: machine.folder("CODEX_HOME", machine.home / ".codex") / "config.toml",
            form="toml",
            servers="mcp_servers",
            fixed={"required": True},  # else the first turn does not wait until the server is up
            variables=("CODEX_HOME",),
            restart="Start Codex again.",
        ),
        Client(
            id="gemini",
            title="Gemini CLI",
            program="gemini",
            file=lambda machine: machine.folder("GEMINI_CLI_HOME", machine.home) / ".gemini" / "settings.json",
            variables=("GEMINI_CLI_HOME",),
            restart="Start Gemini CLI again, in a folder that you trust there.",
        ),
        Client(
            id="copilot",
            title="Copilot CLI",
            program="copilot",
            file=lambda machine: machine.folder("COPILOT_HOME", machine.home / ".copilot") / "mcp-config.json",
            fixed={"type": "local", "tools": ["*"]},
            variables=("COPILOT_HOME",),
            restart="Start Copilot CLI again.",
        ),
        Client(
            id="windsurf",
            title="Windsurf",
            program="windsurf",
            file=lambda machine: machine.home / ".codeium" / "windsurf" / "mcp_config.json",
            restart="Quit Windsurf completely and open it again.",
        ),
        Client(
            id="lm-studio",
            title="LM Studio",
            file=_lm_studio,
            restart="Quit LM Studio completely and open it again.",
        ),
    )
}
