"""Detection whether the process that holds a lease is alive."""

import subprocess
import sys

from journey_mcp.core.worker_id import is_alive, new_worker_id


def test_a_worker_id_shows_whether_its_process_is_alive() -> None:
    """On this machine; for other machines it is unknown."""
    assert is_alive(new_worker_id()) is True
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, pid, birth, _ = new_worker_id().split(":")
    assert is_alive(f"{host}:{ended.pid}:{birth}:x") is False
    assert is_alive(f"{host}:{10**30}:{birth}:x") is False
    assert is_alive("elsewhere:1:x:y") is None
    assert is_alive("gone") is None
    # after a restart of the machine or container, another process may have the same id
    assert is_alive(f"{host}:{pid}:another:x") is (sys.platform != "linux")
