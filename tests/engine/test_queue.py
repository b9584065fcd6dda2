"""The queue of an account: calls above its limit wait in a fair order, with a position; none is lost or paid."""

import random
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import ManualClock, until
from store.examples import TASK
from support import (
    Environment,
    client_of,
    coarse,
    created,
    explained,
    make_environment,
    make_request,
    make_wide_environment,
    running_studio,
    settings_for,
    statements,
)

from engine.test_journal import execute, hide, show
from journey_mcp import sandbox
from journey_mcp.core.concurrency import limit_at, parse_limits_at_once
from journey_mcp.core.errors import SetupError
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.queue import Queues
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.registry import load
from journey_mcp.sandbox import JourneyApiSettings
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store
from journey_mcp.studio import Studio

LIMIT = "JOURNEY_MCP_MAX_CONCURRENT"
TWO = ("journeyapi", "bfl")
BOTH: dict[str, Any] = {"model": "flux-2-max"}
"""JourneyAPI and BFL offer it."""
NO_COPIES = {"JOURNEY_MCP_KEEP_IMAGES": "off"}
"""Nobody looks at the images here, and most of the time went into drawing them."""


def limited(
    folder: Path,
    *faults: str,
    services: tuple[str, ...] = ("journeyapi",),
    name: str = "basic",
    limit: str | None = None,
    **more: Any,
) -> AbstractAsyncContextManager[Environment]:
    """Return an environment whose JourneyAPI has a plan, and in which a task of midjourney takes 30 to 90 seconds."""
    fake = JourneyApiSettings(plan=name)  # type: ignore[arg-type]  # a plan by name
    given = {"speed": 1, "journeyapi": fake, **NO_COPIES, **({LIMIT: limit} if limit else {}), **more}
    return make_wide_environment(folder, *faults, services=services, **given)


def prompts(here: Environment, service: str = "journeyapi") -> list[str]:
    """Return the prompts that were sent, in the order of arrival."""
    return [body["prompt"] for body in here.sent_to(service)]


def refusals(here: Environment) -> int:
    """Return how many creating requests the provider refused."""
    return sum(entry.outcome.startswith("refused") for entry in here.upstream.sandbox.request_log.submissions)


async def enqueued(studio: Studio, *names: str, principal: str = LOCAL, **more: Any) -> list[Task]:
    """Create tasks with these prompts, a moment after one another."""
    given, tasks = {"model": "midjourney", **more}, []
    for name in names:
        tasks.append(await created(studio, make_request(prompt=name, **given), Principal(principal)))
        await anyio.sleep(0.01)
    return tasks


async def until_refused(here: Environment, task: Task) -> None:
    """Wait until a notice of the task reports a refusal: then it is queued again."""
    with anyio.fail_after(30):
        while not any("at its limit" in str(notice) for notice in task.transient_notices):
            await here.clock.sleep(0.01)
            task = (await here.studio.fetch([task.id], task.principal))[task.id]


async def until_ended(studio: Studio, tasks: list[Task]) -> dict[str, Task]:
    """Wait until all these tasks of a process have ended, however long they take, and return them."""
    found: dict[str, Task] = {}
    for task in tasks:
        found.update(await studio.fetch([task.id], task.principal, seconds=1e6))
    return found


# the setting


def test_limits_are_parsed() -> None:
    """For all providers, or for one."""
    limits = parse_limits_at_once(" 8, 25@JourneyAPI ,5@bfl,")
    assert [limit_at(limits, name) for name in ("journeyapi", "bfl", "vtrix")] == [25, 5, 8]
    assert limit_at(parse_limits_at_once("25@journeyapi"), "vtrix") is None
    assert parse_limits_at_once("") == {}


@pytest.mark.parametrize("value", ["0", "many", "-1", "2.5", "25@", "5@journey api", "5,6", "5@bfl,6@BFL", "1000000"])
def test_an_invalid_limit_stops_the_start_and_is_named(value: str) -> None:
    """With the form that is allowed."""
    with pytest.raises(SetupError) as raised:
        read_settings({LIMIT: value})
    assert f"{LIMIT}={value!r}: " in str(raised.value)
    assert "must be N or N@PROVIDER with N from 1 to 999999, such as 25@journeyapi" in str(raised.value)
    assert raised.value.failure.next_step == "Correct or unset this variable."


def test_an_unknown_provider_is_named() -> None:
    """With those that exist; one without a key is allowed."""
    registry = load()
    with pytest.raises(SetupError, match=f"{LIMIT}=25@journyapi: there is no provider 'journyapi'") as raised:
        accounts_of(read_settings({LIMIT: "25@journyapi"}), registry)
    assert "allowed: journeyapi, vtrix, kkiai, replicate, bfl" in str(raised.value)
    assert accounts_of(read_settings({LIMIT: "25@journeyapi"}), registry) == []


# limits


@pytest.mark.parametrize(("model", "speed"), [("midjourney", 5), ("z-image", 0.5)])
async def test_no_more_run_than_the_plan_allows(tmp_path: Path, model: str, speed: float) -> None:
    """Twelve calls on a plan for five: each is sent once, none is refused, all finish."""
    async with limited(tmp_path, limit="5@journeyapi", speed=speed) as here:
        tasks = await enqueued(here.studio, *map(str, range(12)), model=model)
        await until(lambda: len(here.sent) == 5)
        await here.clock.sleep(5)
        assert (len(here.sent), here.upstream.sandbox.tasks.running_of("journeyapi")) == (5, 5)
        found = await until_ended(here.studio, tasks)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert (prompts(here), refusals(here)) == ([str(number) for number in range(12)], 0)


async def test_a_limit_that_is_not_configured_is_learned(tmp_path: Path) -> None:
    """From the refusals of the first burst: then as many run as may, and all finish."""
    async with limited(tmp_path, speed=3) as here:
        tasks: list[Task] = []

        async def make(number: int) -> None:
            tasks.extend(await enqueued(here.studio, str(number)))

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(make, number)
        await until(lambda: len(here.created) == 5)
        await here.clock.sleep(9)
        assert len(here.created) == 5
        assert refusals(here) == 7
        found = await until_ended(here.studio, tasks)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert len(here.created) == 12
        assert refusals(here) <= 12


async def test_two_processes_share_a_plan(tmp_path: Path) -> None:
    """A task that ends in one makes room in the other within a moment."""
    async with limited(tmp_path, limit="2") as here, running_studio(here.studio.settings, here.clock) as other:
        ours = await enqueued(here.studio, "a", "b")
        await until(lambda: len(here.created) == 2)
        theirs = await enqueued(other, "c", "d", "e")
        await here.clock.sleep(10)
        assert prompts(here) == ["a", "b"]
        here.clock.advance(100)
        await until(lambda: len(here.created) == 4)
        assert prompts(here) == ["a", "b", "c", "d"]
        found = await until_ended(here.studio, ours) | await until_ended(other, theirs)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert refusals(here) == 0


async def test_two_processes_share_the_queue(tmp_path: Path) -> None:
    """Fairness rounds and positions count the entries of both."""
    async with limited(tmp_path, limit="1", speed=3) as here, running_studio(here.studio.settings, here.clock) as other:
        running = await enqueued(here.studio, "a0", principal="a")
        await until(lambda: here.created)
        ours = await enqueued(here.studio, "a1", "a2", principal="a")
        database = sqlite3.connect(tmp_path / "tasks.db")
        # other processes see who waits once that is stored, which takes the first one a moment longer
        await until(
            lambda: database.execute("SELECT count(*) FROM tasks WHERE queue_state = 'waiting'").fetchone() == (2,)
        )
        database.close()
        theirs = await enqueued(other, "b0", "b1", principal="b")
        await until(lambda: other.position(theirs[1].id) == 4)
        reported: list[str] = []

        async def report(_progress: float, message: str) -> None:
            reported.append(message)

        # a caller of another process gets its position as well
        await here.studio.fetch([theirs[1].id], principal=Principal("b"), seconds=4, report=report)
        assert reported[-1] == "midjourney: queued, position 4 at journeyapi"
        ours += await enqueued(here.studio, "c0", principal="c")
        await until(lambda: [here.studio.position(task.id) for task in ours] == [1, 4, 3])
        await until(lambda: [other.position(task.id) for task in theirs] == [2, 5])
        await until_ended(here.studio, [*running, *ours])
        await until_ended(other, theirs)
        assert prompts(here) == ["a0", "a1", "b0", "c0", "a2", "b1"]
        assert refusals(here) == 0


async def test_of_two_processes_that_check_at_once_one_gets_the_last_slot(tmp_path: Path) -> None:
    """Checked and taken in one statement: never is one too many sent."""
    async with (
        limited(tmp_path, limit="3", speed=10) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        tasks: list[Task] = []

        async def make(number: int) -> None:
            tasks.extend(await enqueued(other if number % 2 else here.studio, str(number), principal=f"p{number}"))

        async with anyio.create_task_group() as group:
            for number in range(16):
                group.start_soon(make, number)
        most = 0
        with anyio.fail_after(60):
            while len(here.created) < 16:
                most = max(most, here.upstream.sandbox.tasks.running_of("journeyapi"))
                await here.clock.sleep(1)
        assert (most, refusals(here)) == (3, 0)


async def test_an_entry_of_a_dead_process_blocks_no_other(tmp_path: Path) -> None:
    """It counts as long as its lease."""
    async with limited(tmp_path, limit="1") as here:
        (running,) = await enqueued(here.studio, "first")
        await until(lambda: here.created)
        gone = replace(
            running, id="tsk_gone", request=make_request(prompt="gone"), status=Status.QUEUED, deduplication_key=None
        )
        gone = replace(gone, submission=Submission.PREPARED, prediction_id=None, duplicate_policy=None)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            await store.tasks.add(gone, worker_id="gone", lease_until=here.clock.now() - 1)
            await store.queue.enqueue((0, 0.0, gone.id), "waiting")
        (waiting,) = await enqueued(here.studio, "waiting")
        await until(lambda: here.studio.position(waiting.id) == 1)
        await until_ended(here.studio, [running, waiting])
        assert prompts(here) == ["first", "waiting"]


async def test_calls_of_one_principal_are_served_in_order_across_servers(tmp_path: Path) -> None:
    """Also those that joined since the others were last read."""
    async with (
        limited(tmp_path, limit="1", speed=10) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        tasks: dict[Studio, list[Task]] = {here.studio: await enqueued(here.studio, "0"), other: []}
        await until(lambda: here.created)
        for number in range(1, 7):
            studio = other if number % 2 else here.studio
            tasks[studio] += await enqueued(studio, str(number))
            await until(lambda studio=studio, task=tasks[studio][-1]: studio.position(task.id))  # type: ignore[misc]
        for studio, own in tasks.items():
            await until_ended(studio, own)
        assert prompts(here) == [str(number) for number in range(7)]


async def test_an_entry_that_was_refused_is_not_skipped_for_ever(tmp_path: Path) -> None:
    """After the provider's Retry-After it waits for room like the others, and before them."""
    fault = "submit:status=429,header.Retry-After=2"
    async with (
        limited(tmp_path, fault, limit="1", speed=3) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        (refused,) = await enqueued(here.studio, "refused")
        await until_refused(here, refused)
        running = await enqueued(other, "runs")
        await until(lambda: here.created)
        await here.clock.sleep(5)
        behind = await enqueued(other, *map(str, range(4)))
        await until_ended(other, [*running, *behind])
        await until_ended(here.studio, [refused])
        assert prompts(here)[:3] == ["refused", "runs", "refused"]


async def test_a_locked_store_lets_no_task_exceed_the_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The queue cannot be read, so no entry gets a slot."""
    url = f"sqlite:///{tmp_path}/tasks.db?timeout=0.05"
    async with limited(tmp_path, limit="1", speed=0.5, JOURNEY_MCP_DATABASE_URL=url) as here:
        first = await enqueued(here.studio, "first")
        await until(lambda: here.created)
        second = await enqueued(here.studio, "second")
        holder = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        await here.clock.sleep(1.5)
        assert "the queue at journeyapi cannot be read" in caplog.text
        holder.execute("ROLLBACK")
        holder.close()
        await here.clock.sleep(40)
        assert (prompts(here), refusals(here)) == (["first"], 0)
        found = await until_ended(here.studio, [*first, *second])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}


async def test_a_pause_in_one_process_does_not_pause_another(tmp_path: Path) -> None:
    """One process got a Retry-After of minutes; the other one tries for itself."""
    faults = ("submit:status=429,header.Retry-After=500",)
    async with (
        limited(tmp_path, *faults, limit="5") as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        (held,) = await enqueued(here.studio, "held")
        await until_refused(here, held)
        (free,) = await enqueued(other, "free")
        await until(lambda: prompts(here) == ["held", "free"])
        assert (await other.fetch([free.id], LOCAL))[free.id].submission is not Submission.REFUSED


async def test_a_task_that_reports_nothing_for_an_hour_is_not_counted(tmp_path: Path) -> None:
    """If it still runs, the provider refuses one more."""
    async with limited(tmp_path, "submit:hang", limit="1", speed=10) as here:
        await enqueued(here.studio, "lost")
        await until(lambda: here.created)
        await enqueued(here.studio, "next")
        await here.clock.sleep(30)  # from now on its progress does not change
        assert prompts(here) == ["lost"]
        here.clock.shift_calendar(3600)
        await until(lambda: prompts(here) == ["lost", "next"])


async def test_a_slot_costs_two_statements_and_without_a_limit_none(tmp_path: Path) -> None:
    """These read only the few tasks that count."""
    async with make_environment(tmp_path) as here:
        with statements("queue_") as seen:
            await here.made()
        assert seen == []
    async with make_environment(tmp_path, JOURNEY_MCP_MAX_CONCURRENT=9) as here:
        with statements("queue_") as seen:
            await here.made()
    reported = [step for statement, values in dict(seen).items() for step in explained(tmp_path, statement, values)]
    assert reported == [
        "SEARCH tasks USING INDEX tasks_in_queue (provider=? AND base_url=?)",
        "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (id=?)",
        "SCALAR SUBQUERY 1",
        "SCAN others USING INDEX tasks_unfinished",
    ]


async def test_if_tasks_cannot_be_counted_none_is_sent(tmp_path: Path) -> None:
    """Then none can be journaled either, and that is what is reported."""
    async with limited(tmp_path, limit="1") as here:
        await enqueued(here.studio, "first")
        await until(lambda: here.created)
        (second,) = await enqueued(here.studio, "second")
        hide(tmp_path)
        reported = await here.studio.wait_for_new(second, 300)
        assert reported.failure is not None
        assert (reported.failure.code, reported.submission, prompts(here)) == (
            "store_unavailable",
            Submission.REFUSED,
            ["first"],
        )
        show(tmp_path)


# order


async def test_fairness_rounds_go_round_between_principals(tmp_path: Path) -> None:
    """A principal with ten calls does not delay one with two; its first call is first."""
    async with limited(tmp_path, limit="1", speed=10) as here:
        many = await enqueued(here.studio, *(f"a{number}" for number in range(6)), principal="a")
        await until(lambda: here.created)
        few = await enqueued(here.studio, "b0", "b1", principal="b")
        one = await enqueued(here.studio, "c0", principal="c")
        await until_ended(here.studio, [*many, *few, *one])
        assert prompts(here) == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4", "a5"]


async def test_a_position_is_the_order_of_the_slots(tmp_path: Path) -> None:
    """It is in progress messages, which strictly increase."""
    async with limited(tmp_path, "fetch:percentage=0", limit="1", speed=3) as here:
        (running,) = await enqueued(here.studio, "a0", principal="a")
        await until(lambda: here.created)
        waiting = await enqueued(here.studio, "a1", "a2", "a3", principal="a")
        waiting += await enqueued(here.studio, "b0", "b1", principal="b")
        seen: dict[str, list[tuple[float, str]]] = {}

        async def watch(task: Task) -> None:
            async def report(progress: float, message: str) -> None:
                seen.setdefault(task.request.prompt, []).append((progress, message))

            await here.studio.wait_for_new(task, 1e6, report)

        async with anyio.create_task_group() as group:
            for task in [running, *waiting]:
                group.start_soon(watch, task)
            await until(lambda: len(seen) == 6)
            assert {name: reported[-1][1].removeprefix("midjourney: ") for name, reported in seen.items()} == {
                "a0": "running",
                "a1": "queued, position 1 at journeyapi",
                "b0": "queued, position 2 at journeyapi",
                "a2": "queued, position 3 at journeyapi",
                "b1": "queued, position 4 at journeyapi",
                "a3": "queued, position 5 at journeyapi",
            }
            await until_ended(here.studio, [running, *waiting])
        for reported in seen.values():
            values = [progress for progress, _ in reported]
            assert values == sorted(set(values))
        assert any("position 1 at" in message for _, message in seen["a3"])
        assert any("midjourney: running" in message for _, message in seen["a3"])


async def test_a_client_sees_its_position(tmp_path: Path) -> None:
    """In a session: at once with `wait_s` 0, as progress while it waits, as a sum for several."""
    hang = sandbox.Fault.parse("submit:hang,times=always")
    async with sandbox.running(coarse(speed=0, faults=(hang,))) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, **{LIMIT: "1"})
        async with client_of(settings) as client:
            seen: list[str] = []

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                assert 0 < progress < (total or 0)
                seen.append(message or "")

            async def call(tool: str, **given: Any) -> Any:
                return (await client.call_tool(tool, given, progress_callback=on_progress)).structured_content

            first = await call("imagine", prompt="a kite", wait_s=10)
            second = await call("imagine", prompt="a boat", wait_s=10)
            assert (first["status"], second["status"]) == ("running", "queued")
            assert "midjourney: queued, position 1 at journeyapi" in seen
            for number in range(11):
                await call("imagine", prompt=f"kite {number}", wait_s=0)
            last = await call("imagine", prompt="the last", wait_s=10)
            assert "midjourney: queued, position 13 at journeyapi" in seen
            ids = [first["task_id"], second["task_id"], last["task_id"]]
            await call("fetch_task", task_ids=ids, wait_s=10)
            assert "0 of 3 done, 2 queued" in seen


async def test_a_call_that_does_not_wait_returns_queued(tmp_path: Path) -> None:
    """Within two seconds, with its handle."""
    async with limited(tmp_path, limit="1") as here:
        await enqueued(here.studio, "first")
        await until(lambda: here.created)
        started = here.clock.elapsed()
        (task,) = await enqueued(here.studio, "second")
        task = await here.studio.wait_for_new(task, 0)
        assert (task.status, task.submission) == (Status.QUEUED, Submission.PREPARED)
        assert 1.5 <= here.clock.elapsed() - started < 1.6


async def test_a_canceled_task_leaves_the_queue_at_once(tmp_path: Path) -> None:
    """Free; those behind it move up."""
    async with limited(tmp_path, limit="1") as here:
        (running,) = await enqueued(here.studio, "first")
        await until(lambda: here.created)
        second, third, fourth = await enqueued(here.studio, "second", "third", "fourth")
        reported: list[str] = []

        async def report(_progress: float, message: str) -> None:
            reported.append(message)

        await here.studio.wait_for_new(fourth, 10, report)
        assert any("position 3 at" in message for message in reported)
        for task in (second, third):
            ended, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
            assert (ended.status, ended.submission, ended.cost) == (Status.CANCELED, Submission.REFUSED, None)
            assert said == Notice.of("canceled_unsent")
        reported.clear()
        await here.studio.wait_for_new(fourth, 10, report)
        assert all("position 1 at" in message for message in reported)
        found = await until_ended(here.studio, [running, fourth])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert prompts(here) == ["first", "fourth"]


async def test_tasks_that_another_process_ended_block_no_other(tmp_path: Path) -> None:
    """One that waited and one that ran: slot and room go to the next."""
    async with limited(tmp_path, limit="1") as here:
        await enqueued(here.studio, "first", "second", "third")
        await until(lambda: here.created)
        ended = "lease_worker = 'another', lease_until = 9e9, status = 'canceled', final = 1"
        execute(tmp_path, f"UPDATE tasks SET {ended} WHERE request LIKE '%first%' OR request LIKE '%second%'")
        await until(lambda: len(here.sent) == 2)
        assert prompts(here) == ["first", "third"]


# refusals


async def test_one_entry_tries_and_the_others_wait_behind_it(tmp_path: Path) -> None:
    """At a provider that refuses although none of our tasks runs there: another program uses the account."""
    fault = "submit:status=429,header.Retry-After=1,times=4"
    async with limited(tmp_path, fault, name="enterprise", speed=10) as here:
        first = await enqueued(here.studio, "a0", principal="a")
        await until_refused(here, *first)
        await until(lambda: here.studio.position(first[0].id) == 1)
        others = await enqueued(here.studio, "a1", principal="a") + await enqueued(here.studio, "b0", principal="b")
        await until(lambda: refusals(here) == 4)
        found = await until_ended(here.studio, [*first, *others])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert prompts(here) == ["a0"] * 5 + ["b0", "a1"]


async def test_an_entry_that_was_refused_keeps_its_rank(tmp_path: Path) -> None:
    """Before later ones of its fairness round, of any principal."""
    async with limited(
        tmp_path, "submit:status=429,header.Retry-After=2", name="enterprise", limit="1", speed=10
    ) as here:
        (first,) = await enqueued(here.studio, "b0", principal="b")
        await until_refused(here, first)
        await until(lambda: here.studio.position(first.id) == 1)
        others = await enqueued(here.studio, "b1", principal="b") + await enqueued(here.studio, "a0", principal="a")
        await until_ended(here.studio, [first, *others])
        assert prompts(here) == ["b0", "b0", "a0", "b1"]


async def test_a_retry_after_pauses_the_whole_queue(tmp_path: Path) -> None:
    """No task is sent sooner."""
    async with limited(tmp_path, "submit:status=429,header.Retry-After=30") as here:
        await until_refused(here, *await enqueued(here.studio, "first"))
        refused_at = here.clock.elapsed()
        await enqueued(here.studio, "second")
        await here.clock.sleep(29)
        assert prompts(here) == ["first"]
        await until(lambda: here.created)
        assert 29.9 < here.clock.elapsed() - refused_at < 30.1
        assert prompts(here)[:2] == ["first", "first"]


async def test_a_provider_that_refuses_every_task_ends_them_all_in_ten_minutes(tmp_path: Path) -> None:
    """Not one after the other: each was tried, and none was accepted."""
    async with make_environment(tmp_path, "submit:status=429,times=always") as here:
        tasks = await enqueued(here.studio, "first")
        await until(lambda: refusals(here) == 1)
        tasks += await enqueued(here.studio, *map(str, range(9)))
        found = await here.studio.fetch([task.id for task in tasks], LOCAL, seconds=3000)
        assert {task.failure.code for task in found.values() if task.failure} == {"rate_limited"}
        assert {task.cost for task in found.values()} == {None}
        assert {round(task.updated_at - task.created_at) for task in found.values()} == {600}
        assert len(set(prompts(here))) == 10
        assert refusals(here) < 60


async def test_waiting_in_the_queue_does_not_count_as_being_refused(tmp_path: Path) -> None:
    """An hour behind a task of ours, one refusal before and one after: it is still tried."""
    faults = ("submit:status=429,header.Retry-After=20", "submit:status=429,after=2")
    async with (
        limited(tmp_path, *faults, limit="1", speed=0.004) as here,
        running_studio(here.studio.settings, here.clock) as late,
    ):
        (task,) = await enqueued(late, "waits", model="flux-schnell")
        await until(lambda: refusals(here) == 1)
        await enqueued(here.studio, "runs", model="flux-pro")
        await until(lambda: here.created)
        await here.clock.sleep(29.5)
        for _ in range(3):
            here.clock.advance(600)
            await here.clock.sleep(4.5)
        assert (await late.fetch([task.id], LOCAL))[task.id].status is Status.QUEUED
        here.clock.advance(1700)
        await until(lambda: len(here.created) == 2)
        here.clock.advance(1000)
        found = await until_ended(late, [task])
        assert found[task.id].status is Status.SUCCEEDED
        assert prompts(here) == ["waits", "runs", "waits", "waits"]


async def test_a_refused_task_moves_to_another_provider_after_ten_seconds(tmp_path: Path) -> None:
    """Also if tasks of ours fill the provider."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with limited(tmp_path, services=TWO, **more) as here:
        await enqueued(here.studio, *map(str, range(5)))
        await until(lambda: len(here.created) == 5)
        refused_at = here.clock.now()
        (task,) = await enqueued(here.studio, "sixth", **BOTH)
        await here.clock.sleep(9)
        assert here.sent_to("bfl") == []
        await until(lambda: here.sent_to("bfl"))
        assert 9.9 < here.clock.now() - refused_at < 10.1
        task = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert (task.provider, refusals(here)) == ("bfl", 1)
        assert any("at its limit. bfl was tried next" in str(notice) for notice in task.notices)
        await until_ended(here.studio, [task])


async def test_waiting_alone_moves_no_task(tmp_path: Path) -> None:
    """The queue is due to the configured limit: no task was refused."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with limited(tmp_path, services=TWO, limit="1@journeyapi", **more) as here:
        await enqueued(here.studio, "first")
        await until(lambda: here.created)
        (task,) = await enqueued(here.studio, "second", **BOTH)
        await here.clock.sleep(25)
        assert here.sent_to("bfl") == []
        found = await until_ended(here.studio, [task])
        assert (found[task.id].provider, found[task.id].status) == ("journeyapi", Status.SUCCEEDED)


async def test_the_refusal_of_one_task_moves_no_other_that_waits_for_our_tasks(tmp_path: Path) -> None:
    """Two processes counted at the same moment: the refused task moves, the one behind it waits for its slot."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    fault = "journeyapi/submit:status=429,after=1"
    async with limited(tmp_path, fault, services=TWO, limit="2@journeyapi", **more) as here:
        await enqueued(here.studio, "first")
        await until(lambda: here.created)
        (refused,) = await enqueued(here.studio, "refused", **BOTH)
        await until(lambda: refusals(here) == 1)
        (behind,) = await enqueued(here.studio, "behind", **BOTH)
        await until(lambda: prompts(here, "bfl") == ["refused"])
        await here.clock.sleep(15)
        assert prompts(here, "bfl") == ["refused"]
        found = await until_ended(here.studio, [refused, behind])
        assert [found[task.id].provider for task in (refused, behind)] == ["bfl", "journeyapi"]


async def test_a_task_behind_a_refused_one_moves_too(tmp_path: Path) -> None:
    """The first one is pinned, and is tried for ten minutes; the second one need not wait so long."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with limited(tmp_path, services=TWO, limit="1@journeyapi", **more) as here:
        await enqueued(here.studio, "first")
        await until(lambda: here.created)
        (pinned,) = await enqueued(here.studio, "pinned", provider="journeyapi", **BOTH)
        (free,) = await enqueued(here.studio, "free", **BOTH)
        here.faults("journeyapi/submit:status=429,times=always")
        here.clock.advance(100)
        await here.clock.sleep(9)
        await until(lambda: here.sent_to("bfl"))
        found = await here.studio.fetch([pinned.id, free.id], LOCAL)
        assert [found[task.id].provider for task in (pinned, free)] == ["journeyapi", "bfl"]
        assert "free" not in prompts(here)
        await until_ended(here.studio, [free])


async def test_a_task_that_cannot_move_keeps_waiting(tmp_path: Path) -> None:
    """The other provider would have to fetch the image, and cannot."""
    given: dict[str, Any] = {"model": "flux-1.1-pro", "reference_images": ("http://127.0.0.1:9/a.png",)}
    more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1:9"}
    fault = "replicate/submit:status=429,times=always"
    async with make_wide_environment(tmp_path, fault, services=("replicate", "bfl"), **more) as here:
        tasks = await enqueued(here.studio, "first", provider="replicate", **given)
        await until_refused(here, *tasks)
        tasks += await enqueued(here.studio, "second", **given)
        await here.clock.sleep(25)
        here.faults()
        found = await here.studio.fetch([task.id for task in tasks], LOCAL, seconds=600)
        assert {(task.provider, task.submission) for task in found.values()} == {("replicate", Submission.ACCEPTED)}
        assert here.sent_to("bfl") == []


@pytest.mark.parametrize("seed", range(3))
async def test_every_task_gets_a_slot(tmp_path: Path, seed: int) -> None:
    """In any mix of three principals, two processes, refusals and cancellations."""
    dice = random.Random(seed)
    faults = [f"submit:status=429,after={dice.randrange(30)},times={dice.randint(1, 4)}" for _ in range(2)]
    reported = {"speed": 300, "journeyapi": JourneyApiSettings(plan="basic"), **NO_COPIES}
    reported |= {LIMIT: "5"} if seed else {}
    async with make_wide_environment(tmp_path, *faults, services=("journeyapi",), **reported) as here:
        async with running_studio(here.studio.settings, here.clock) as other:
            tasks: dict[Studio, list[Task]] = {here.studio: [], other: []}

            async def make(number: int, studio: Studio, principal: str, pause_s: float, *, is_canceled: bool) -> None:
                await anyio.sleep(pause_s)
                task = await created(studio, make_request(prompt=str(number), model="midjourney"), Principal(principal))
                tasks[studio].append(task)
                if is_canceled:
                    await studio.cancel([task.id], Principal(principal))

            async with anyio.create_task_group() as group:
                for number in range(24):
                    studio, principal = dice.choice([here.studio, other]), dice.choice("abc")
                    is_canceled = dice.random() < 0.2
                    make_one = partial(make, is_canceled=is_canceled)
                    group.start_soon(make_one, number, studio, principal, dice.random() / 2)
            with anyio.fail_after(600):
                found = await until_ended(here.studio, tasks[here.studio])
                found |= await until_ended(other, tasks[other])
            assert len(found) == 24
            assert {task.status for task in found.values()} <= {Status.SUCCEEDED, Status.CANCELED}
        assert len(here.created) == len(set(prompts(here)))


# shut-down


def ends(found: Mapping[str, Task]) -> set[tuple[str, Submission, object]]:
    """Return how these tasks ended, and what they cost."""
    return {(task.failure.code, task.submission, task.cost) for task in found.values() if task.failure}


@pytest.mark.parametrize("is_told", [True, False])
async def test_queued_tasks_end_free_when_the_process_ends(tmp_path: Path, is_told: bool) -> None:
    """At once, by the process itself: after a signal, or because its client disconnected."""
    async with limited(tmp_path, limit="1") as here:
        waiting: list[Task] = []
        with anyio.CancelScope() as scope:
            async with running_studio(here.studio.settings, here.clock) as ending:
                await enqueued(ending, "first")
                await until(lambda: here.created)
                waiting = await enqueued(ending, "second", "third")
                await ending.wait_for_new(waiting[0], 0)
                if is_told:
                    scope.cancel()
                    await anyio.sleep_forever()
        connection = sqlite3.connect(tmp_path / "tasks.db")
        rows = connection.execute("SELECT status, submission FROM tasks WHERE final ORDER BY created_at").fetchall()
        connection.close()
        assert rows == [("failed", "refused")] * 2
        found = await here.studio.fetch([task.id for task in waiting], LOCAL)
        assert ends(found) == {("not_submitted", Submission.REFUSED, None)}
        assert prompts(here) == ["first"]


async def test_a_task_that_is_refused_while_the_process_ends_is_not_queued_again(tmp_path: Path) -> None:
    """The answer was awaited; a slot would come too late."""
    async with limited(tmp_path, "submit:delay=1", "submit:status=429", limit="1") as here:
        async with running_studio(here.studio.settings, here.clock) as leaving:
            (task,) = await enqueued(leaving, "first")
            await until(lambda: here.sent)
        found = await here.studio.fetch([task.id], LOCAL)
        assert ends(found) == {("not_submitted", Submission.REFUSED, None)}


async def test_the_built_in_sandbox_has_a_queue_too(tmp_path: Path) -> None:
    """Its plan is for ten: twenty at once all finish."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path), **NO_COPIES})
    async with running_studio(settings) as studio:
        tasks = await enqueued(studio, *map(str, range(20)), model="flux-schnell")
        found = await studio.fetch([task.id for task in tasks], LOCAL, seconds=1e6)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}


async def test_queues_without_tasks_are_forgotten_when_there_are_very_many(tmp_path: Path) -> None:
    """Callers bring any number of accounts; a queue in which a task waits stays."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store, anyio.create_task_group() as group:
        clock = ManualClock()
        queues = Queues(Journal(store, clock, store.notifications), store.queue, clock, {})
        (operators,) = accounts_of(read_settings({"JOURNEYAPI_API_KEY": "k"}), load())
        busy = replace(operators, sealed_key="busy")
        first, idle = queues.of(busy), queues.of(operators)
        held = anyio.Event()

        async def hold() -> None:
            async with first.slot(TASK):
                await held.wait()

        group.start_soon(hold)
        await clock.sleep(1)
        for number in range(1_000):
            queues.of(replace(operators, sealed_key=str(number)))
        assert queues.of(busy) is first
        assert queues.of(operators) is not idle
        held.set()
