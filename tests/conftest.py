"""Isolation of all tests: no key of the developer is visible, and no connection leaves this machine."""

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from manual_clock import ManualLoop, count_threads
from support import Authority, check_each_schema_once, isolate

# until all tests are collected there is next to no garbage, and much to scan
gc.disable()

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SYSTEM = Path(__file__).parent / "system"
"""Tests of real processes, which run in real time."""
MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one, as on Linux."""
ENOUGH_BYTES = 1 << 30
"""Containers often have a small one."""

# the duration of an example depends on the load of the machine
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("tests"), max_examples=30)
settings.load_profile("tests")

count_threads()
check_each_schema_once()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of real processes first: some of them wait for a minute, while others use the processors."""
    items.sort(key=lambda item: SYSTEM not in item.path.parents)


def pytest_collection_finish() -> None:
    """Collect garbage from now on, and never scan modules and tests again."""
    gc.freeze()
    gc.enable()


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run every test in manual time, except those of real processes."""
    return {"real": asyncio.SelectorEventLoop} if SYSTEM in item.path.parents else {"manual": ManualLoop}


_folder = tempfile.TemporaryDirectory(prefix="journey-mcp-tests-")
_AUTHORITY = isolate(Path(_folder.name))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Return the certificate authority that the environment names."""
    return _AUTHORITY


def _is_memory_usable() -> bool:
    return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a new folder, in memory if possible: on a disk, tests wait for it half of a minute in all.

    Tests of real processes get a folder on the disk, which remains after a failure. So do those that are marked
    `on_disk`: no file below /dev is given to a provider.
    """
    if SYSTEM in request.path.parents or request.node.get_closest_marker("on_disk") or not _is_memory_usable():
        yield request.getfixturevalue("tmp_path")
    else:
        with tempfile.TemporaryDirectory(prefix="journey-mcp-", dir=MEMORY, ignore_cleanup_errors=True) as name:
            yield Path(name)
