"""Whether calls over HTTP can be answered now, for load balancers: in a word, because everyone may ask."""

from dataclasses import dataclass
from typing import Final, Literal

import anyio

from journey_mcp.core.errors import JourneyError, StoreUnavailable
from journey_mcp.server.lifespan import Lifespan

Reason = Literal["starting", "shutting_down", "setup", "database", "no_provider"]

_ANSWER_WITHIN_S: Final = 2.0
"""How long the database may take."""
_FRESH_S: Final = 1.0
"""How long an answer serves further requests."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The answer at one moment."""

    reason: Reason | None
    """Why the server is not ready; `None` if it is."""

    @property
    def retry_after_s(self) -> int:
        """After how many seconds another answer may be expected."""
        return 1 if self.reason in {"starting", "shutting_down"} else 5


class Readiness:
    """Check of the studio and its database, at most once a second."""

    def __init__(self, lifespan: Lifespan, *, needs_provider: bool) -> None:
        """Check this one. `needs_provider`: with the built-in sandbox alone it is not ready."""
        self._lifespan = lifespan
        self._needs_provider = needs_provider
        self._checking = anyio.Lock()
        self._checked: tuple[float, Ready] | None = None

    async def check(self) -> Ready:
        """Return whether the database answers and a provider is configured.

        A provider on cooldown counts: its calls get an error that says what to do, and finished tasks can be read.
        """
        if self._lifespan.is_draining:
            return Ready("shutting_down")
        async with self._checking:
            now = anyio.current_time()
            if self._checked is None or now - self._checked[0] >= _FRESH_S:
                self._checked = (now, Ready(await self._reason()))
            return self._checked[1]

    async def _reason(self) -> Reason | None:
        studio = self._lifespan.opened_studio
        if studio is None:
            return _reason_of(self._lifespan.failure)
        if self._needs_provider and not studio.has_provider:
            return "no_provider"
        with anyio.move_on_after(_ANSWER_WITHIN_S):
            try:
                await studio.check_database()
            except StoreUnavailable:
                return "database"
            return None
        return "database"


def _reason_of(failure: JourneyError | None) -> Reason:
    if failure is None:
        return "starting"
    return "database" if isinstance(failure, StoreUnavailable) else "setup"
