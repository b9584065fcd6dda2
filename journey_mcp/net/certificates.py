"""The certificate authorities that count: those of SSL_CERT_FILE or SSL_CERT_DIR, else the system's."""

import os
import threading
from contextlib import suppress
from functools import lru_cache
from ssl import SSLContext

import httpx2

_reading = threading.Lock()


def context() -> SSLContext:
    """Return what connections verify servers with; blocks while the authorities are read, once per process.

    Raises:
        OSError: a file or folder that the environment names cannot be read.
    """
    with _reading:
        return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def read_ahead() -> None:
    """Read them in another thread, where it costs the imports of this one nothing: OpenSSL needs no interpreter."""
    threading.Thread(target=_try, name="certificates", daemon=True).start()


def _try() -> None:
    with suppress(OSError):  # raised again to those who need them
        context()


@lru_cache(maxsize=1)
def _read(_file: str | None, _folder: str | None) -> SSLContext:
    return httpx2.create_ssl_context()
