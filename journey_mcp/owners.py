"""Who holds a task: a name that tells machine and process, so that others can see whether it lives."""

import os
import secrets
import socket
import sys


def new_owner() -> str:
    """A name for this process, different each time."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_urlsafe(6)}"


def is_alive(owner: str) -> bool | None:
    """Whether the process of this name runs; `None` when that cannot be seen from here."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname()[:60] or not rest.isdecimal() or sys.platform == "win32":
        return None  # on Windows, asking with signal 0 would end the process
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
