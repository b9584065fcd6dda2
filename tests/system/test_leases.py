"""Whether the process that holds a lease lives."""

import subprocess
import sys

from journey_mcp.core.worker_id import is_alive, new_worker_id


def test_a_name_tells_whether_its_process_lives() -> None:
    """Here; of other machines nothing is known."""
    assert is_alive(new_worker_id()) is True
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, pid, birth, _ = new_worker_id().split(":")
    assert is_alive(f"{host}:{ended.pid}:{birth}:x") is False
    assert is_alive(f"{host}:{10**30}:{birth}:x") is False
    assert is_alive("elsewhere:1:x:y") is None
    assert is_alive("gone") is None
    # after a restart of the machine, or of a container, another process has the number
    assert is_alive(f"{host}:{pid}:another:x") is (sys.platform != "linux")
