"""The HTTP client of the sandbox, for input images and webhooks."""

import os
import ssl
from functools import cache

import httpx2


def client(*, ca_file: str | None = None, follow_redirects: bool = False) -> httpx2.AsyncClient:
    """Return a client that ignores the environment's proxies: tests use loopback.

    It trusts the certificate authorities in `ca_file`, or those in the file that the environment variable SSL_CERT_FILE
    names, or else the machine's.
    """
    return httpx2.AsyncClient(
        verify=_certificates(ca_file or os.environ.get("SSL_CERT_FILE")),
        trust_env=False,
        timeout=None,  # callers limit the whole request, not each read
        follow_redirects=follow_redirects,
    )


@cache
def _certificates(ca_file: str | None) -> ssl.SSLContext:
    # reading them takes most of the time to create a client, and each request creates one
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx2.create_ssl_context()
