"""Metrics and traces of real tasks at a sandbox: the numbers are right, and nothing private is in them."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.parser import text_string_to_metric_families
from support import created, make_environment, make_request, until_accepted

from journey_mcp.core import telemetry
from journey_mcp.core.money import SpendTotal
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, principal_of_token
from journey_mcp.core.totals import Totals
from journey_mcp.server.observability.exporters import Exporters
from journey_mcp.server.observability.tracing import Tracing

SECRET = "a very private prompt"


@pytest.fixture
def exporters() -> Iterator[Exporters]:
    """Return the metrics of this process."""
    exporters = Exporters({})
    end = telemetry.record_to(exporters.metrics)
    yield exporters
    end()
    exporters.shut_down()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Return the spans of this process that have ended."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    end = telemetry.record_to(Tracing(provider.get_tracer("test")))
    yield found
    end()
    provider.shutdown()


def samples(exporters: Exporters, totals: Totals | None = None) -> dict[tuple[str, ...], float]:
    """Return the exported values, by name and the values of the labels that are ours."""
    text = exporters.text(totals or Totals()).decode()
    assert SECRET not in text
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()))): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


async def test_a_task_is_counted_with_its_requests_and_its_cost(exporters: Exporters, tmp_path: Path) -> None:
    """By provider and model; what it shows is in no label."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made(model="midjourney", prompt=SECRET)
        assert task.status is Status.SUCCEEDED
        await here.made(model="z-image", prompt=SECRET)
        found = samples(exporters, await here.studio.totals())
    assert found["journey_task_duration_seconds_count", "journeyapi", "midjourney", "succeeded"] == 1
    assert found["journey_provider_request_duration_seconds_count", "journeyapi", "z-image", "completed", "submit"] == 1
    assert any(name[0].startswith("journey_provider_request") and "poll" in name for name in found)
    assert found["journey_poll_delay_seconds_count", "journeyapi"] >= 1
    assert found["journey_poll_delay_seconds_sum", "journeyapi"] < 0.001  # in manual time nothing is late
    assert found["journey_spent_total", "journeyapi", "credits"] == 6
    assert found["journey_spent_last_day", "journeyapi", "credits"] == 6
    assert found["journey_provider_on_cooldown", "journeyapi"] == 0
    assert any(name[0].startswith("process_") for name in found) or not Path("/proc/self").exists()


async def test_calls_are_counted_while_they_have_no_result(exporters: Exporters) -> None:
    """By tool; one that has had calls is shown with zero."""
    with telemetry.measure("call", tool="imagine", caller="local"), telemetry.measure("call", tool="imagine"):
        assert samples(exporters)["journey_calls_in_progress", "imagine"] == 2
    assert samples(exporters)["journey_calls_in_progress", "imagine"] == 0


async def test_failures_are_counted_by_their_code(exporters: Exporters, tmp_path: Path) -> None:
    """Of the request and of the task."""
    async with make_environment(tmp_path, "submit:status=402", JOURNEY_MCP_KEEP_IMAGES="off") as here:
        await here.made(model="z-image")
    found = samples(exporters)
    assert found["journey_task_duration_seconds_count", "journeyapi", "z-image", "out_of_credits"] == 1
    assert (
        found["journey_provider_request_duration_seconds_count", "journeyapi", "z-image", "out_of_credits", "submit"]
        == 1
    )


async def test_totals_are_those_of_all_principals(exporters: Exporters, tmp_path: Path) -> None:
    """What is unfinished, waits, was spent, and which provider is on cooldown."""
    async with make_environment(tmp_path, "submit:hang", JOURNEY_MCP_MAX_CONCURRENT=1) as here:
        await until_accepted(here.studio, await created(here.studio, make_request(model="midjourney")))
        queued = await created(
            here.studio, make_request(model="midjourney", prompt="another"), principal_of_token("ana")
        )
        await here.studio.wait_for_new(queued, 1)
        totals = await here.studio.totals()
    assert sum(totals.unfinished.values()) == 2
    assert totals.queued == {"journeyapi": 1}
    found = samples(exporters, totals)
    assert found["journey_queue_length", "journeyapi"] == 1
    assert found["journey_tasks_unfinished", "journeyapi", "accepted"] == 1


def test_uploads_and_readings_are_counted_with_their_bytes(exporters: Exporters) -> None:
    """By outcome; no label says whose they are."""
    for size, outcome in ((1_000, "completed"), (500, "completed"), (0, "upload_refused")):
        telemetry.report("upload", 0.1, caller="ana", bytes=size, outcome=outcome)
    telemetry.report("read", 0.1, image_id="tsk_1.1", bytes=70, outcome="completed")
    found = samples(exporters)
    assert found["journey_upload_duration_seconds_count", "completed"] == 2
    assert found["journey_upload_duration_seconds_count", "upload_refused"] == 1
    assert found["journey_upload_size_bytes_total",] == 1_500
    assert found["journey_image_read_duration_seconds_count", "completed"] == 1
    assert found["journey_image_read_size_bytes_total",] == 70


async def test_uploads_have_no_span(spans: InMemorySpanExporter) -> None:
    """Spans are of the messages of MCP and of what is sent to others."""
    with telemetry.measure("upload"), telemetry.measure("read"):
        pass
    assert spans.get_finished_spans() == ()


def test_values_without_a_unit_are_no_amounts(exporters: Exporters) -> None:
    """A cost that is not known is no number."""
    totals = Totals(
        spent=(SpendTotal(provider="kkiai", unit=None, amount=Decimal(0), tasks=3),), on_cooldown={"kkiai": True}
    )
    found = samples(exporters, totals)
    assert not any(name[0] == "journey_spent_last_day" for name in found)
    assert found["journey_provider_on_cooldown", "kkiai"] == 1


async def test_requests_are_spans_whose_context_the_provider_gets(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """The creating request has a trace of its own: it outlives the call."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        await here.made(model="midjourney", prompt=SECRET)
    by_name: dict[str, ReadableSpan] = {span.name: span for span in spans.get_finished_spans()}
    submit = by_name["submit journeyapi"]
    assert submit.kind is SpanKind.CLIENT
    assert submit.parent is None
    assert dict(submit.attributes or {}) == {
        "journey.request.purpose": "submit",
        "gen_ai.provider.name": "journeyapi",
        "gen_ai.request.model": "midjourney",
        "journey.outcome": "completed",
    }
    assert by_name["poll journeyapi"].status.status_code is StatusCode.UNSET


async def test_a_request_that_fails_is_an_error_of_its_span(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """With the code, and without what the provider wrote."""
    async with make_environment(tmp_path, "submit:status=402") as here:
        await created(here.studio, make_request(), LOCAL)
        await here.made(model="z-image")
    span = next(span for span in spans.get_finished_spans() if span.status.status_code is StatusCode.ERROR)
    assert span.status.description is None
    assert (span.attributes or {})["error.type"] == "out_of_credits"


@pytest.mark.parametrize(
    ("environment", "has_traces"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_exported_when_the_environment_says_so(*, environment: dict[str, str], has_traces: bool) -> None:
    """By the variables of OpenTelemetry."""
    exporters = Exporters({"OTEL_METRICS_EXPORTER": "none", **environment})
    try:
        assert (exporters.tracing is not None) is has_traces
    finally:
        exporters.shut_down()
