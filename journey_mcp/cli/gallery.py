"""`gallery`: all images in the browser."""

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping

from journey_mcp.cli import console
from journey_mcp.gallery import page
from journey_mcp.server.transports import gallery as transport
from journey_mcp.startup import checked_settings

_REMOTE = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_WITH_DESKTOP = ("darwin", "win32")
"""Systems whose sessions on this machine always have a display."""


def gallery(port: int, *, may_open: bool) -> None:
    """Serve the gallery until Ctrl-C, and open the browser if that is possible.

    Raises:
        SetupError: a setting is invalid, or the port cannot be bound.
    """
    settings = checked_settings()
    listener, access = transport.bind(port)
    console.info("The gallery is at this address, which works once and only on this machine. Ctrl-C ends it.")
    console.result(access.url)
    reason = unopened_reason(os.environ, sys.platform) if may_open else None
    if reason is not None:
        console.info(f"No browser is opened: {reason}.")
    elif may_open:
        # some browsers keep the call waiting until they are closed
        threading.Thread(target=webbrowser.open, args=(access.url,), daemon=True).start()
    transport.serve(settings, listener, access, page())


def unopened_reason(environment: Mapping[str, str], platform: str) -> str | None:
    """Return why no browser can be opened where a person sees it; `None` if one can."""
    if any(environment.get(name) for name in _REMOTE):
        return "this is a remote session; forward the port, as in ssh -L PORT:127.0.0.1:PORT HOST, and open the address"
    if platform not in _WITH_DESKTOP and not any(environment.get(name) for name in _DISPLAYS):
        return "there is no display"
    return None
