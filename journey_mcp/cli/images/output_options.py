"""The options of a command for its result."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What to do with the result."""

    output: str | None
    force: bool
    wait_s: float | None
    """`None`: until it is finished."""
    as_json: bool
    fresh: bool = False
    """Make a new task even if an identical request is running."""
    preview: Literal["auto", "off"] = "auto"
    opens: bool = False
    """Open the files of the images."""

    @property
    def seconds(self) -> float:
        """The longest time to wait."""
        return math.inf if self.wait_s is None else self.wait_s

    @property
    def has_preview(self) -> bool:
        """Whether images are shown, in a terminal that can."""
        return self.preview == "auto" and not self.as_json
