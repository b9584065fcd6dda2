"""PostgreSQL's advisory locks: names that one transaction of all processes has at a time."""

import hashlib
from collections.abc import Collection


def lock_statements(names: Collection[str]) -> str:
    """Return statements by which a transaction waits for these locks, which it keeps until its end.

    They are statements before the one that counts: a statement that takes a lock itself has seen the rows before it got
    the lock. The order is the same in every process, so that two never wait for each other.
    """
    return "; ".join(f"SELECT pg_advisory_xact_lock({_key(name)})" for name in sorted(set(names)))


def _key(name: str) -> int:
    digest = hashlib.sha256(f"journey-mcp:{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
