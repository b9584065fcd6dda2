"""The SDK's span of each message, made where a span goes somewhere."""

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext, HandlerResult, ServerMiddleware


def if_exported(spans: "ServerMiddleware[Any]") -> "ServerMiddleware[Any]":
    """Return middleware that makes spans while this process has a tracer provider.

    On stdio it has none by default, and the spans would be discarded.
    """

    async def middleware(ctx: "ServerRequestContext[Any, Any]", call_next: "CallNext") -> "HandlerResult":
        has_provider = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        return await (spans(ctx, call_next) if has_provider else call_next(ctx))

    return middleware
