"""Recording what this process does: the log of calls always, metrics and traces where they are wanted."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from journey_mcp.core import telemetry
from journey_mcp.server.observability.audit import AuditLog

if TYPE_CHECKING:
    from journey_mcp.server.observability.exporters import Exporters

_SWITCHES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_METRICS_EXPORTER",
    "OTEL_TRACES_EXPORTER",
)
"""Variables that switch OpenTelemetry on where it is off, as on stdio."""
_log = logging.getLogger(__name__)


_EXPORTED_WITHIN_S = 3.0
"""How long a process that ends waits for a receiver."""


@asynccontextmanager
async def recording(environment: Mapping[str, str], *, is_service: bool) -> "AsyncIterator[Exporters | None]":
    """Record what this process does while the block runs.

    Yield the exporters: for a service, and where the environment asks for them; `None` without the extra `telemetry`.
    """
    is_wanted = is_service or any(environment.get(name) for name in _SWITCHES)
    # imports take long: not in the event loop
    exporters = await to_thread.run_sync(partial(_exporters, environment)) if is_wanted else None
    recorders: list[telemetry.Recorder] = [AuditLog()]
    if exporters is not None:
        recorders += [exporters.metrics, *([exporters.tracing] if exporters.tracing else [])]
    ends = [telemetry.record_to(recorder) for recorder in recorders]
    try:
        yield exporters
    finally:
        for end in ends:
            end()
        if exporters is not None:
            with anyio.move_on_after(_EXPORTED_WITHIN_S, shield=True):
                await to_thread.run_sync(exporters.shut_down, abandon_on_cancel=True)


def _exporters(environment: Mapping[str, str]) -> "Exporters | None":
    try:
        from journey_mcp.server.observability.exporters import Exporters  # noqa: PLC0415  # an extra
    except ImportError:
        _log.info("metrics and traces need: pip install 'journey-mcp[telemetry]'")
        return None
    exporters = Exporters(environment)
    exporters.trace_the_sdk()
    return exporters
