"""One trial: a fleet, many sessions, disturbances in the middle, and the comparison of both sides at the end."""

import asyncio
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.audit import Record, created, problems
from chaos.journal import Row, read_postgresql_journal
from postgres import Server
from server.auth.served import add_token

from journey_mcp import sandbox
from replicas.fleet import Fleet, running_fleet
from replicas.sessions import IMAGES, Result, read_everywhere, run_sessions

PRINCIPALS = ("ada", "ben", "cleo", "dan", "eve")
_SPEED = 5
Disturbance = tuple[str, Callable[[Fleet], Awaitable[None]]]
DISTURBANCES: Sequence[Disturbance] = (
    ("replica a killed", lambda fleet: fleet.replace(0)),
    ("database restarted, fast", lambda fleet: fleet.restart_database(signal.SIGINT)),
    ("replica b killed", lambda fleet: fleet.replace(1)),
    ("database restarted, immediate", lambda fleet: fleet.restart_database(signal.SIGQUIT)),
    ("proxy killed", Fleet.replace_proxy),
    ("replica c killed", lambda fleet: fleet.replace(2)),
)
"""What happens while the sessions run, in this order."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What happened, and what is wrong with it."""

    sessions: int
    record: Record
    results: Sequence[Result]
    disturbances: Sequence[str]
    repeated: Mapping[str, int]
    """Why clients repeated requests, and how often."""
    interrupted_s: Sequence[float]
    """For how long each request that was repeated had no answer, from its first failure on."""
    problems: Sequence[str]
    took_s: float

    @property
    def ends(self) -> Counter[str]:
        """How the images of the sessions ended."""
        return Counter(result.task.get("error", {}).get("code") or result.task["status"] for result in self.results)


async def run_trial(
    database: Server,
    folder: Path,
    *,
    sessions: int,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
    variables: Mapping[str, str] | None = None,
) -> Trial:
    """Run a trial; `disturbances` and `variables` of the replicas may be about further services, such as a store."""
    tokens = {name: add_token(folder / "tokens", name) for name in PRINCIPALS}
    more = {"JOURNEY_MCP_TOKENS_FILE": str(folder / "tokens"), **(variables or {})}
    settings = sandbox.Settings(
        speed=_SPEED,
        fineness=0.1,
        journeyapi=sandbox.JourneyApiSettings(plan="enterprise", credits=100_000),
        replicate=sandbox.ReplicateSettings(balance=100_000),
        bfl=sandbox.BflSettings(credits=100_000),
    )
    started = time.monotonic()
    async with (
        sandbox.running(settings) as upstream,
        running_fleet(database, upstream, folder, more) as fleet,
    ):
        disturbing = asyncio.create_task(_disturb(fleet, disturbances, sessions * IMAGES))
        results, repeats = await run_sessions(fleet, tokens, sessions)
        await disturbing
        for replica in fleet.replicas:
            await replica.until_ready()
        wrong = await read_everywhere(fleet, tokens, results)
        record = Record(
            marks=tuple(result.mark for result in results),
            entries=tuple(fleet.entries),
            rows=_without_refused(read_postgresql_journal(fleet.database_url), results),
            results={result.task.get("task_id", ""): result.task for result in results},
            crashes=(),
        )
        wrong += [line for line in fleet.log.splitlines() if "unexpectedly (report" in line]
    if len(results) != sessions * IMAGES:
        wrong.append(f"{len(results)} results for {sessions * IMAGES} images")
    return Trial(
        sessions=sessions,
        record=record,
        results=results,
        disturbances=[name for name, _ in disturbances],
        repeated=repeats.reasons,
        interrupted_s=repeats.interrupted_s,
        problems=[*wrong, *problems(record)],
        took_s=time.monotonic() - started,
    )


async def _disturb(fleet: Fleet, disturbances: Sequence[Disturbance], tasks: int) -> None:
    """Disturb the fleet whenever a part of the tasks has been created: others run, and others are still to come."""
    for number, (_, disturb) in enumerate(disturbances, 1):
        while _created(fleet) < tasks * number / (len(disturbances) + 1):
            await asyncio.sleep(0.02)
        await disturb(fleet)


def _without_refused(rows: Sequence[Row], results: Sequence[Result]) -> tuple[Row, ...]:
    """Leave out tasks that were never sent, and whose callers therefore repeated the call."""
    returned = {result.task.get("task_id") for result in results}
    return tuple(row for row in rows if row.submission != "refused" or row.id in returned)


def _created(fleet: Fleet) -> int:
    return sum(entry.outcome == "created" for entry in fleet.upstream.sandbox.request_log.submissions)


def _durations(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"answered after {statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s at most"


def summary(trial: Trial) -> str:
    """Return the trial in plain lines."""
    made = len(created(trial.record))
    lines = [
        f"{trial.sessions} sessions of {len(PRINCIPALS)} principals, {trial.took_s:.0f} s",
        f"disturbances: {', '.join(trial.disturbances)}",
        f"creating requests: {len(trial.record.entries)}",
        f"tasks at the providers: {made}",
        f"tasks in the journal: {len(trial.record.rows)}",
        f"ends: {dict(trial.ends)}",
        f"repeated requests: {dict(trial.repeated)}",
        f"interrupted requests: {len(trial.interrupted_s)}, {_durations(trial.interrupted_s)}",
        f"problems: {len(trial.problems)}",
    ]
    return "".join(f"{line}\n" for line in [*lines, *trial.problems])
