"""The cases that also run as a whole: sandbox, adapter, engine and database together.

Every kind of fault is among them at every stage, and every route three times.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manual_clock import ManualClock
from support import coarse, created, environment_of, running_studio

from journey_mcp import sandbox
from journey_mcp.core.principals import Principal
from journey_mcp.settings import read_settings
from journey_mcp.store import Store, open_store
from journey_mcp.studio import Studio

from .cases import CASES, Case
from .injecting import injecting
from .observing import Observed, call
from .outcomes import Outcome

_NAMES = """
submit: journeyapi: connection refused briefly; one byte at a time, too slow; no id
submit: journeyapi (synchronous): connection reset after the work; an HTML page; unknown status word
submit: vtrix: connection reset before the work; 502 after the work; invalid JSON
submit: kkiai: 429 with `Retry-After`, twice; an empty object
submit: replicate: truncated body; the image to edit is gone
submit: bfl: 10 MB body; the wall clock jumps an hour forwards
poll: journeyapi: connection refused; an empty object; status and progress go backwards
poll: vtrix: connection reset before the work; JSON of another shape
poll: kkiai: 429 with `Retry-After`; no image
poll: replicate: truncated body; the wall clock jumps an hour backwards
poll: bfl: one byte at a time, too slow; unknown status word
poll, twice: vtrix: connection reset after the work
poll, twice: kkiai: 10 MB body
poll, twice: replicate: an HTML page
poll, twice: bfl: invalid JSON
copy: kkiai: connection refused; an HTML page
copy: replicate: the link is gone (404); the wall clock jumps an hour forwards
copy: bfl: connection reset after the work; one byte at a time, too slow
copy, once: kkiai: truncated body
copy, once: replicate: connection reset before the work
copy, once: bfl: 503
source: bfl: connection refused; connection reset before the work; connection reset after the work
source: bfl: 429; the link is gone (404)
source: bfl: truncated body; an HTML page; one byte at a time, too slow; the wall clock jumps an hour backwards
"""
"""Each line: a stage, a route, and the names of faults."""
_BY_NAME = {str(case): case for case in CASES}
END_TO_END = tuple(
    _BY_NAME[f"{endpoint}: {fault}"]
    for endpoint, _, faults in (line.rpartition(": ") for line in _NAMES.strip().splitlines())
    for fault in faults.split("; ")
)


async def run(cases: Sequence[Case], folder: Path) -> dict[str, Outcome]:
    """Run cases of one provider, one after another; return the outcome of each."""
    (service,) = {case.route.service for case in cases}
    clock, outcomes = ManualClock(), {}
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        # a copy in the background would meet the fault instead of the task
        more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1", "JOURNEY_MCP_KEEP_IMAGES": "expiring"}
        settings = read_settings(environment_of(upstream, folder, service, **more))
        async with (
            running_studio(settings, clock) as studio,
            open_store(settings.resolved_database_url()) as journal,
        ):
            for case in cases:
                observed = await _observed(case, upstream, studio, journal, clock)
                outcomes[str(case)] = observed.evaluated(case, upstream.origin)
    return outcomes


async def _observed(
    case: Case, upstream: sandbox.Running, studio: Studio, journal: Store, clock: ManualClock
) -> Observed:
    route, request_log = case.route, upstream.sandbox.request_log
    image = case.fault.address(upstream.origin)
    if case.stage == "source" and image is None:
        # another principal's image: for our own there is a copy
        source = await studio.wait_for_new(await created(studio, route.request(), principal=Principal("another")), 900)
        image = source.images[0].url
    before = len(request_log.submissions)
    observed = await call(
        studio,
        journal,
        route.request(image),
        injecting(case, upstream, clock),
        clock,
        polls=(lambda: request_log.requests[route.polled]) if case.stage == "poll" else None,
        ends_task=case.fault.ends_task,
    )
    entries = request_log.submissions[before:]
    return replace(observed, requests=len(entries), created=sum(entry.outcome == "created" for entry in entries))
