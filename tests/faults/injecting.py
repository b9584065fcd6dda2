"""Injecting the fault of a case into a sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from manual_clock import ManualClock, until

from journey_mcp import sandbox

from .cases import Case
from .faults import ByProvider, Injection

_ENDPOINTS: dict[str, tuple[str, int | None]] = {
    "submit": ("submit", 1),
    "poll": ("fetch", None),
    "poll, twice": ("fetch", 2),
    "copy": ("image", None),
    "copy, once": ("image", 1),
    "source": ("image", 1),
}
"""The endpoint of each stage, and how many requests a fault affects unless it states that itself."""
_BRIEF_S = 0.2
"""Less than the delay before a refused connection is retried."""
_DELAYED = ({"kind": "delay", "delay_s": 1.0, "times": 1}, {"kind": "status_word", "word": "dreaming", "times": 1})
"""The first response is delayed while something happens; the response to a poll is not the final one."""


def endpoint_of(case: Case) -> str:
    """Return the endpoint that the fault of a case affects: `submit`, `fetch` or `image`."""
    return _ENDPOINTS[case.stage][0]


@asynccontextmanager
async def injecting(case: Case, upstream: sandbox.Running, clock: ManualClock) -> AsyncIterator[None]:
    """Inject the fault while the block runs."""
    fault, (on, times) = case.fault, _ENDPOINTS[case.stage]
    is_midway = fault.clock_jump_s or (fault.away and on != "submit")
    delayed = _DELAYED if on == "fetch" else _DELAYED[:1]
    injections = delayed if is_midway else [{"times": times, **injection} for injection in fault.injections]
    upstream.sandbox.faults.replace([_fault(case, on, injection) for injection in injections])
    before = _arrived(case, upstream)
    async with AsyncExitStack() as away:
        if fault.away and not is_midway:
            await away.enter_async_context(upstream.away())

        async def intervene() -> None:
            if fault.away == "briefly":
                await clock.sleep(_BRIEF_S)
                await away.aclose()
            if is_midway:
                await until(lambda: _arrived(case, upstream) > before)
                clock.shift_calendar(fault.clock_jump_s)
            if is_midway and fault.away:
                await away.enter_async_context(upstream.away())

        intervening = asyncio.create_task(intervene())
        try:
            yield
            await intervening
        finally:
            intervening.cancel()
            upstream.sandbox.faults.replace([])


def _arrived(case: Case, upstream: sandbox.Running) -> int:
    """Return the number of requests to the affected endpoint."""
    request_log, on = upstream.sandbox.request_log, endpoint_of(case)
    if on == "submit":
        return len(request_log.submissions)
    return request_log.requests[case.route.polled if on == "fetch" else "pictures"]


def _fault(case: Case, on: str, injection: Injection) -> sandbox.Fault:
    service = case.route.service
    values = {name: value[service] if isinstance(value, ByProvider) else value for name, value in injection.items()}
    return sandbox.Fault(on=f"{service}/{values.pop('on', on)}", **values)
