"""The id of a worker, which holds leases: it names machine and process, so that others can see whether it lives."""

import hashlib
import os
import secrets
import socket
import sys
from pathlib import Path


def new_worker_id() -> str:
    """Return a new id for this process, different each time."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_birth(pid)}:{secrets.token_urlsafe(4)}"


def is_alive(worker_id: str) -> bool | None:
    """Return whether the process of this id runs; `None` if that cannot be seen from here."""
    host, pid, birth = _parts(worker_id)
    if host != _host() or not pid.isdecimal() or sys.platform == "win32":
        return None  # on Windows, signal 0 would end the process
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    # after a restart of the machine, or of a container, another process may have the same number
    seen = _birth(int(pid))
    return None if birth and not seen else seen == birth


def described(worker_id: str) -> str:
    """Return how a person can find this process."""
    host, pid, _ = _parts(worker_id)
    return f"process {pid}" if host == _host() else f"process {pid} of another machine or container"


def _parts(worker_id: str) -> tuple[str, str, str]:
    """Return host, process id and birth; empty where the id has none."""
    host, pid, birth, *_ = *worker_id.split(":"), "", ""
    return host, pid, birth


def _host() -> str:
    """Return a digest of this machine and of the PID namespace, which a container may have; without a colon."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()}/{namespace}".encode()).hexdigest()[:12]


def _birth(pid: int) -> str:
    """Return 8 characters that distinguish a process from later ones of its number; empty if the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        # the name, in brackets, may have blanks; the start time is the twentieth field after it
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return hashlib.sha256(f"{boot}/{started}".encode()).hexdigest()[:8]
