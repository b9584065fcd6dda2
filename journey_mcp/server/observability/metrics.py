"""Metrics, as OpenTelemetry instruments: names and buckets by its semantic conventions where there are some.

No attribute names a principal, a task or a URL: the number of series is bounded by models, providers and error codes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from journey_mcp import __version__
from journey_mcp.core.telemetry import Operation, Value
from journey_mcp.core.totals import Totals

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Of the semantic conventions for MCP."""
_DELAY_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TASK_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """Recorder of operations as metrics, and of what `totals` returned last, which all replicas of a database share."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("journey_mcp", __version__)
        self._totals: Totals | None = None
        self._calls: set[Operation] = set()
        self._tools: set[str] = set()
        """Of all calls until now."""
        # counted when it is read: a counter that is changed twice in each call takes longer than the call's handler
        meter.create_observable_up_down_counter(
            "journey.calls.in_progress", [self._calls_in_progress], description="Tool calls without a result"
        )
        self._durations = {
            kind: meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets)
            for kind, name, description, buckets in (
                ("call", "mcp.server.operation.duration", "Tool calls", _SECONDS),
                ("upload", "journey.upload.duration", "Uploads of images over HTTP", _SECONDS),
                ("read", "journey.image.read.duration", "Readings of stored images over HTTP", _SECONDS),
                ("request", "journey.provider.request.duration", "Requests to providers", _SECONDS),
                ("copy", "journey.copy.duration", "Copies of finished images", _SECONDS),
                ("webhook", "journey.webhook.duration", "Deliveries of webhooks", _SECONDS),
                ("task", "journey.task.duration", "Tasks, from the call to the end", _TASK_SECONDS),
            )
        }
        self._poll_delays = meter.create_histogram(
            "journey.poll.delay", "s", "How late polls are sent", explicit_bucket_boundaries_advisory=_DELAY_SECONDS
        )
        self._spent = meter.create_counter("journey.spent", description="What ended tasks cost, in their units")
        self._bytes = {
            kind: meter.create_counter(name, "By", description)
            for kind, name, description in (
                ("upload", "journey.upload.size", "Bytes of uploaded images"),
                ("read", "journey.image.read.size", "Bytes of images that were read"),
            )
        }
        for name, description, read in (
            ("journey.tasks.unfinished", "Unfinished tasks of the database", _unfinished),
            ("journey.queue.length", "Tasks that wait for a slot at a provider", _queued),
            ("journey.spent.last_day", "What tasks of the last 24 hours cost", _spent),
            ("journey.provider.on_cooldown", "1 while a provider gets no new tasks", _cooldowns),
        ):
            meter.create_observable_gauge(name, [self._observer(read)], description=description)
        meter.create_observable_gauge(
            "journey.database.up",
            [lambda _options: [Observation(int(self._totals is not None))]],
            description="1 while the database answers",
        )

    def show(self, totals: Totals | None) -> None:
        """Let the gauges have these values; `None` if the database does not answer."""
        self._totals = totals

    def started(self, operation: Operation) -> None:
        """Count a call that begins."""
        if operation.kind == "call":
            self._calls.add(operation)
            self._tools.add(str(operation.attributes["tool"]))

    def ended(self, operation: Operation, duration_s: float) -> None:
        """Record the duration, and what a task cost."""
        self._calls.discard(operation)
        labels = {**_labels(operation, _LABELS[operation.kind]), "outcome": operation.outcome}
        self._durations[operation.kind].record(duration_s, labels)
        if operation.kind in self._bytes:
            self._bytes[operation.kind].add(int(operation.attributes.get("bytes", 0)))
        late_s, cost = operation.attributes.get("late_s"), operation.attributes.get("cost")
        if isinstance(late_s, float):
            self._poll_delays.record(late_s, _labels(operation, ("provider",)))
        if operation.kind == "task" and isinstance(cost, float):
            self._spent.add(cost, _labels(operation, ("provider", "unit")))

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}

    def _calls_in_progress(self, _options: CallbackOptions) -> Iterable[Observation]:
        # copies, since another thread may export
        open_ = Counter(call.attributes["tool"] for call in tuple(self._calls))
        return [Observation(open_[tool], {_CONVENTIONS["tool"]: tool}) for tool in tuple(self._tools)]

    def _observer(
        self, read: Callable[[Totals], Iterable[Observation]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: read(self._totals) if self._totals is not None else ()


_LABELS: Mapping[str, Sequence[str]] = {
    "call": ("tool", "model", "provider"),
    "upload": (),
    "read": (),
    "request": ("purpose", "provider", "model"),
    "copy": ("provider",),
    "webhook": (),
    "task": ("provider", "model"),
}
_CONVENTIONS = {"tool": "gen_ai.tool.name", "model": "gen_ai.request.model", "provider": "gen_ai.provider.name"}
"""The names of the semantic conventions for attributes of ours."""


def _labels(operation: Operation, names: Iterable[str]) -> dict[str, Value]:
    known = operation.attributes
    return {_CONVENTIONS.get(name, name): known[name] for name in names if name in known}


def _unfinished(totals: Totals) -> Iterable[Observation]:
    for (provider, submission), count in totals.unfinished.items():
        yield Observation(count, {_CONVENTIONS["provider"]: provider, "submission": submission})


def _queued(totals: Totals) -> Iterable[Observation]:
    for provider, count in totals.queued.items():
        yield Observation(count, {_CONVENTIONS["provider"]: provider})


def _spent(totals: Totals) -> Iterable[Observation]:
    for total in totals.spent:
        if total.unit is not None:
            yield Observation(float(total.amount), {_CONVENTIONS["provider"]: total.provider, "unit": total.unit})


def _cooldowns(totals: Totals) -> Iterable[Observation]:
    for provider, is_on in totals.on_cooldown.items():
        yield Observation(int(is_on), {_CONVENTIONS["provider"]: provider})
