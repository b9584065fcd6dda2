"""Everything about a sandbox that a test or a user may choose."""

import time
from dataclasses import dataclass, field

from journey_mcp.sandbox.clock import Clock
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.journeyapi_requests import JourneyApiSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One sandbox. The defaults are the documented behaviour, twenty times as fast."""

    speed: float = 20.0
    """Durations are divided by it: 1 is life-like, 0 ends every task at once and retries without waiting."""
    seed: int | None = None
    """Makes task ids, seeds and durations repeatable; None rolls them afresh."""
    clock: Clock = time.monotonic
    """Tells the time that tasks and waits go by."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong from the start. POST /sandbox/faults replaces them later."""
    blocked_word: str = "forbidden-in-sandbox"
    """A prompt that contains it is accepted, and its task fails for the content policy."""
    source_limit_bytes: int = 20_000_000
    """The largest picture that an edit takes."""
    source_timeout_s: float = 10.0
    """How long the server of that picture has; real time, not divided by speed."""
    journeyapi: JourneyApiSettings = field(default_factory=JourneyApiSettings)
    """What is particular to the imitation of JourneyAPI."""

    def __post_init__(self) -> None:
        if self.speed < 0:
            raise ValueError(f"speed is 0 or more; not {self.speed}.")

    def shortened(self, seconds: float) -> float:
        """Return how long something takes here that takes `seconds` in life."""
        return seconds / self.speed if self.speed else 0.0
