"""The fixtures of all tests of real processes."""

import signal
from collections.abc import Iterator

import pytest


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
