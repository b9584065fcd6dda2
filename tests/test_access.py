"""Connections that are refused, and files whose opening is seen."""

import os
import socket
from pathlib import Path

import pytest
from access import connections_checked_by, opened_files


def test_every_way_to_open_is_seen(tmp_path: Path) -> None:
    """A path, a part of one below a descriptor, and a descriptor; only while the block runs."""
    file = tmp_path / "file"
    with opened_files() as opened:
        file.write_text("a")
        with open(file):  # noqa: PTH123  # another function than Path's
            pass
        assert list(tmp_path.iterdir()) == [file]
        folder = os.open(tmp_path, os.O_RDONLY)
        os.close(os.open("file", os.O_RDONLY, dir_fd=folder))
        with os.scandir(folder) as entries:
            assert [entry.name for entry in entries] == ["file"]
    os.close(folder)
    file.read_text()
    assert opened == [file, file, tmp_path, tmp_path, "file", folder]


def test_other_machines_are_refused() -> None:
    """Before a packet leaves this one."""
    with socket.socket() as one:
        for connect in (one.connect, one.connect_ex):
            with pytest.raises(PermissionError, match=r"a test connects to 93\.184\.216\.34"):
                connect(("93.184.216.34", 80))
    with pytest.raises(socket.gaierror, match=r"a test looks up example\.com"):
        socket.getaddrinfo("example.com", 80)


def test_a_test_may_refuse_more() -> None:
    """Until the end of its block."""
    with socket.socket() as listening, socket.socket() as one, socket.socket() as two:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address, seen = listening.getsockname(), list[object]()
        with connections_checked_by(seen.append):
            one.connect(address)
        two.connect(address)
        assert seen == [address]
