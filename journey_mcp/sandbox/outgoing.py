"""The sandbox's own HTTP requests: to pictures it edits and to receivers of webhooks."""

import ssl
from functools import cache

import httpx2


def client(*, follow_redirects: bool = False) -> httpx2.AsyncClient:
    """Return a client that ignores proxies of the environment: tests talk to loopback."""
    return httpx2.AsyncClient(
        verify=_certificates(),
        trust_env=False,
        timeout=None,  # callers bound the whole exchange, not each read
        follow_redirects=follow_redirects,
    )


@cache
def _certificates() -> ssl.SSLContext:
    # reading them takes most of a client's making, and clients are made per request
    return httpx2.create_ssl_context()
