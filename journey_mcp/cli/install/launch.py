"""The command that starts this server, with its full path: desktop programs do not have the `PATH` of a shell."""

import re
from dataclasses import dataclass
from importlib import metadata
from json import loads
from pathlib import Path

from journey_mcp.cli.install.clients import Machine

_PACKAGE = "journey-mcp"
_CACHED = re.compile(r"(?:archive|environments|builds)-v\d+")
"""Folders of uv's cache with environments that `uvx` makes; `uv cache clean` removes them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """How this process was started."""

    argv0: str
    executable: Path
    """The Python that runs."""
    prefix: Path
    """The environment that it runs in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A command and its arguments."""

    command: str
    args: tuple[str, ...] = ()
    note: str | None = None
    """What the person should know about it."""


def launch_of(process: Process, machine: Machine, source: str | None) -> Launch:
    """Return the command with its full path. `source` is what was installed, if not the package of the index."""
    if any(_CACHED.fullmatch(folder.name) for folder in process.prefix.parents):
        return _with_uvx(machine, source)
    script = machine.which(process.argv0)
    if script is not None and Path(script).stem == _PACKAGE:
        return Launch(command=str(Path(script).absolute()))
    scripts = (process.executable.with_name(_PACKAGE), process.executable.with_name(f"{_PACKAGE}.exe"))
    if script := next((str(path) for path in scripts if path.exists()), None):
        return Launch(command=script)
    return Launch(command=str(process.executable), args=("-m", "journey_mcp"))


def _with_uvx(machine: Machine, source: str | None) -> Launch:
    """Return the command for an environment that `uvx` made and may remove."""
    beside = Path(machine.environment["UV"]).with_name("uvx") if machine.environment.get("UV") else "uvx"
    uvx = machine.which(str(beside)) or machine.which("uvx")
    return Launch(
        command=str(Path(uvx).absolute()) if uvx else "uvx",
        args=(_PACKAGE,) if source is None else ("--from", source, _PACKAGE),
        note="`uvx` starts it, because this command runs from uv's cache, which may be cleaned. "
        "`uv tool install journey-mcp`, and this command again, starts faster.",
    )


def source_of(direct_url: str | None) -> str | None:
    """Return what to install instead of the package of the index, by `direct_url.json` of PEP 610."""
    if direct_url is None:
        return None
    described = loads(direct_url)
    if vcs := described.get("vcs_info"):
        return f"{vcs['vcs']}+{described['url']}@{vcs.get('requested_revision') or vcs['commit_id']}"
    return str(described["url"])


def installed_from() -> str | None:
    """Return what this package was installed from; `None` if from the index."""
    return source_of(metadata.distribution(_PACKAGE).read_text("direct_url.json"))
