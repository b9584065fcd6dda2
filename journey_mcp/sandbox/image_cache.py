"""Images on demand: rendered in a thread on the first request, with a small cache."""

from collections import OrderedDict

import anyio
from anyio import to_thread

from journey_mcp.sandbox.render_specs import FINENESS, RenderSpec

KEPT_BYTES = 32 * 1024 * 1024
RENDERED_AT_ONCE = 4


class ImageCache:
    """A cache of the latest images; an evicted one is rendered again, identical to the byte."""

    def __init__(self, *, kept_bytes: int = KEPT_BYTES, fineness: float = FINENESS) -> None:
        self._images: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._fineness = fineness
        self._limiter = anyio.CapacityLimiter(RENDERED_AT_ONCE)

    async def get(self, name: str, render_spec: RenderSpec) -> bytes:
        """Return the encoded image of `render_spec`; `name` is unique to it."""
        if name in self._images:
            self._images.move_to_end(name)
            return self._images[name]
        content = await to_thread.run_sync(_render, render_spec, self._fineness, limiter=self._limiter)
        self._keep(name, content)
        return content

    def _keep(self, name: str, content: bytes) -> None:
        self._bytes += len(content) - len(self._images.pop(name, b""))
        self._images[name] = content
        while self._bytes > self._kept_bytes:
            _, oldest = self._images.popitem(last=False)
            self._bytes -= len(oldest)


def _render(render_spec: RenderSpec, fineness: float) -> bytes:
    from journey_mcp.sandbox.drawing import render  # noqa: PLC0415 - loads Pillow

    return render(render_spec, fineness)
