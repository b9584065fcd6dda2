"""When `gallery` opens a browser."""

import pytest

from cli.command import CommandLine
from journey_mcp.cli.gallery import unopened_reason


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
def test_a_browser_is_opened_where_the_person_is(environment: dict[str, str], platform: str, words: str | None) -> None:
    """Not on a machine that the person uses from another one, and not without a display."""
    reason = unopened_reason(environment, platform)
    assert (reason is None) if words is None else (reason is not None and reason.startswith(words))


@pytest.mark.parametrize(
    ("variable", "value"), [("JOURNEY_MCP_WAIT_S", "soon"), ("JOURNEY_MCP_DEFAULT_MODEL", "nobody")]
)
async def test_an_invalid_setting_ends_the_command(journey: CommandLine, variable: str, value: str) -> None:
    """Before anything is served."""
    done = await journey.given(**{variable: value}).run("gallery", "--no-open")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"journey-mcp: {variable}={value!r}")


async def test_an_invalid_port_is_rejected(journey: CommandLine) -> None:
    """By name."""
    done = await journey.run("gallery", "--port", "70000")
    assert done.code == 2
    assert "--port" in done.err
