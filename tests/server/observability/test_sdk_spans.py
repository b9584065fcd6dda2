"""Without a tracer provider the SDK makes no spans. With one it does: tests/system/test_traces.py."""

from typing import Any

from journey_mcp.server.observability.sdk_spans import if_exported


async def test_without_a_tracer_provider_there_are_no_spans() -> None:
    """The message goes straight on."""

    async def spans(ctx: Any, call_next: Any) -> Any:
        raise AssertionError(ctx, call_next)  # nothing would see the span

    async def handler(ctx: Any) -> Any:
        return {"handled": ctx}

    message: Any = "message"
    assert await if_exported(spans)(message, handler) == {"handled": message}
