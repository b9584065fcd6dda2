"""The cases that also run as a whole: sandbox, adapter, engine and database together.

Every kind of fault is among them at every stage, and every route three times.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manual_clock import ManualClock
from support import created, environment_of, running_studio

from journey_mcp import sandbox
from journey_mcp.settings import read_settings
from journey_mcp.store import Store, open_store
from journey_mcp.studio import Studio

from .cases import CASES, Case
from .observing import Observed, call
from .outcomes import Outcome
from .striking import striking

_NAMES = """
submit: journeyapi: connection refused for a moment; byte by byte, for too long; no id
submit: journeyapi (synchronous): reset after it; an HTML page; unknown status word
submit: vtrix: reset before the work is done; 502 after the work is done; no JSON
submit: kkiai: 429 with `Retry-After`, twice; an empty object
submit: replicate: body cut off; the picture to edit is dead
submit: bfl: 10 MB; the wall clock jumps an hour forwards
poll: journeyapi: connection refused; an empty object; status and progress go backwards
poll: vtrix: reset before the work is done; JSON of another shape
poll: kkiai: 429 with `Retry-After`; no picture
poll: replicate: body cut off; the wall clock jumps an hour backwards
poll: bfl: byte by byte, for too long; unknown status word
poll, twice: vtrix: reset after it
poll, twice: kkiai: 10 MB
poll, twice: replicate: an HTML page
poll, twice: bfl: no JSON
copy: kkiai: connection refused; an HTML page
copy: replicate: the address is dead (404); the wall clock jumps an hour forwards
copy: bfl: reset after it; byte by byte, for too long
copy, once: kkiai: body cut off
copy, once: replicate: reset before the work is done
copy, once: bfl: 503
source: bfl: connection refused; reset before the work is done; reset after it; 429; the address is dead (404)
source: bfl: body cut off; an HTML page; byte by byte, for too long; the wall clock jumps an hour backwards
"""
"""A stage, a route, and the names of faults in each line."""
_BY_NAME = {str(case): case for case in CASES}
END_TO_END = tuple(
    _BY_NAME[f"{place}: {fault}"]
    for place, _, faults in (line.rpartition(": ") for line in _NAMES.strip().splitlines())
    for fault in faults.split("; ")
)


async def run(cases: Sequence[Case], folder: Path) -> dict[str, Outcome]:
    """Run cases of one provider, one after another; return the outcome of each."""
    (service,) = {case.route.service for case in cases}
    clock, outcomes = ManualClock(), {}
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, service, JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1"))
        async with (
            running_studio(settings, clock) as studio,
            open_store(settings.resolved_database_url()) as journal,
        ):
            for case in cases:
                observed = await _observed(case, upstream, studio, journal, clock)
                outcomes[str(case)] = observed.judged(case, upstream.origin)
    return outcomes


async def _observed(
    case: Case, upstream: sandbox.Running, studio: Studio, journal: Store, clock: ManualClock
) -> Observed:
    route, request_log = case.route, upstream.sandbox.request_log
    image = case.fault.address(upstream.origin)
    if case.stage == "source" and image is None:
        # somebody else's: of our own there is a copy
        source = await studio.wait_for_new(await created(studio, route.request(), principal="another"), 900)
        image = source.images[0].url
    before = len(request_log.submissions)
    observed = await call(
        studio,
        journal,
        route.request(image),
        striking(case, upstream, clock),
        clock,
        polls=(lambda: request_log.requests[route.polled]) if case.stage == "poll" else None,
        lasts=case.fault.lasts,
    )
    entries = request_log.submissions[before:]
    return replace(observed, requests=len(entries), created=sum(entry.outcome == "created" for entry in entries))
