"""Trusted certificate authorities: those of SSL_CERT_FILE or SSL_CERT_DIR, else the system's."""

import os
import threading
from contextlib import suppress
from functools import lru_cache
from ssl import SSLContext

import httpx2

_reading = threading.Lock()


def context() -> SSLContext:
    """Return the context that verifies servers; the first call of a process blocks while it reads the authorities.

    Raises:
        OSError: a file or folder in the environment cannot be read.
    """
    with _reading:
        return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def read_ahead() -> None:
    """Read the authorities in another thread. OpenSSL does not need the interpreter, so imports are not delayed."""
    threading.Thread(target=_try, name="certificates", daemon=True).start()


def _try() -> None:
    with suppress(OSError):  # the error is raised again when they are needed
        context()


@lru_cache(maxsize=1)
def _read(_file: str | None, _folder: str | None) -> SSLContext:
    return httpx2.create_ssl_context()
