"""`/metrics`: the metrics of this process and the totals of its database, for operators only."""

import logging

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from journey_mcp.auth.identity import ADMIN, Identity
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.totals import Totals
from journey_mcp.server.lifespan import Lifespan

_NOT_STORED = {"cache-control": "no-store"}
_log = logging.getLogger(__name__)


class MetricsEndpoint:
    """An ASGI application behind authentication: it responds to callers with the scope `admin`."""

    def __init__(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the metrics in the format of Prometheus."""
        identity: Identity = scope["state"]["identity"]
        response = (
            await self._metrics() if identity.allows(ADMIN) else _error(403, f"The token lacks the scope {ADMIN}.")
        )
        await response(scope, receive, send)

    async def _metrics(self) -> Response:
        exporters = self._lifespan.exporters
        if exporters is None:
            return _error(404, "Metrics need the extra telemetry: pip install 'journey-mcp[telemetry]'.")
        return Response(exporters.text(await self._totals()), media_type=exporters.content_type, headers=_NOT_STORED)

    async def _totals(self) -> Totals | None:
        """Return the totals; `None` if the database does not answer."""
        studio = self._lifespan.opened_studio
        try:
            return await studio.totals() if studio is not None else None
        except StoreUnavailable as error:
            _log.warning("the totals cannot be read: %s", error)
            return None


def _error(status: int, problem: str) -> Response:
    return JSONResponse({"error": problem}, status, headers=_NOT_STORED)
