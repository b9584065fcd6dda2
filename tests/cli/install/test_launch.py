"""The command that a client starts, by the way in which this process was started."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from journey_mcp.cli.install.clients import Machine
from journey_mcp.cli.install.launch import Launch, Process, installed_from, launch_of, source_of


def program(path: Path) -> Path:
    """Make a file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine whose commands are in ~/.local/bin."""
    return Machine(system="linux", home=tmp_path, environment={"PATH": str(tmp_path / ".local" / "bin")})


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Return a process in a virtual environment."""
    prefix = tmp_path / ".venv"
    return Process(argv0="journey-mcp", executable=program(prefix / "bin" / "python"), prefix=prefix)


def test_the_command_is_found_on_the_path(machine: Machine, process: Process, tmp_path: Path) -> None:
    """As `uv tool` and pipx install it: the link stays when the environment behind it is made anew."""
    real = program(tmp_path / "tools" / "journey-mcp" / "bin" / "journey-mcp")
    link = tmp_path / ".local" / "bin" / "journey-mcp"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert launch_of(process, machine, None) == Launch(command=str(link))


def test_a_command_that_was_started_by_its_path_stays(machine: Machine, process: Process) -> None:
    """As in an environment that is not active."""
    script = program(process.executable.with_name("journey-mcp"))
    assert launch_of(replace(process, argv0=str(script)), machine, None) == Launch(command=str(script))


@pytest.mark.parametrize("name", ["journey-mcp", "journey-mcp.exe"])
def test_a_module_is_started_by_the_command_beside_python(machine: Machine, process: Process, name: str) -> None:
    """`python -m journey_mcp` has no command of its own."""
    script = program(process.executable.with_name(name))
    module = replace(process, argv0="/somewhere/journey_mcp/__main__.py")
    assert launch_of(module, machine, None) == Launch(command=str(script))


def test_without_a_command_python_starts_the_module(machine: Machine, process: Process) -> None:
    """As in an environment without scripts."""
    module = replace(process, argv0="/somewhere/journey_mcp/__main__.py")
    expected = Launch(command=str(process.executable), args=("-m", "journey_mcp"))
    assert launch_of(module, machine, None) == expected


@pytest.mark.parametrize("folder", ["archive-v0/Xb3", "environments-v2/journey-mcp-1f"])
def test_an_environment_of_uvx_is_started_by_uvx(
    machine: Machine, process: Process, tmp_path: Path, folder: str
) -> None:
    """Its own path ends with the cache; `UV` says which one runs."""
    cached = replace(process, prefix=tmp_path / ".cache" / "uv" / folder)
    program(cached.executable.with_name("journey-mcp"))
    assert launch_of(cached, machine, None).command == "uvx"
    uvx = program(tmp_path / ".local" / "bin" / "uvx")
    launch = launch_of(cached, machine, None)
    assert (launch.command, launch.args) == (str(uvx), ("journey-mcp",))
    assert "uv tool install journey-mcp" in str(launch.note)
    beside = program(tmp_path / "uv" / "uvx")
    of_uv = replace(machine, environment={**machine.environment, "UV": str(tmp_path / "uv" / "uv")})
    launch = launch_of(cached, of_uv, "git+https://example.com/journey@main")
    assert launch.command == str(beside)
    assert launch.args == ("--from", "git+https://example.com/journey@main", "journey-mcp")


@pytest.mark.parametrize(
    ("described", "source"),
    [
        (None, None),
        ({"url": "file:///home/me/journey", "dir_info": {"editable": True}}, "file:///home/me/journey"),
        (
            {"url": "https://example.com/j.git", "vcs_info": {"vcs": "git", "commit_id": "f00"}},
            "git+https://example.com/j.git@f00",
        ),
        (
            {
                "url": "https://example.com/j.git",
                "vcs_info": {"vcs": "git", "commit_id": "f00", "requested_revision": "main"},
            },
            "git+https://example.com/j.git@main",
        ),
    ],
)
def test_what_was_installed_is_installed_again(described: object, source: str | None) -> None:
    """PEP 610 describes it."""
    assert source_of(None if described is None else json.dumps(described)) == source


def test_this_package_was_installed_from_a_checkout() -> None:
    """As for all developers."""
    assert str(installed_from()).startswith("file://")
