"""Calls above what a provider runs at once wait here: in turn, told where they stand, and nothing is lost or paid."""

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
from manual_clock import until
from support import (
    Environment,
    client_of,
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


def plan(
    folder: Path,
    *faults: str,
    services: tuple[str, ...] = ("journeyapi",),
    name: str = "basic",
    limit: str | None = None,
    **more: Any,
) -> AbstractAsyncContextManager[Environment]:
    """Return a world whose JourneyAPI has a plan, and in which a task of midjourney takes 30 to 90 seconds."""
    fake = JourneyApiSettings(plan=name)  # type: ignore[arg-type]  # a plan by name
    given = {"speed": 1, "journeyapi": fake, **({LIMIT: limit} if limit else {}), **more}
    return make_wide_environment(folder, *faults, services=services, **given)


def prompts(here: Environment, service: str = "journeyapi") -> list[str]:
    """What was asked for, in the order of arrival."""
    return [body["prompt"] for body in here.sent_to(service)]


def refusals(here: Environment) -> int:
    """How many creating requests the provider refused."""
    return sum(entry.outcome.startswith("refused") for entry in here.upstream.sandbox.request_log.submissions)


async def in_line(studio: Studio, *names: str, principal: str = LOCAL, **more: Any) -> list[Task]:
    """Create tasks with these prompts, a moment after one another."""
    given, tasks = {"model": "midjourney", **more}, []
    for name in names:
        tasks.append(await created(studio, make_request(prompt=name, **given), Principal(principal)))
        await anyio.sleep(0.01)
    return tasks


async def until_refused(here: Environment, task: Task) -> None:
    """Wait until a notice of the task reports a refusal: then it is back in line."""
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


def test_limits_are_read_as_they_are_written() -> None:
    """For all, or for one."""
    limits = parse_limits_at_once(" 8, 25@JourneyAPI ,5@bfl,")
    assert [limit_at(limits, name) for name in ("journeyapi", "bfl", "vtrix")] == [25, 5, 8]
    assert limit_at(parse_limits_at_once("25@journeyapi"), "vtrix") is None
    assert parse_limits_at_once("") == {}


@pytest.mark.parametrize("value", ["0", "many", "-1", "2.5", "25@", "5@journey api", "5,6", "5@bfl,6@BFL", "1000000"])
def test_nonsense_stops_the_start_and_is_named(value: str) -> None:
    """With the form that is allowed."""
    with pytest.raises(SetupError) as raised:
        read_settings({LIMIT: value})
    assert f"{LIMIT}={value!r}: " in str(raised.value)
    assert "must be N or N@PROVIDER with N from 1 to 999999, such as 25@journeyapi" in str(raised.value)
    assert raised.value.failure.next_step == "Correct or unset this variable."


def test_a_provider_that_there_is_not_is_named() -> None:
    """With those that there are; one without a key is fine."""
    registry = load(None)
    with pytest.raises(SetupError, match=f"{LIMIT}=25@journyapi: there is no provider 'journyapi'") as raised:
        accounts_of(read_settings({LIMIT: "25@journyapi"}), registry)
    assert "allowed: journeyapi, vtrix, kkiai, replicate, bfl" in str(raised.value)
    assert accounts_of(read_settings({LIMIT: "25@journeyapi"}), registry) == []


# room


@pytest.mark.parametrize(("model", "speed"), [("midjourney", 5), ("z-image", 0.5)])
async def test_no_more_run_than_the_plan_allows(tmp_path: Path, model: str, speed: float) -> None:
    """Twelve calls at a plan for five: each is sent once, none is refused, all are done."""
    async with plan(tmp_path, limit="5@journeyapi", speed=speed) as here:
        tasks = await in_line(here.studio, *map(str, range(12)), model=model)
        await until(lambda: len(here.sent) == 5)
        await here.clock.sleep(5)
        assert (len(here.sent), here.upstream.sandbox.tasks.running_of("journeyapi")) == (5, 5)
        found = await until_ended(here.studio, tasks)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert (prompts(here), refusals(here)) == ([str(number) for number in range(12)], 0)


async def test_a_limit_that_nobody_told_is_learnt(tmp_path: Path) -> None:
    """From the refusals of the first burst: then as many run as may, and all are done."""
    async with plan(tmp_path, speed=3) as here:
        tasks: list[Task] = []

        async def make(number: int) -> None:
            tasks.extend(await in_line(here.studio, str(number)))

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
    """What ends in one makes room in the other within a moment."""
    async with plan(tmp_path, limit="2") as here, running_studio(here.studio.settings, here.clock) as other:
        ours = await in_line(here.studio, "a", "b")
        await until(lambda: len(here.created) == 2)
        theirs = await in_line(other, "c", "d", "e")
        await here.clock.sleep(10)
        assert prompts(here) == ["a", "b"]
        here.clock.advance(100)
        await until(lambda: len(here.created) == 4)
        assert prompts(here) == ["a", "b", "c", "d"]
        found = await until_ended(here.studio, ours) | await until_ended(other, theirs)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert refusals(here) == 0


async def test_two_processes_share_the_line(tmp_path: Path) -> None:
    """Turns go round between principals wherever they called, and whoever waits is told its place among all."""
    async with plan(tmp_path, limit="1", speed=3) as here, running_studio(here.studio.settings, here.clock) as other:
        running = await in_line(here.studio, "a0", principal="a")
        await until(lambda: here.created)
        ours = await in_line(here.studio, "a1", "a2", principal="a")
        database = sqlite3.connect(tmp_path / "tasks.db")
        # other processes see who waits once that is stored, which takes the first one a moment longer
        await until(
            lambda: database.execute("SELECT count(*) FROM tasks WHERE queue_state = 'waiting'").fetchone() == (2,)
        )
        database.close()
        theirs = await in_line(other, "b0", "b1", principal="b")
        await until(lambda: other.position(theirs[1].id) == 4)
        told: list[str] = []

        async def report(_progress: float, message: str) -> None:
            told.append(message)

        # whoever asks for a task of another process hears its place as well
        await here.studio.fetch([theirs[1].id], principal=Principal("b"), seconds=4, report=report)
        assert told[-1] == "midjourney: queued, 4th in line at journeyapi"
        ours += await in_line(here.studio, "c0", principal="c")
        await until(lambda: [here.studio.position(task.id) for task in ours] == [1, 4, 3])
        await until(lambda: [other.position(task.id) for task in theirs] == [2, 5])
        await until_ended(here.studio, [*running, *ours])
        await until_ended(other, theirs)
        assert prompts(here) == ["a0", "a1", "b0", "c0", "a2", "b1"]
        assert refusals(here) == 0


async def test_of_two_processes_that_look_at_once_one_gets_the_last_place(tmp_path: Path) -> None:
    """Looked at and taken in one statement: never is one too many sent."""
    async with plan(tmp_path, limit="3", speed=10) as here, running_studio(here.studio.settings, here.clock) as other:
        tasks: list[Task] = []

        async def make(number: int) -> None:
            tasks.extend(await in_line(other if number % 2 else here.studio, str(number), principal=f"p{number}"))

        async with anyio.create_task_group() as group:
            for number in range(16):
                group.start_soon(make, number)
        most = 0
        with anyio.fail_after(60):
            while len(here.created) < 16:
                most = max(most, here.upstream.sandbox.tasks.running_of("journeyapi"))
                await here.clock.sleep(1)
        assert (most, refusals(here)) == (3, 0)


async def test_who_waits_in_a_process_that_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    """Its place counts as long as its lease."""
    async with plan(tmp_path, limit="1") as here:
        (running,) = await in_line(here.studio, "first")
        await until(lambda: here.created)
        gone = replace(
            running, id="tsk_gone", request=make_request(prompt="gone"), status=Status.QUEUED, deduplication_key=None
        )
        gone = replace(gone, submission=Submission.PREPARED, prediction_id=None, duplicate_policy=None)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            await store.tasks.add(gone, worker_id="gone", lease_until=here.clock.now() - 1)
            await store.queue.enqueue((0, 0.0, gone.id), "waiting")
        (waiting,) = await in_line(here.studio, "waiting")
        await until(lambda: here.studio.position(waiting.id) == 1)
        await until_ended(here.studio, [running, waiting])
        assert prompts(here) == ["first", "waiting"]


async def test_the_first_comes_first_whichever_server_it_came_to(tmp_path: Path) -> None:
    """Of one principal's calls; also those that came since the others were last looked at."""
    async with plan(tmp_path, limit="1", speed=10) as here, running_studio(here.studio.settings, here.clock) as other:
        tasks: dict[Studio, list[Task]] = {here.studio: await in_line(here.studio, "0"), other: []}
        await until(lambda: here.created)
        for number in range(1, 7):
            studio = other if number % 2 else here.studio
            tasks[studio] += await in_line(studio, str(number))
            await until(lambda studio=studio, task=tasks[studio][-1]: studio.position(task.id))  # type: ignore[misc]
        for studio, own in tasks.items():
            await until_ended(studio, own)
        assert prompts(here) == [str(number) for number in range(7)]


async def test_who_was_refused_once_is_not_passed_over_for_ever(tmp_path: Path) -> None:
    """When the provider's time to wait is over it waits for room like the others, and stands before them."""
    fault = "submit:status=429,header.Retry-After=2"
    async with (
        plan(tmp_path, fault, limit="1", speed=3) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        (refused,) = await in_line(here.studio, "refused")
        await until_refused(here, refused)
        running = await in_line(other, "runs")
        await until(lambda: here.created)
        await here.clock.sleep(5)
        behind = await in_line(other, *map(str, range(4)))
        await until_ended(other, [*running, *behind])
        await until_ended(here.studio, [refused])
        assert prompts(here)[:3] == ["refused", "runs", "refused"]


async def test_a_store_that_is_locked_lets_nobody_pass_the_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose turn it is cannot be told, so it is nobody's."""
    url = f"sqlite:///{tmp_path}/tasks.db?timeout=0.05"
    async with plan(tmp_path, limit="1", speed=0.5, JOURNEY_MCP_DATABASE_URL=url) as here:
        first = await in_line(here.studio, "first")
        await until(lambda: here.created)
        second = await in_line(here.studio, "second")
        holder = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        await here.clock.sleep(1.5)
        assert "whose turn it is at journeyapi cannot be told" in caplog.text
        holder.execute("ROLLBACK")
        holder.close()
        await here.clock.sleep(40)
        assert (prompts(here), refusals(here)) == (["first"], 0)
        found = await until_ended(here.studio, [*first, *second])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}


async def test_what_waits_for_the_provider_elsewhere_keeps_nobody_from_trying(tmp_path: Path) -> None:
    """One process was told to come back in an hour; the other one asks for itself."""
    faults = ("submit:status=429,header.Retry-After=500",)
    async with (
        plan(tmp_path, *faults, limit="5") as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        (held,) = await in_line(here.studio, "held")
        await until_refused(here, held)
        (free,) = await in_line(other, "free")
        await until(lambda: prompts(here) == ["held", "free"])
        assert (await other.fetch([free.id], LOCAL))[free.id].submission is not Submission.REFUSED


async def test_a_task_that_tells_nothing_for_an_hour_keeps_nobody_out(tmp_path: Path) -> None:
    """Whether it still runs, the provider knows best."""
    async with plan(tmp_path, "submit:hang", limit="1", speed=10) as here:
        await in_line(here.studio, "lost")
        await until(lambda: here.created)
        await in_line(here.studio, "next")
        await here.clock.sleep(30)  # from now on its progress does not change
        assert prompts(here) == ["lost"]
        here.clock.shift_calendar(3600)
        await until(lambda: prompts(here) == ["lost", "next"])


async def test_a_turn_costs_little_and_without_a_limit_nothing(tmp_path: Path) -> None:
    """Then a call is what it was before; else there are two statements more, on the few tasks that count."""
    async with make_environment(tmp_path) as here:
        with statements("queue_") as seen:
            await here.made()
        assert seen == []
    async with make_environment(tmp_path, JOURNEY_MCP_MAX_CONCURRENT=9) as here:
        with statements("queue_") as seen:
            await here.made()
    told = [plan for statement, values in dict(seen).items() for plan in explained(tmp_path, statement, values)]
    assert told == [
        "SEARCH tasks USING INDEX tasks_in_queue (provider=? AND base_url=?)",
        "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (id=?)",
        "SCALAR SUBQUERY 1",
        "SCAN others USING INDEX tasks_unfinished",
    ]


async def test_where_nothing_can_be_counted_nothing_is_sent(tmp_path: Path) -> None:
    """Then nothing can be journaled either, and that is what is told."""
    async with plan(tmp_path, limit="1") as here:
        await in_line(here.studio, "first")
        await until(lambda: here.created)
        (second,) = await in_line(here.studio, "second")
        hide(tmp_path)
        told = await here.studio.wait_for_new(second, 300)
        assert told.failure is not None
        assert (told.failure.code, told.submission, prompts(here)) == (
            "store_unavailable",
            Submission.REFUSED,
            ["first"],
        )
        show(tmp_path)


# turns


async def test_turns_go_round_between_principals(tmp_path: Path) -> None:
    """Who asks for ten keeps nobody waiting who asks for two; of one's own, the first comes first."""
    async with plan(tmp_path, limit="1", speed=10) as here:
        many = await in_line(here.studio, *(f"a{number}" for number in range(6)), principal="a")
        await until(lambda: here.created)
        few = await in_line(here.studio, "b0", "b1", principal="b")
        one = await in_line(here.studio, "c0", principal="c")
        await until_ended(here.studio, [*many, *few, *one])
        assert prompts(here) == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4", "a5"]


async def test_a_place_in_line_is_the_turn_that_comes(tmp_path: Path) -> None:
    """Counted as the turns go, and told in progress messages, which strictly increase."""
    async with plan(tmp_path, "fetch:percentage=0", limit="1", speed=3) as here:
        (running,) = await in_line(here.studio, "a0", principal="a")
        await until(lambda: here.created)
        waiting = await in_line(here.studio, "a1", "a2", "a3", principal="a")
        waiting += await in_line(here.studio, "b0", "b1", principal="b")
        seen: dict[str, list[tuple[float, str]]] = {}

        async def watch(task: Task) -> None:
            async def report(progress: float, message: str) -> None:
                seen.setdefault(task.request.prompt, []).append((progress, message))

            await here.studio.wait_for_new(task, 1e6, report)

        async with anyio.create_task_group() as group:
            for task in [running, *waiting]:
                group.start_soon(watch, task)
            await until(lambda: len(seen) == 6)
            assert {name: told[-1][1].removeprefix("midjourney: ") for name, told in seen.items()} == {
                "a0": "running",
                "a1": "queued, 1st in line at journeyapi",
                "b0": "queued, 2nd in line at journeyapi",
                "a2": "queued, 3rd in line at journeyapi",
                "b1": "queued, 4th in line at journeyapi",
                "a3": "queued, 5th in line at journeyapi",
            }
            await until_ended(here.studio, [running, *waiting])
        for told in seen.values():
            values = [progress for progress, _ in told]
            assert values == sorted(set(values))
        assert any("1st in line" in message for _, message in seen["a3"])
        assert any("midjourney: running" in message for _, message in seen["a3"])


async def test_a_client_sees_its_place(tmp_path: Path) -> None:
    """In a session: at once with `wait_s` 0, as progress while it waits, in sum for several."""
    hang = sandbox.Fault.parse("submit:hang,times=always")
    async with sandbox.running(sandbox.Settings(speed=0, faults=(hang,))) as upstream:
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
            assert "midjourney: queued, 1st in line at journeyapi" in seen
            for number in range(11):
                await call("imagine", prompt=f"kite {number}", wait_s=0)
            last = await call("imagine", prompt="the last", wait_s=10)
            assert "midjourney: queued, 13th in line at journeyapi" in seen
            ids = [first["task_id"], second["task_id"], last["task_id"]]
            await call("fetch_task", task_ids=ids, wait_s=10)
            assert "0 of 3 done, 2 queued" in seen


async def test_a_call_that_does_not_wait_returns_queued(tmp_path: Path) -> None:
    """Within two seconds, with its handle."""
    async with plan(tmp_path, limit="1") as here:
        await in_line(here.studio, "first")
        await until(lambda: here.created)
        started = here.clock.elapsed()
        (task,) = await in_line(here.studio, "second")
        task = await here.studio.wait_for_new(task, 0)
        assert (task.status, task.submission) == (Status.QUEUED, Submission.PREPARED)
        assert 1.5 <= here.clock.elapsed() - started < 1.6


async def test_who_is_called_off_leaves_the_line_at_once(tmp_path: Path) -> None:
    """Free; those behind move up."""
    async with plan(tmp_path, limit="1") as here:
        (running,) = await in_line(here.studio, "first")
        await until(lambda: here.created)
        second, third, fourth = await in_line(here.studio, "second", "third", "fourth")
        told: list[str] = []

        async def report(_progress: float, message: str) -> None:
            told.append(message)

        await here.studio.wait_for_new(fourth, 10, report)
        assert any("3rd in line" in message for message in told)
        for task in (second, third):
            ended, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
            assert (ended.status, ended.submission, ended.cost) == (Status.CANCELED, Submission.REFUSED, None)
            assert said == Notice.of("canceled_unsent")
        told.clear()
        await here.studio.wait_for_new(fourth, 10, report)
        assert all("1st in line" in message for message in told)
        found = await until_ended(here.studio, [running, fourth])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert prompts(here) == ["first", "fourth"]


async def test_what_somebody_else_has_ended_holds_nobody_up(tmp_path: Path) -> None:
    """Another process took a waiting task away, and a running one: turn and room go to the next."""
    async with plan(tmp_path, limit="1") as here:
        await in_line(here.studio, "first", "second", "third")
        await until(lambda: here.created)
        ended = "lease_worker = 'another', lease_until = 9e9, status = 'canceled', final = 1"
        execute(tmp_path, f"UPDATE tasks SET {ended} WHERE request LIKE '%first%' OR request LIKE '%second%'")
        await until(lambda: len(here.sent) == 2)
        assert prompts(here) == ["first", "third"]


# refusals


async def test_one_tries_and_the_others_wait_behind(tmp_path: Path) -> None:
    """At a provider that refuses though nothing of ours runs there: somebody else uses the account."""
    fault = "submit:status=429,header.Retry-After=1,times=4"
    async with plan(tmp_path, fault, name="enterprise", speed=10) as here:
        first = await in_line(here.studio, "a0", principal="a")
        await until_refused(here, *first)
        await until(lambda: here.studio.position(first[0].id) == 1)
        others = await in_line(here.studio, "a1", principal="a") + await in_line(here.studio, "b0", principal="b")
        await until(lambda: refusals(here) == 4)
        found = await until_ended(here.studio, [*first, *others])
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert prompts(here) == ["a0"] * 5 + ["b0", "a1"]


async def test_who_was_refused_keeps_its_place(tmp_path: Path) -> None:
    """Before those of its round that came later, of whatever principal."""
    async with plan(tmp_path, "submit:status=429,header.Retry-After=2", name="enterprise", limit="1", speed=10) as here:
        (first,) = await in_line(here.studio, "b0", principal="b")
        await until_refused(here, first)
        await until(lambda: here.studio.position(first.id) == 1)
        others = await in_line(here.studio, "b1", principal="b") + await in_line(here.studio, "a0", principal="a")
        await until_ended(here.studio, [first, *others])
        assert prompts(here) == ["b0", "b0", "a0", "b1"]


async def test_a_retry_after_holds_the_whole_line(tmp_path: Path) -> None:
    """Nobody asks sooner."""
    async with plan(tmp_path, "submit:status=429,header.Retry-After=30") as here:
        await until_refused(here, *await in_line(here.studio, "first"))
        refused_at = here.clock.elapsed()
        await in_line(here.studio, "second")
        await here.clock.sleep(29)
        assert prompts(here) == ["first"]
        await until(lambda: here.created)
        assert 29.9 < here.clock.elapsed() - refused_at < 30.1
        assert prompts(here)[:2] == ["first", "first"]


async def test_a_provider_that_refuses_everybody_ends_them_all_in_ten_minutes(tmp_path: Path) -> None:
    """Not one after the other: each has asked, and the limit has not cleared for anybody."""
    async with make_environment(tmp_path, "submit:status=429,times=always") as here:
        tasks = await in_line(here.studio, "first")
        await until(lambda: refusals(here) == 1)
        tasks += await in_line(here.studio, *map(str, range(9)))
        found = await here.studio.fetch([task.id for task in tasks], LOCAL, seconds=3000)
        assert {task.failure.code for task in found.values() if task.failure} == {"rate_limited"}
        assert {task.cost for task in found.values()} == {None}
        assert {round(task.updated_at - task.created_at) for task in found.values()} == {600}
        assert len(set(prompts(here))) == 10
        assert refusals(here) < 60


async def test_waiting_in_line_takes_no_patience_away(tmp_path: Path) -> None:
    """An hour behind a task of ours, one refusal before and one after: it is still tried."""
    faults = ("submit:status=429,header.Retry-After=20", "submit:status=429,after=2")
    async with (
        plan(tmp_path, *faults, limit="1", speed=0.004) as here,
        running_studio(here.studio.settings, here.clock) as late,
    ):
        (task,) = await in_line(late, "waits", model="flux-schnell")
        await until(lambda: refusals(here) == 1)
        await in_line(here.studio, "runs", model="flux-pro")
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


async def test_refused_with_another_provider_to_turn_to_it_moves_after_ten_seconds(tmp_path: Path) -> None:
    """Also when tasks of ours are what fills the provider."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with plan(tmp_path, services=TWO, **more) as here:
        await in_line(here.studio, *map(str, range(5)))
        await until(lambda: len(here.created) == 5)
        refused_at = here.clock.now()
        (task,) = await in_line(here.studio, "sixth", **BOTH)
        await here.clock.sleep(9)
        assert here.sent_to("bfl") == []
        await until(lambda: here.sent_to("bfl"))
        assert 9.9 < here.clock.now() - refused_at < 10.1
        task = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert (task.provider, refusals(here)) == ("bfl", 1)
        assert any("at its limit. bfl was tried next" in str(notice) for notice in task.notices)
        await until_ended(here.studio, [task])


async def test_waiting_alone_moves_no_task(tmp_path: Path) -> None:
    """The line is within the limit that the person has set: nobody was refused."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with plan(tmp_path, services=TWO, limit="1@journeyapi", **more) as here:
        await in_line(here.studio, "first")
        await until(lambda: here.created)
        (task,) = await in_line(here.studio, "second", **BOTH)
        await here.clock.sleep(25)
        assert here.sent_to("bfl") == []
        found = await until_ended(here.studio, [task])
        assert (found[task.id].provider, found[task.id].status) == ("journeyapi", Status.SUCCEEDED)


async def test_another_one_s_refusal_moves_nobody_whom_only_tasks_of_ours_keep_waiting(tmp_path: Path) -> None:
    """Two processes counted in the same moment: who was refused moves, who is behind it waits for its turn."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    fault = "journeyapi/submit:status=429,after=1"
    async with plan(tmp_path, fault, services=TWO, limit="2@journeyapi", **more) as here:
        await in_line(here.studio, "first")
        await until(lambda: here.created)
        (refused,) = await in_line(here.studio, "refused", **BOTH)
        await until(lambda: refusals(here) == 1)
        (behind,) = await in_line(here.studio, "behind", **BOTH)
        await until(lambda: prompts(here, "bfl") == ["refused"])
        await here.clock.sleep(15)
        assert prompts(here, "bfl") == ["refused"]
        found = await until_ended(here.studio, [refused, behind])
        assert [found[task.id].provider for task in (refused, behind)] == ["bfl", "journeyapi"]


async def test_who_waits_behind_a_refused_one_moves_too(tmp_path: Path) -> None:
    """The first one is pinned, and tries for ten minutes; the second one need not wait so long."""
    more = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl"}
    async with plan(tmp_path, services=TWO, limit="1@journeyapi", **more) as here:
        await in_line(here.studio, "first")
        await until(lambda: here.created)
        (pinned,) = await in_line(here.studio, "pinned", provider="journeyapi", **BOTH)
        (free,) = await in_line(here.studio, "free", **BOTH)
        here.faults("journeyapi/submit:status=429,times=always")
        here.clock.advance(100)
        await here.clock.sleep(9)
        await until(lambda: here.sent_to("bfl"))
        found = await here.studio.fetch([pinned.id, free.id], LOCAL)
        assert [found[task.id].provider for task in (pinned, free)] == ["journeyapi", "bfl"]
        assert "free" not in prompts(here)
        await until_ended(here.studio, [free])


async def test_who_has_nowhere_to_move_waits_on(tmp_path: Path) -> None:
    """The other provider would have to fetch the picture, and cannot."""
    given: dict[str, Any] = {"model": "flux-1.1-pro", "reference_images": ("http://127.0.0.1:9/a.png",)}
    more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1:9"}
    fault = "replicate/submit:status=429,times=always"
    async with make_wide_environment(tmp_path, fault, services=("replicate", "bfl"), **more) as here:
        tasks = await in_line(here.studio, "first", provider="replicate", **given)
        await until_refused(here, *tasks)
        tasks += await in_line(here.studio, "second", **given)
        await here.clock.sleep(25)
        here.faults()
        found = await here.studio.fetch([task.id for task in tasks], LOCAL, seconds=600)
        assert {(task.provider, task.submission) for task in found.values()} == {("replicate", Submission.ACCEPTED)}
        assert here.sent_to("bfl") == []


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_gets_a_turn(tmp_path: Path, seed: int) -> None:
    """Whatever comes together: three principals, two processes, refusals, calls that are called off."""
    dice = random.Random(seed)
    faults = [f"submit:status=429,after={dice.randrange(30)},times={dice.randint(1, 4)}" for _ in range(2)]
    told = {"speed": 300, "journeyapi": JourneyApiSettings(plan="basic"), **({LIMIT: "5"} if seed else {})}
    async with make_wide_environment(tmp_path, *faults, services=("journeyapi",), **told) as here:
        async with running_studio(here.studio.settings, here.clock) as other:
            tasks: dict[Studio, list[Task]] = {here.studio: [], other: []}

            async def make(number: int, studio: Studio, principal: str, pause_s: float, *, is_called_off: bool) -> None:
                await anyio.sleep(pause_s)
                task = await created(studio, make_request(prompt=str(number), model="midjourney"), Principal(principal))
                tasks[studio].append(task)
                if is_called_off:
                    await studio.cancel([task.id], Principal(principal))

            async with anyio.create_task_group() as group:
                for number in range(24):
                    studio, principal = dice.choice([here.studio, other]), dice.choice("abc")
                    is_called_off = dice.random() < 0.2
                    make_one = partial(make, is_called_off=is_called_off)
                    group.start_soon(make_one, number, studio, principal, dice.random() / 2)
            with anyio.fail_after(600):
                found = await until_ended(here.studio, tasks[here.studio])
                found |= await until_ended(other, tasks[other])
            assert len(found) == 24
            assert {task.status for task in found.values()} <= {Status.SUCCEEDED, Status.CANCELED}
        assert len(here.created) == len(set(prompts(here)))


# ends


def ends(found: Mapping[str, Task]) -> set[tuple[str, Submission, object]]:
    """How these tasks ended, and what they cost."""
    return {(task.failure.code, task.submission, task.cost) for task in found.values() if task.failure}


@pytest.mark.parametrize("is_told", [True, False])
async def test_when_the_process_ends_who_waits_is_ended_free(tmp_path: Path, is_told: bool) -> None:
    """At once, by the process itself: told by a signal, or because its client has gone."""
    async with plan(tmp_path, limit="1") as here:
        waiting: list[Task] = []
        with anyio.CancelScope() as scope:
            async with running_studio(here.studio.settings, here.clock) as ending:
                await in_line(ending, "first")
                await until(lambda: here.created)
                waiting = await in_line(ending, "second", "third")
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


async def test_whoever_is_refused_while_the_process_ends_does_not_wait(tmp_path: Path) -> None:
    """The answer was waited for; a turn would come too late."""
    async with plan(tmp_path, "submit:delay=1", "submit:status=429", limit="1") as here:
        async with running_studio(here.studio.settings, here.clock) as leaving:
            (task,) = await in_line(leaving, "first")
            await until(lambda: here.sent)
        found = await here.studio.fetch([task.id], LOCAL)
        assert ends(found) == {("not_submitted", Submission.REFUSED, None)}


async def test_the_built_in_sandbox_has_a_line_too(tmp_path: Path) -> None:
    """Its plan is for ten: twenty at once are all made."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})
    async with running_studio(settings) as studio:
        tasks = await in_line(studio, *map(str, range(20)), model="flux-schnell")
        found = await studio.fetch([task.id for task in tasks], LOCAL, seconds=1e6)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
