"""Opening files for the person, and where that is possible."""

import sys
from pathlib import Path

import pytest

from cli.command import CommandLine
from journey_mcp.cli.terminal.opening import unseen_reason
from journey_mcp.sandbox import Running

pytestmark = pytest.mark.skipif(sys.platform in {"darwin", "win32"}, reason="other programs open files here")
HERE = {"DISPLAY": ":0", "SSH_CONNECTION": "", "SSH_CLIENT": "", "SSH_TTY": ""}


@pytest.mark.parametrize(
    ("environment", "platform", "words"),
    [
        ({"DISPLAY": ":0"}, "linux", None),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", None),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "linux", "this is a remote session"),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", "this is a remote session"),
        ({}, "linux", "there is no display"),
        ({"DISPLAY": ""}, "freebsd14", "there is no display"),
        ({}, "darwin", None),
        ({}, "win32", None),
    ],
)
def test_a_window_is_seen_where_the_person_is(environment: dict[str, str], platform: str, words: str | None) -> None:
    """Not on a machine that the person uses from another one, and not without a display."""
    assert unseen_reason(environment, platform) == words


async def test_without_a_program_the_images_are_there_all_the_same(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """A missing program is a note."""
    done = await journey.at(sandbox, **HERE, PATH="").run(
        *("imagine", "a boat", "--model", "z-image", "--open", "-o", str(tmp_path / "a.jpg"))
    )
    assert (done.code, (tmp_path / "a.jpg").is_file()) == (0, True)
    assert done.err.endswith("Nothing is opened: xdg-open is not installed.\n")


async def test_nothing_is_opened_in_a_remote_session(journey: CommandLine, sandbox: Running) -> None:
    """Nor tried."""
    done = (
        await journey.at(sandbox, **HERE)
        .given(SSH_TTY="/dev/pts/3")
        .run(*("imagine", "a boat", "--model", "z-image", "--open", "--json"))
    )
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert done.err.endswith("Nothing is opened: this is a remote session.\n")


async def test_without_a_file_there_is_nothing_to_open(journey: CommandLine, sandbox: Running) -> None:
    """Links are not opened: they are printed."""
    done = await journey.at(sandbox, **HERE, JOURNEY_MCP_KEEP_IMAGES="off").run(
        *("imagine", "a boat", "--model", "z-image", "--open")
    )
    assert done.code == 0
    assert "Nothing is opened: there is no file on this machine; save the images with -o.\n" in done.err


async def test_a_program_that_cannot_be_started_is_a_note(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """With the reason of the system."""
    program = tmp_path / "xdg-open"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    done = await journey.at(sandbox, **HERE, PATH=str(tmp_path)).run(
        *("imagine", "a boat", "--model", "z-image", "--open")
    )
    assert done.code == 0
    assert "Nothing is opened: Exec format error.\n" in done.err
