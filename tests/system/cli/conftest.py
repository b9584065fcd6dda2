"""The fixtures of the command line, for its tests as a process."""

from cli.conftest import journey, sandbox

__all__ = ["journey", "sandbox"]
