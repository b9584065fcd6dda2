"""The state of a running sandbox, common to all services."""

import random
import uuid
from collections.abc import Iterable

from journey_mcp.sandbox.dates import Calendar
from journey_mcp.sandbox.faults import Fault, FaultPlan
from journey_mcp.sandbox.hosted import HostedImages
from journey_mcp.sandbox.image_cache import ImageCache
from journey_mcp.sandbox.request_log import RequestLog
from journey_mcp.sandbox.settings import Settings
from journey_mcp.sandbox.sources import Source, load_source
from journey_mcp.sandbox.tasks import Tasks
from journey_mcp.sandbox.webhooks import Deliveries


class Sandbox:
    """The state that all fake services of one sandbox share."""

    def __init__(self, settings: Settings, endpoints: Iterable[str]) -> None:
        self.settings = settings
        self.calendar = Calendar(settings.clock)
        self.request_log = RequestLog(endpoints)
        self.faults = FaultPlan(settings.faults)
        self.tasks = Tasks()
        self.image_cache = ImageCache(fineness=settings.fineness)
        self.hosted = HostedImages()
        self.deliveries = Deliveries(
            clock=settings.clock,
            speed=settings.speed,
            request_log=self.request_log,
            ca_file=settings.ca_file,
            observer=settings.observer,
        )
        self.rng = random.Random(settings.seed)  # noqa: S311 - ids distinguish tasks and protect nothing

    def now(self) -> float:
        """Return the time by the sandbox's clock."""
        return self.settings.clock()

    def new_id(self) -> str:
        """Return a UUID that was not used before."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    async def load_source(self, image: str, *, limit_bytes: int | None = None) -> Source:
        """Return the image at a URL or in base64. Raises SourceError.

        `limit_bytes` is the service's limit; None uses the sandbox's.
        """
        return await load_source(
            image,
            limit_bytes=limit_bytes or self.settings.source_limit_bytes,
            timeout_s=self.settings.source_timeout_s,
            ca_file=self.settings.ca_file,
        )

    def receive(self, endpoint: str, on: str, *, is_keyed: bool = False) -> tuple[Fault, ...]:
        """Count a request and return the faults that affect it."""
        self.request_log.count(endpoint, is_keyed=is_keyed)
        return self.faults.take(on)
