"""What `make conformance` checks besides the official suite: each check is counted and printed."""

import sys


class Checks:
    """The checks of one era."""

    def __init__(self, era: str) -> None:
        self._era = era
        self.passed = self.failed = 0

    def check(self, what: str, *, holds: bool) -> None:
        """Count and print a check."""
        self.passed, self.failed = self.passed + holds, self.failed + (not holds)
        sys.stdout.write(f"  {self._era}: {what}{'' if holds else ': FAILED'}\n")
        sys.stdout.flush()
