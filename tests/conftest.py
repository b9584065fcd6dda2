"""A guard at the door of all tests: no key of the developer's own comes in, no connection leaves this machine."""

import asyncio
import ipaddress
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings
from manual_clock import ManualLoop, count_threads
from support import Authority

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SYSTEM = Path(__file__).parent / "system"
"""Tests of real processes, which live in real time."""

_FOREIGN = ("JOURNEY", "VTRIX_", "KKIAI_", "REPLICATE_", "BFL_", "OTEL_", "SSL_CERT_")
for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    del os.environ[name]  # a developer's own key must never reach a test


# how long an example takes depends on what else the machine does
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def _refuse_the_world(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(address := arguments[1], tuple):
        host = str(address[0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"a test connects to {host}")


sys.addaudithook(_refuse_the_world)


count_threads()


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run every test in manual time, but for those of real processes."""
    return {"real": asyncio.SelectorEventLoop} if SYSTEM in item.path.parents else {"manual": ManualLoop}


# One certificate authority for all tests and their processes. Loading the machine's own takes 80 ms for every client.
_folder = tempfile.TemporaryDirectory(prefix="journey-mcp-tests-")
_AUTHORITY = Authority(trustme.CA(), Path(_folder.name) / "authority.pem")
_AUTHORITY.authority.cert_pem.write_to_path(str(_AUTHORITY.file))
os.environ["SSL_CERT_FILE"] = str(_AUTHORITY.file)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The certificate authority that the environment names."""
    return _AUTHORITY
