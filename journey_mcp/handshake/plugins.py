"""Whether packages are installed that add providers: the record has no tools with their models.

The installed packages are searched as `importlib.metadata` does, whose import takes longer than the first answer.
"""

# ruff: noqa: PTH123, PTH208  # as said above: pathlib takes longer as well

from __future__ import annotations

import os
import sys
from functools import cache

GROUP = "journey_mcp.providers"
"""The group of the entry points of such packages."""


def has_plugins() -> bool:
    """Return whether an installed package has an entry point in the group."""
    return _found(tuple(sys.path))


@cache
def _found(folders: tuple[str, ...]) -> bool:
    section = f"[{GROUP}]".encode()
    return any(section in text for folder in folders for text in _entry_points(folder))


def _entry_points(folder: str) -> list[bytes]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    found = []
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            try:
                with open(f"{folder or '.'}/{name}/entry_points.txt", "rb") as file:
                    found.append(file.read())
            except OSError:  # most packages have none
                continue
    return found
