"""The faults of the cases, at a sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from manual_clock import ManualClock, until

from journey_mcp import sandbox

from .cases import Case
from .faults import ByProvider, Strike

_PLACES: dict[str, tuple[str, int | None]] = {
    "submit": ("submit", 1),
    "poll": ("fetch", None),
    "poll, twice": ("fetch", 2),
    "copy": ("image", None),
    "copy, once": ("image", 1),
    "source": ("image", 1),
}
"""Where the faults of a stage strike, and how often unless they say so."""
_MOMENT_S = 0.2
"""Less than the time until a refused connection is tried again."""
_HELD = ({"kind": "delay", "delay_s": 1.0, "times": 1}, {"kind": "status_word", "word": "dreaming", "times": 1})
"""The first answer is held back while something happens; if it is to a poll, it is not the last one."""


def place_of(case: Case) -> str:
    """Return the endpoint that the fault of a case strikes: `submit`, `fetch` or `image`."""
    return _PLACES[case.stage][0]


@asynccontextmanager
async def striking(case: Case, upstream: sandbox.Running, clock: ManualClock) -> AsyncIterator[None]:
    """Let the fault strike while the block runs."""
    fault, (on, times) = case.fault, _PLACES[case.stage]
    is_midway = fault.leap_s or (fault.away and on != "submit")
    held = _HELD if on == "fetch" else _HELD[:1]
    strikes = held if is_midway else [{"times": times, **strike} for strike in fault.strikes]
    upstream.sandbox.faults.replace([_fault(case, on, strike) for strike in strikes])
    before = _arrived(case, upstream)
    async with AsyncExitStack() as away:
        if fault.away and not is_midway:
            await away.enter_async_context(upstream.away())

        async def intervene() -> None:
            if fault.away == "for a moment":
                await clock.sleep(_MOMENT_S)
                await away.aclose()
            if is_midway:
                await until(lambda: _arrived(case, upstream) > before)
                clock.shift_calendar(fault.leap_s)
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
    """Return how many requests came where the fault strikes."""
    request_log, on = upstream.sandbox.request_log, place_of(case)
    if on == "submit":
        return len(request_log.submissions)
    return request_log.requests[case.route.polled if on == "fetch" else "pictures"]


def _fault(case: Case, on: str, strike: Strike) -> sandbox.Fault:
    service = case.route.service
    values = {name: value[service] if isinstance(value, ByProvider) else value for name, value in strike.items()}
    return sandbox.Fault(on=f"{service}/{values.pop('on', on)}", **values)
