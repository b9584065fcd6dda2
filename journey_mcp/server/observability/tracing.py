"""Traces: a span for each request to a provider, copy and webhook; attributes on the SDK's span of each tool call."""

from collections.abc import Mapping

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from journey_mcp.core.telemetry import COMPLETED, Operation

_ATTRIBUTES = {
    "model": "gen_ai.request.model",
    "provider": "gen_ai.provider.name",
    "task_id": "journey.task.id",
    "outcome": "journey.outcome",
    "cost": "journey.cost.amount",
    "unit": "journey.cost.unit",
    "purpose": "journey.request.purpose",
    "tasks": "journey.request.tasks",
}
"""By the name of our attribute; what is not here, such as who called, stays out of traces."""

_OF_CLIENTS = {"call", "upload", "read"}
"""Requests of clients: the SDK makes a span for each message of MCP; the others have none."""


class Tracing:
    """Recorder of operations as spans. A tool call has one already, which the SDK made."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[Operation, tuple[Span, object]] = {}

    def started(self, operation: Operation) -> None:
        """Start a span and make it the current one.

        The request that creates a task outlives the call: it has a trace of its own, linked with that of the call.
        """
        if operation.kind in {*_OF_CLIENTS, "task"}:
            return
        creates = operation.attributes.get("purpose") == "submit"
        caller = trace.get_current_span().get_span_context()
        span = self._tracer.start_span(
            _name_of(operation),
            context=context.Context() if creates else None,
            kind=SpanKind.CLIENT,
            links=[Link(caller)] if creates and caller.is_valid else None,
        )
        self._open[operation] = span, context.attach(trace.set_span_in_context(span))

    def ended(self, operation: Operation, _duration_s: float) -> None:
        """End its span."""
        if operation.kind == "call":
            _describe(trace.get_current_span(), operation)
        elif operation in self._open:
            span, token = self._open.pop(operation)
            context.detach(token)  # type: ignore[arg-type]  # what `attach` returned
            _describe(span, operation)
            if operation.outcome != COMPLETED:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", operation.outcome)
            span.end()

    def headers(self) -> Mapping[str, str]:
        """Return the trace context of the current span."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier


def _name_of(operation: Operation) -> str:
    """Return `submit journeyapi`, `copy journeyapi` or `webhook`."""
    purpose = operation.attributes.get("purpose", operation.kind)
    return f"{purpose} {operation.attributes.get('provider', '')}".rstrip()


def _describe(span: Span, operation: Operation) -> None:
    known = {"outcome": operation.outcome, **operation.attributes}
    span.set_attributes({_ATTRIBUTES[name]: value for name, value in known.items() if name in _ATTRIBUTES})
