"""A tenth of the idle connections of `python -m attack.idle_connections`."""

from pathlib import Path

import pytest
from attack.idle_connections import MOST_MIB, attack


@pytest.mark.parametrize("files", [None, 1024])
async def test_idle_connections_do_not_block_genuine_requests(tmp_path: Path, files: int | None) -> None:
    """A thousand at each port, within the limit of open files and far above it."""
    figures = await attack(1000, tmp_path, tasks=5, files=files)
    assert figures.by_webhook == 5
    assert figures.most_mib - figures.idle_mib <= MOST_MIB
    if files is not None:
        assert figures.most_files < files * 0.75
    # its addresses, and at most that it has no file descriptor left
    assert figures.log.count("\n") <= 3, figures.log
