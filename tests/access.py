"""What this process connects to and which files it opens: refused, or collected by a test.

No hook of `sys.addaudithook` does this. While CPython 3.11 calls one because a thread begins to be traced, no other
thread can: it dies before its first call, and who waits for it waits forever. Coverage traces every thread.
"""

import builtins
import io
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

_Check = Callable[[Any], None]

_checks: list[_Check] = []
"""What may refuse an address to which a socket connects."""


def refuse_other_machines() -> None:
    """Refuse connections to other machines; find no name, at once: a machine without a network asks for seconds."""
    _checks.append(_refuse_other_machine)
    connect, connect_ex, find = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        _check(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        _check(address)
        return connect_ex(self, address)

    def find_no_name(host: Any, *arguments: Any, **more: Any) -> Any:
        if _is_name(host):
            raise socket.gaierror(socket.EAI_NONAME, f"a test looks up {host}")
        return find(host, *arguments, **more)

    socket.socket.connect = checked_connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = checked_connect_ex  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = find_no_name


@contextmanager
def connections_checked_by(check: _Check) -> Iterator[None]:
    """Call `check` with each address to which this process connects; it raises an error to refuse one."""
    _checks.append(check)
    try:
        yield
    finally:
        _checks.remove(check)


@contextmanager
def opened_files() -> Iterator[list[Any]]:
    """Collect which files and folders this process opens, and which folders it lists, by path or descriptor."""
    opened: list[Any] = []

    def noting(function: Any) -> Any:
        def call(path: Any = ".", *arguments: Any, **more: Any) -> Any:
            opened.append(path)
            return function(path, *arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "listdir"), (os, "scandir")):
            patch.setattr(module, name, noting(getattr(module, name)))
        patch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, os.open})
        patch.setattr(os, "supports_fd", {*os.supports_fd, os.listdir, os.scandir})
        yield opened


def _check(address: Any) -> None:
    for check in _checks:
        check(address)


def _refuse_other_machine(address: Any) -> None:
    if isinstance(address, tuple) and not _is_here(str(address[0])):
        raise PermissionError(f"a test connects to {address[0]}")


def _is_here(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _is_name(host: object) -> bool:
    """Return whether only a name server knows this host."""
    text = host.decode() if isinstance(host, bytes) else str(host)
    with suppress(ValueError):
        ipaddress.ip_address(text)
        return False
    with suppress(OSError):  # an address in a notation of old
        socket.inet_aton(text)
        return False
    return host is not None and text != "localhost"
