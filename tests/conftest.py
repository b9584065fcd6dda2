"""A guard at the door of all tests: no key of the developer's own comes in, no connection leaves this machine."""

import ipaddress
import os
import sys
from typing import Any

for name in [name for name in os.environ if name.startswith(("JOURNEY", "OTEL_"))]:
    del os.environ[name]  # a developer's own key must never reach a test


def _refuse_the_world(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(address := arguments[1], tuple):
        host = str(address[0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"a test connects to {host}")


sys.addaudithook(_refuse_the_world)
