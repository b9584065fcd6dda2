"""The limit of open file descriptors: a request that its provider holds open takes one until it ends."""

from contextlib import suppress

_MOST = 10_240
"""The maximum on macOS. So many calls at once reach another limit first."""


def raise_limit() -> None:
    """Raise the soft limit as far as the system allows; the default is 1,024, or 256 on macOS."""
    try:
        import resource  # noqa: PLC0415  # Windows has no such limit, and no such module
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # then the limit stays as it was
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """Raise the soft limit, and return it."""
    raise_limit()
    try:
        import resource  # noqa: PLC0415  # as above
    except ImportError:
        return _MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)
