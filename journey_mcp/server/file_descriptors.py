"""How many files the process may have open: a call that its provider holds open takes one for as long as it lasts."""

from contextlib import suppress

_MOST = 10_240
"""What macOS takes at the most; more calls at once than that need another limit before."""


def allow_many() -> None:
    """Let the process have as many as the system grants without asking; by default that is 1,024, or 256 on macOS."""
    try:
        import resource  # noqa: PLC0415  # Windows has no such limit, and no such module
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # then it stays as it was
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most() -> int:
    """How many it may have, after `allow_many`."""
    allow_many()
    try:
        import resource  # noqa: PLC0415  # as above
    except ImportError:
        return _MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)
