"""Everything about a sandbox that a test or a user may choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from journey_mcp.sandbox.bfl.settings import BflSettings
from journey_mcp.sandbox.clock import Clock
from journey_mcp.sandbox.events import Observer
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.journeyapi.requests import JourneyApiSettings
from journey_mcp.sandbox.replicate.settings import KkiaiSettings, ReplicateSettings
from journey_mcp.sandbox.vtrix.settings import VtrixSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One sandbox. The defaults are the documented behaviour, twenty times as fast."""

    speed: float = 20.0
    """Durations are divided by it: 1 is life-like, 0 ends every task at once and retries without waiting."""
    seed: int | None = None
    """Makes task ids, seeds and durations repeatable; None rolls them afresh."""
    clock: Clock = anyio.current_time
    """Tells the time that tasks and waits go by."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong from the start. POST /sandbox/faults replaces them later."""
    blocked_word: str = "forbidden-in-sandbox"
    """A prompt that contains it is accepted, and its task fails for the content policy."""
    source_limit_bytes: int = 20_000_000
    """The largest picture that an edit takes, where the service states no limit of its own."""
    source_timeout_s: float = 10.0
    """How long the server of that picture has; real time, not divided by speed."""
    ca_file: str | None = None
    """Certificate authorities in PEM to trust when pictures are fetched and webhooks posted; None takes those that
    the environment variable SSL_CERT_FILE names, or the machine's."""
    observer: Observer | None = None
    """Told of every moment of every request, and waited for; under `running` only."""
    journeyapi: JourneyApiSettings = field(default_factory=JourneyApiSettings)
    """What is particular to the imitation of JourneyAPI."""
    vtrix: VtrixSettings = field(default_factory=VtrixSettings)
    """The same of Vtrix."""
    kkiai: ReplicateSettings = field(default_factory=KkiaiSettings)
    """The same of KKIAI, which speaks Replicate's language."""
    replicate: ReplicateSettings = field(default_factory=ReplicateSettings)
    """The same of Replicate itself."""
    bfl: BflSettings = field(default_factory=BflSettings)
    """The same of Black Forest Labs."""

    def __post_init__(self) -> None:
        if self.speed < 0:
            raise ValueError(f"speed is 0 or more; not {self.speed}.")

    @property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The keys that each service knows by name; none for one that accepts any."""
        return {
            "journeyapi": self.journeyapi.keys or (),
            "vtrix": self.vtrix.keys or (),
            "kkiai": self.kkiai.keys or (),
            "replicate": self.replicate.keys or (),
            "bfl": self.bfl.keys or (),
        }

    def shortened(self, seconds: float) -> float:
        """Return how long something takes here that takes `seconds` in life."""
        return seconds / self.speed if self.speed else 0.0
