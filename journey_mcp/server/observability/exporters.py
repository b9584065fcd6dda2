"""Where metrics and traces go: to Prometheus at `/metrics`, and by OTLP as the environment of OpenTelemetry says.

This module alone imports the SDK of OpenTelemetry, which only a service needs.
"""

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from journey_mcp import __version__
from journey_mcp.core.totals import Totals
from journey_mcp.server.observability.metrics import Metrics
from journey_mcp.server.observability.tracing import Tracing

_OTLP = "otlp"


class Exporters:
    """The metrics and, if the environment asks for them, the traces of this process."""

    content_type = CONTENT_TYPE_LATEST
    """Of `text`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        resource = Resource.create(
            {SERVICE_NAME: environment.get("OTEL_SERVICE_NAME", "journey-mcp"), SERVICE_VERSION: __version__}
        )
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)]
        if _is_exported(environment, "METRICS"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        self._meters = MeterProvider(readers, resource)
        self.metrics = Metrics(self._meters)
        self.tracing: Tracing | None = None
        """`None` unless traces are exported."""
        self._tracers: TracerProvider | None = None
        if _is_exported(environment, "TRACES"):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            self._tracers = TracerProvider(resource=resource)
            self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self.tracing = Tracing(self._tracers.get_tracer("journey_mcp", __version__))

    def trace_the_sdk(self) -> None:
        """Export the spans of the MCP SDK too, which come from the tracer of the process; once in a process."""
        if self._tracers is not None:
            trace.set_tracer_provider(self._tracers)

    def text(self, totals: Totals | None) -> bytes:
        """Return all metrics in the format of Prometheus; `totals` is `None` if the database does not answer."""
        self.metrics.show(totals)
        return generate_latest(self._registry)

    def shut_down(self) -> None:
        """Export what is left; takes seconds if the receiver does not answer."""
        self._meters.shutdown()
        if self._tracers is not None:
            self._tracers.shutdown()


def _is_exported(environment: Mapping[str, str], signal: str) -> bool:
    """Return whether OTLP is on for a signal: by its exporter, or else by the address of a receiver."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporter := environment.get(f"OTEL_{signal}_EXPORTER", "").strip().lower():
        return exporter == _OTLP
    addresses = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environment.get(name) for name in addresses)
