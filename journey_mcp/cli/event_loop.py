"""The event loop of a command, which starts once the command's modules are imported."""

import gc
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio

_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")


def run(work: Callable[[*_Given], Awaitable[_Result]], *given: *_Given) -> _Result:
    """Run asynchronous work, and turn the garbage collector on, which is off while modules are imported."""
    gc.freeze()  # what was imported stays for the life of the process: the collector need never look at it
    gc.enable()
    return anyio.run(work, *given)
