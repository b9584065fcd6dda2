"""Ports of this machine that tests may use."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """Return a port that was free a moment ago, outside the range of ports that systems assign."""
    while True:
        # not from the seeded generator: parallel tests would get the same port
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
