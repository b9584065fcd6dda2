"""Proxies in the environment; SOCKS proxies in the form that httpx2 accepts.

Desktops and proxy programs write `socks://host:port` without a version, which httpx2 refuses.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_PREFIX = "socks://"
_ANSWERS_WITHIN_S = 2.0
_GREETING = b"\x05\x01\x00"
"""RFC 1928: version 5, one method, no authentication."""


@contextmanager
def version_named() -> Iterator[None]:
    """During the block, replace `socks://` in the environment by `socks5://` if a SOCKS5 proxy responds there.

    Connects to each of these proxies: do not call it in the event loop.
    """
    unclear = {name: value for name in _VARIABLES if (value := os.environ.get(name, "")) and _is_unclear(value)}
    os.environ.update({name: _as_socks5(value) for name, value in unclear.items() if _answers(value)})
    try:
        yield
    finally:
        os.environ.update(unclear)


def named_for(scheme: str, host: str) -> str | None:
    """Return the proxy of the environment for requests to this host, unless `NO_PROXY` names the host."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return proxy if proxy and not proxy_bypass(host) else None


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the SOCKS proxy for requests to this host, unless `NO_PROXY` names the host; `None` for other proxies."""
    proxy = named_for(scheme, host)
    if proxy is None or not proxy.lower().startswith("socks"):
        return None
    return _as_socks5(proxy) if _is_unclear(proxy) else proxy


def _is_unclear(proxy: str) -> bool:
    return proxy.lower().startswith(_PREFIX)


def _as_socks5(proxy: str) -> str:
    return f"socks5://{proxy[len(_PREFIX) :]}"


def _answers(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        with socket.create_connection((parts.hostname or "", parts.port or 1080), _ANSWERS_WITHIN_S) as connection:
            connection.sendall(_GREETING)
            return connection.recv(1) == _GREETING[:1]
    except (OSError, ValueError):
        return False
