"""Windows for the person: opening files, and whether the person would see a window that is opened here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from journey_mcp.cli.terminal import console

REMOTE = "this is a remote session"
_REMOTE_VARIABLES = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_WITH_DESKTOP = ("darwin", "win32")
"""Systems whose sessions on this machine always have a display."""
_MAX_FILES = 10


def open_files(paths: Sequence[Path]) -> None:
    """Open files, each in the program that the person has for it; if that is not possible, say why."""
    try:
        problem = unseen_reason(os.environ, sys.platform) or _open(paths[:_MAX_FILES])
    except OSError as error:
        problem = str(error.strerror or error)
    if problem:
        console.info(f"Nothing is opened: {problem}.")
    elif len(paths) > _MAX_FILES:
        console.info(f"The first {_MAX_FILES} of {len(paths)} files are opened.")


def _open(paths: Sequence[Path]) -> str | None:
    """Open files; return why there is no program that does it."""
    if not paths:
        return "there is no file on this machine; save the images with -o"
    if sys.platform == "win32":
        for path in paths:
            os.startfile(path)  # noqa: S606  # the program of the person
        return None
    name = "open" if sys.platform == "darwin" else "xdg-open"
    program = shutil.which(name)
    if program is None:
        return f"{name} is not installed"
    for path in paths:
        # some programs keep the call waiting until they are closed
        subprocess.Popen(  # noqa: S603  # a path, without a shell
            [program, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def unseen_reason(environment: Mapping[str, str], platform: str) -> str | None:
    """Return why the person would not see a window; `None` if they would."""
    if any(environment.get(name) for name in _REMOTE_VARIABLES):
        return REMOTE
    if platform not in _WITH_DESKTOP and not any(environment.get(name) for name in _DISPLAYS):
        return "there is no display"
    return None
