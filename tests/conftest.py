"""A guard at the door of all tests: no key of the developer's own comes in, no connection leaves this machine."""

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings
from support import Authority

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


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the environment names."""
    made = Authority(trustme.CA(), tmp_path / "authority.pem")
    made.authority.cert_pem.write_to_path(str(made.file))
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made
