"""Opening files for the person, and where that is possible."""

import pytest

from journey_mcp.cli.opening import unseen_reason


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
