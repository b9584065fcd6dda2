"""Whether a window that is opened here is seen by the person."""

from collections.abc import Mapping

REMOTE = "this is a remote session"
_REMOTE_VARIABLES = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_WITH_DESKTOP = ("darwin", "win32")
"""Systems whose sessions on this machine always have a display."""


def unseen_reason(environment: Mapping[str, str], platform: str) -> str | None:
    """Return why the person would not see a window; `None` if they would."""
    if any(environment.get(name) for name in _REMOTE_VARIABLES):
        return REMOTE
    if platform not in _WITH_DESKTOP and not any(environment.get(name) for name in _DISPLAYS):
        return "there is no display"
    return None
