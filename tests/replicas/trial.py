"""One trial: a fleet, many sessions, disturbances in the middle, and the comparison of both sides at the end."""

import asyncio
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from chaos.audit import Record, awaiting_webhook, created, problems
from chaos.journal import Row, read_postgresql_journal
from object_stores import ObjectStoreServer
from postgres import Server
from server.auth.served import add_token

from journey_mcp import sandbox
from replicas.fleet import Fleet, running_fleet
from replicas.images import Copies, read_images
from replicas.sessions import IMAGES, Result, read_everywhere, run_sessions

PRINCIPALS = ("ada", "ben", "cleo", "dan", "eve")
_SPEED = 5
_PATIENCE = 6
_Settings = TypeVar("_Settings", sandbox.JourneyApiSettings, sandbox.ReplicateSettings, sandbox.BflSettings)
Disturbance = tuple[str, Callable[[Fleet], Awaitable[None]]]
DISTURBANCES: Sequence[Disturbance] = (
    ("replica a killed", lambda fleet: fleet.replace(0)),
    ("database restarted, fast", lambda fleet: fleet.restart_database(signal.SIGINT)),
    ("replica b killed", lambda fleet: fleet.replace(1)),
    ("database restarted, immediate", lambda fleet: fleet.restart_database(signal.SIGQUIT)),
    ("object store stopped", Fleet.pause_store),
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
    copies: Copies
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

    @property
    def unconfirmed(self) -> int:
        """Tasks of a replica that was killed before their request left: nothing was paid, and they were made again."""
        return sum(len(result.unconfirmed) for result in self.results)


async def run_trial(
    database: Server,
    store: ObjectStoreServer,
    folder: Path,
    *,
    sessions: int,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
) -> Trial:
    """Run a trial in an empty folder."""
    tokens = {name: add_token(folder / "tokens", name) for name in PRINCIPALS}
    more = {"JOURNEY_MCP_TOKENS_FILE": str(folder / "tokens")}
    settings = sandbox.Settings(
        speed=_SPEED,
        fineness=0.1,
        journeyapi=_patient(sandbox.JourneyApiSettings(plan="enterprise", credits=100_000)),
        replicate=_patient(sandbox.ReplicateSettings(balance=100_000)),
        bfl=_patient(sandbox.BflSettings(credits=100_000)),
    )
    started = time.monotonic()
    async with (
        sandbox.running(settings) as upstream,
        running_fleet(database, store, upstream, folder, more) as fleet,
    ):
        disturbing = asyncio.create_task(_disturb(fleet, disturbances, sessions * IMAGES))
        results, repeats = await run_sessions(fleet, tokens, sessions)
        await disturbing
        for replica in fleet.replicas:
            await replica.until_ready()
        wrong = await read_everywhere(fleet, tokens, results)
        rows = read_postgresql_journal(fleet.database_url)
        copies = await read_images(fleet, tokens, results, rows)
        wrong += [*_unconfirmed_problems(rows, results), *copies.problems]
        rows = _without_repeated(rows, results)
        record = Record(
            marks=tuple(result.mark for result in results),
            entries=tuple(fleet.entries()),
            rows=rows,
            results=_as_stored(fleet, results, rows),
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
        copies=copies,
        repeated=repeats.reasons,
        interrupted_s=repeats.interrupted_s,
        problems=[*wrong, *problems(record)],
        took_s=time.monotonic() - started,
    )


def _patient(settings: _Settings) -> _Settings:
    """Return settings of a provider that waits longer for answers to webhooks, and posts them more often.

    As long as documented would do for a service with machines of its own. Here all of it runs on one machine, which
    takes many times as long to answer, and to restart a database.
    """
    policy = settings.webhooks
    gaps = tuple(gap * _SPEED for gap in policy.retry_gaps_s)
    webhooks = replace(policy, timeout_s=_PATIENCE * policy.timeout_s, retry_gaps_s=gaps + gaps[-1:] * _PATIENCE)
    return replace(settings, webhooks=webhooks)


async def _disturb(fleet: Fleet, disturbances: Sequence[Disturbance], tasks: int) -> None:
    """Disturb the fleet whenever a part of the tasks has been created: others run, and others are still to come."""
    for number, (_, disturb) in enumerate(disturbances, 1):
        while _created(fleet) < tasks * number / (len(disturbances) + 1):
            await asyncio.sleep(0.02)
        await disturb(fleet)


def _without_repeated(rows: Sequence[Row], results: Sequence[Result]) -> tuple[Row, ...]:
    """Leave out tasks that were never sent, or are unconfirmed, and whose callers therefore made the call again.

    What is left is one task for each image. If the provider has another one after all, the request log shows it.
    """
    returned = {result.id for result in results}
    unconfirmed = {id_ for result in results for id_ in result.unconfirmed}
    return tuple(
        row for row in rows if row.id in returned or (row.submission != "refused" and row.id not in unconfirmed)
    )


def _unconfirmed_problems(rows: Sequence[Row], results: Sequence[Result]) -> list[str]:
    """Return the tasks that a session was told are unconfirmed, and that the journal has otherwise."""
    unconfirmed = {id_ for result in results for id_ in result.unconfirmed}
    return [
        f"{row.id} was returned as unconfirmed; the journal: {row}"
        for row in rows
        if row.id in unconfirmed and not (row.awaits_webhook or row.code == "submission_unconfirmed")
    ]


def _as_stored(fleet: Fleet, results: Sequence[Result], rows: Sequence[Row]) -> dict[str, Mapping[str, Any]]:
    """Return the results with the links of the providers in place of ours, which `read_images` has followed."""
    stored = {row.id: row.outcome.get("images", ()) for row in rows}
    found: dict[str, Mapping[str, Any]] = {}
    for result in results:
        shown = zip(result.task.get("images", ()), stored.get(result.id, ()), strict=False)
        images = [{**ours, "url": row["url"]} if fleet.proxy_url in ours["url"] else ours for ours, row in shown]
        found[result.id] = {**result.task, "images": images}
    return found


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
        f"unconfirmed, not at the provider, and made again: {trial.unconfirmed}",
        f"in the account at the provider, whose webhook was given up: {len(awaiting_webhook(trial.record))}",
        f"images served from copies by each replica: {trial.copies.served}, without a copy: {trial.copies.missing}",
        f"repeated requests: {dict(trial.repeated)}",
        f"interrupted requests: {len(trial.interrupted_s)}, {_durations(trial.interrupted_s)}",
        f"problems: {len(trial.problems)}",
    ]
    return "".join(f"{line}\n" for line in [*lines, *trial.problems])
