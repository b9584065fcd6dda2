"""Traces of a real server: the spans of the SDK are exported with ours."""

from pathlib import Path

from processes import in_thread, server_process
from sandbox.upstream import http, listening
from support import environment_for

FETCH = b"tools/call fetch_task"
"""The name of the SDK's span of such a call."""


async def test_a_call_has_a_span_if_traces_are_exported(tmp_path: Path) -> None:
    """The SDK makes it, and we add what we know of the task."""
    async with listening(http(200)) as receiver:
        environment = {
            **environment_for("http://127.0.0.1:9", tmp_path),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.url,
            "OTEL_METRICS_EXPORTER": "none",
        }
        with server_process(environment) as server:
            for _ in range(2):  # the first one begins before the exporter is there
                assert (await in_thread(server.call, "fetch_task"))["tasks"] == []
            await in_thread(server.close)
        bodies = [request.body for request in receiver.received]
    assert any(FETCH in body and b"journey.outcome" in body for body in bodies), bodies
