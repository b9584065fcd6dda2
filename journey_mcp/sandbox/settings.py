"""The settings of a sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from journey_mcp.sandbox.bfl.settings import BflSettings
from journey_mcp.sandbox.clock import Clock
from journey_mcp.sandbox.events import Observer
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.journeyapi.requests import JourneyApiSettings
from journey_mcp.sandbox.render_specs import FINENESS
from journey_mcp.sandbox.replicate.settings import KkiaiSettings, ReplicateSettings
from journey_mcp.sandbox.vtrix.settings import VtrixSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one sandbox. The defaults are the documented behaviour, twenty times as fast."""

    speed: float = 20.0
    """Durations are divided by it: 1 is real speed, 0 ends every task at once and retries without waiting."""
    seed: int | None = None
    """Makes task ids, seeds and durations repeatable; None makes them random."""
    clock: Clock = anyio.current_time
    """The clock of tasks and waits."""
    faults: tuple[Fault, ...] = ()
    """The faults at the start. POST /sandbox/faults replaces them later."""
    fineness: float = FINENESS
    """Images are drawn larger by this factor and scaled down, which smooths their edges. A tenth is coarse, and takes a
    fifth of the time."""
    blocked_word: str = "forbidden-in-sandbox"
    """A prompt that contains it is accepted, and its task fails with a content policy violation."""
    source_limit_bytes: int = 20_000_000
    """The largest input image, unless the service states a limit."""
    source_timeout_s: float = 10.0
    """The time limit for downloading an input image; not divided by speed."""
    ca_file: str | None = None
    """A PEM file of certificate authorities to trust for input images and webhooks; None uses those that the
    environment variable SSL_CERT_FILE names, or the machine's."""
    observer: Observer | None = None
    """Receives every event of every request; the sandbox waits for it. Under `running` only."""
    journeyapi: JourneyApiSettings = field(default_factory=JourneyApiSettings)
    """The settings of the fake JourneyAPI."""
    vtrix: VtrixSettings = field(default_factory=VtrixSettings)
    """The settings of the fake Vtrix."""
    kkiai: ReplicateSettings = field(default_factory=KkiaiSettings)
    """The settings of the fake KKIAI, which has Replicate's protocol."""
    replicate: ReplicateSettings = field(default_factory=ReplicateSettings)
    """The settings of the fake Replicate."""
    bfl: BflSettings = field(default_factory=BflSettings)
    """The settings of the fake Black Forest Labs."""

    def __post_init__(self) -> None:
        if self.speed < 0:
            raise ValueError(f"speed is 0 or more; not {self.speed}.")
        if self.fineness <= 0:
            raise ValueError(f"fineness is more than 0; not {self.fineness}.")

    @property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The accepted keys of each service; empty for one that accepts any."""
        return {
            "journeyapi": self.journeyapi.keys or (),
            "vtrix": self.vtrix.keys or (),
            "kkiai": self.kkiai.keys or (),
            "replicate": self.replicate.keys or (),
            "bfl": self.bfl.keys or (),
        }

    def shortened(self, seconds: float) -> float:
        """Return the sandbox's duration for a real duration of `seconds`."""
        return seconds / self.speed if self.speed else 0.0
