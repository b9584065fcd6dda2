"""The fixtures of all tests of real processes."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from postgres import Server, programs, running_server
from replicas import proxy


@pytest.fixture(scope="session", autouse=True)
def _children_receive_ctrl_c() -> Iterator[None]:
    """Let child processes receive SIGINT even if the shell that started pytest ignores it, as `nohup` does.

    A child inherits that a signal is ignored, but not that it is handled.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if is_ignored:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
    yield
    if is_ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _require(find: Callable[[], object]) -> None:
    """Skip the test on a developer's machine if something is not installed."""
    try:
        find()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """Run the newest PostgreSQL, which tests may restart."""
    _require(lambda: programs("wheel"))
    with running_server("wheel") as started:
        yield started


@pytest.fixture(scope="session")
def haproxy() -> None:
    """Require haproxy."""
    _require(proxy.program)
