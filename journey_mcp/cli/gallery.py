"""`gallery`: all images in the browser."""

import os
import sys
import threading
import webbrowser

from journey_mcp.cli.terminal import console
from journey_mcp.cli.terminal.opening import REMOTE, unseen_reason
from journey_mcp.gallery import page
from journey_mcp.server.transports import gallery as transport
from journey_mcp.startup import checked_settings

_FORWARD = "; forward the port, as in ssh -L PORT:127.0.0.1:PORT HOST, and open the address"


def gallery(port: int, *, may_open: bool) -> None:
    """Serve the gallery until Ctrl-C, and open the browser if that is possible.

    Raises:
        SetupError: a setting is invalid, or the port cannot be bound.
    """
    settings = checked_settings()
    listener, access = transport.bind(port)
    console.info("The gallery is at this address, which works once and only on this machine. Ctrl-C ends it.")
    console.result(access.url)
    reason = unseen_reason(os.environ, sys.platform) if may_open else None
    if reason is not None:
        console.info(f"No browser is opened: {reason}{_FORWARD if reason == REMOTE else ''}.")
    elif may_open:
        # some browsers keep the call waiting until they are closed
        threading.Thread(target=webbrowser.open, args=(access.url,), daemon=True).start()
    transport.serve(settings, listener, access, page())
