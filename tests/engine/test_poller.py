"""Polling: when, how often, and the effect of strange answers."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from manual_clock import until
from support import (
    Environment,
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    settings_for,
    until_accepted,
)

from engine.test_journal import hide, show
from journey_mcp import sandbox
from journey_mcp.core.errors import UnknownImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.engine.journal import Journal
from journey_mcp.store import open_store

BROKEN = (
    "fetch:status=500,times=2",
    "fetch:status=429,times=2",
    "fetch:reset,times=2",
    "fetch:cut_body,times=2",
    "fetch:bad_json,times=2",
    "fetch:empty_object,times=2",
    "fetch:status=404,times=2",
    "fetch:status_word=dreaming,times=2",
    "fetch:drop_fields=image_urls+original_image_url,times=2",
    "fetch:wrong_type,times=2",
)


async def test_a_broken_answer_to_a_poll_loses_nothing(tmp_path: Path) -> None:
    """The task continues, and the next answer counts."""
    async with make_environment_without_copies(tmp_path, plan="enterprise") as here:
        for number, fault in enumerate(BROKEN, start=1):
            here.faults(fault)
            task = await here.made(model="midjourney")
            assert (task.status, len(task.images)) == (Status.SUCCEEDED, 4), fault
            assert (here.asked["imagine"], here.asked["fetch"]) == (number, 3 * number), fault


async def test_a_task_that_the_provider_forgot_ends_as_lost(tmp_path: Path) -> None:
    """After a quarter of an hour of such answers; the error says that it may have been charged."""
    async with make_environment_without_copies(tmp_path, "fetch:status=404,times=always") as here:
        task = await created(here.studio, make_request(model="midjourney"))
        await here.clock.skip(890)
        assert not (await here.studio.fetch([task.id], LOCAL))[task.id].status.is_final
        task = await here.studio.wait_for_new(task, 500)
        assert task.failure is not None
        assert task.failure.code == "lost_upstream"
        assert task.updated_at - task.created_at > 900
        assert any("does not know this task at the moment" in str(notice) for notice in task.notices)
        assert task.cost is not None


async def test_a_finished_task_without_an_image_ends_after_some_polls(tmp_path: Path) -> None:
    """The error says that it may have been charged; an image that comes late is taken."""
    fault = "fetch:drop_fields=image_urls+original_image_url,times="
    async with make_environment_without_copies(tmp_path, f"{fault}always") as here:
        task = await here.made(model="midjourney")
        assert task.failure is not None
        assert (task.failure.code, here.asked["fetch"]) == ("no_picture", 5)
    async with make_environment_without_copies(tmp_path, f"{fault}4") as here:
        assert (await here.made(model="midjourney")).status is Status.SUCCEEDED


async def test_a_provider_that_does_not_answer_for_long_gets_a_notice(tmp_path: Path) -> None:
    """Once, with its error; the result comes later."""
    async with make_environment_without_copies(tmp_path, "fetch:status=503,times=6") as here:
        task = await here.made(model="midjourney")
        assert task.status is Status.SUCCEEDED
        assert sum("HTTP 503" in str(notice) for notice in task.notices) == 1


async def test_two_tasks_of_one_prediction_are_both_polled(tmp_path: Path) -> None:
    """A provider that returns an id twice loses no result."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.accepted(model="midjourney")
        other = replace(first, id="tsk_other", created_at=first.created_at - 1)
        settings = settings_for(here.upstream.base_url, tmp_path)
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.add(other, worker_id="gone", lease_until=1)
        found = await here.studio.fetch([first.id, other.id], LOCAL, seconds=300)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}


async def test_a_task_of_a_rejected_key_continues_with_a_notice(tmp_path: Path) -> None:
    """The result is there once the key is valid again."""
    async with make_environment_without_copies(tmp_path, "fetch:status=401,times=2") as here:
        task = await here.made(model="midjourney")
        assert task.status is Status.SUCCEEDED
        assert sum("does not accept the key" in str(notice) for notice in task.notices) == 1


async def test_a_failure_at_the_provider_is_quoted(tmp_path: Path) -> None:
    """With the next step."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made(model="midjourney", prompt="forbidden-in-sandbox please")
        assert task.failure is not None
        assert (task.failure.code, task.failure.retryable) == ("generation_failed", False)
        assert '"Content policy violation"' in task.failure.message


async def test_a_hanging_task_is_polled_with_growing_delays(tmp_path: Path) -> None:
    """About 2, 3, 4.5, 6.75, then every 10 seconds: some eight polls in a minute."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        task = await created(here.studio, make_request(model="midjourney"))
        await here.studio.fetch([task.id], LOCAL, seconds=60)
        assert 7 <= here.asked["fetch"] <= 9


async def test_a_task_of_a_sandbox_that_is_gone_says_so(tmp_path: Path) -> None:
    """It ends and may be repeated, free; a key that was set meanwhile changes nothing."""
    no_key = {"JOURNEYAPI_API_KEY": "", "JOURNEYAPI_BASE_URL": ""}
    async with running_studio(settings_for("", tmp_path, **no_key)) as studio:
        task = await until_accepted(studio, await created(studio, make_request(model="midjourney")))
        assert (task.provider, task.status) == ("sandbox", Status.RUNNING)
    async with (
        sandbox.running(coarse(speed=0)) as real,
        running_studio(settings_for(real.base_url, tmp_path)) as studio,
    ):
        ended = (await studio.fetch([task.id], LOCAL, seconds=300))[task.id]
        assert ended.failure is not None
        assert (ended.status, ended.failure.code) == (Status.FAILED, "sandbox_gone")
        assert real.sandbox.request_log.requests["fetch"] == 0


async def test_an_image_of_a_sandbox_that_is_gone_cannot_be_edited(tmp_path: Path) -> None:
    """Without a copy. The error comes before anything is sent."""
    no_key = {"JOURNEYAPI_API_KEY": "", "JOURNEYAPI_BASE_URL": "", "JOURNEY_MCP_KEEP_IMAGES": "off"}
    async with running_studio(settings_for("", tmp_path, **no_key)) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 600)
        edit = make_request(tool="edit_image", model="seededit", image=f"{task.id}.1")
        edited = await studio.wait_for_new(await created(studio, edit), 900)
        assert edited.status is Status.SUCCEEDED
    async with running_studio(settings_for("", tmp_path, **no_key)) as studio:
        with pytest.raises(UnknownImage, match="ended with its process"):
            await created(studio, edit)


async def test_progress_is_kept_and_never_goes_back(tmp_path: Path) -> None:
    """Percentages as text, and one that decreases."""
    async with make_environment_without_copies(
        tmp_path, "submit:hang", "fetch:percentage=60", "fetch:percentage=20,after=1,times=always"
    ) as here:
        task = await created(here.studio, make_request(model="midjourney"))
        task = (await here.studio.fetch([task.id], LOCAL, seconds=12))[task.id]
        assert task.progress == 0.6
        assert here.asked["fetch"] >= 2


async def test_a_task_that_another_process_took_over_is_not_polled_any_more(tmp_path: Path) -> None:
    """The lease is verified before every poll; a store that does not answer drops nothing."""
    async with make_environment_without_copies(tmp_path, "submit:hang,times=always") as here:
        taken, kept = [await here.accepted(model="midjourney", prompt=prompt) for prompt in ("taken", "kept")]
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            journal = Journal(store, here.clock, store.notifications)
            for task in (taken, kept):
                held = await store.leases.take_over(task.id, worker_id=journal.worker_id, lease_until=9e9)
                assert held is not None
                journal.add_leased([held])
            await store.leases.take_over(taken.id, worker_id="another", lease_until=9e9)
            assert await journal.verify_leases([taken.id, kept.id]) == {kept.id}
            assert (taken.id in journal, kept.id in journal) == (False, True)
            hide(tmp_path)
            assert await journal.verify_leases([kept.id]) == {kept.id}
            show(tmp_path)


async def left_behind(here: Environment, task: Task, number: int) -> list[str]:
    """Store so many tasks of a dead process, which are all taken over and polled at one moment."""
    others = [
        replace(task, id=f"tsk_{n}", prediction_id=f"other-{n}", deduplication_key=None, duplicate_policy=None)
        for n in range(number)
    ]
    settings = settings_for("http://127.0.0.1:9", here.folder)
    async with open_store(settings.resolved_database_url()) as store:
        for other in others:
            await store.tasks.add(other, worker_id="gone", lease_until=here.clock.now() + 20)
    here.clock.shift_calendar(20)
    return [other.id for other in others]


async def test_tasks_that_are_due_fill_as_few_batches_as_possible(tmp_path: Path) -> None:
    """Twenty in each."""
    async with make_environment_without_copies(tmp_path, "submit:hang", "fetch_many:status=404,times=always") as here:
        await left_behind(here, await here.accepted(model="midjourney"), 60)
        await until(lambda: here.asked["fetch_many"] >= 3)
        await here.clock.sleep(1)
        assert here.asked["fetch_many"] == 3


async def test_tasks_that_were_polled_together_are_polled_together_again(tmp_path: Path) -> None:
    """Though jitter gives each a delay of its own: a dozen polls of all in a minute and a half, none of one."""
    async with make_environment_without_copies(tmp_path) as here:
        accepted = await here.accepted(model="midjourney")
        await here.studio.fetch([accepted.id], LOCAL, seconds=300)  # the only poll of one task
        await left_behind(here, accepted, 20)
        await until(lambda: here.asked["fetch_many"] >= 1)
        await here.clock.sleep(90)
        assert 10 <= here.asked["fetch_many"] <= 14
        assert here.asked["fetch"] == 1


async def test_without_batches_at_most_a_hundred_polls_are_in_flight(tmp_path: Path) -> None:
    """If a provider answers slowly the others wait, and all are polled."""
    out, most, answered = 0, 0, 0

    def count(event: sandbox.Event) -> None:
        nonlocal out, most, answered
        if event.method == "GET":
            out += {"headers": 1, "answered": -1}.get(event.point, 0)
            most, answered = max(most, out), answered + (event.point == "answered")

    fault = "vtrix/fetch:delay=5,times=always"
    async with make_wide_environment_without_copies(tmp_path, services=["vtrix"], observer=count) as here:
        here.faults("submit:hang", fault)
        await left_behind(here, await here.accepted(model="flux-2-pro"), 120)
        await until(lambda: answered >= 121)
        assert most == 100


async def test_tasks_that_are_taken_over_together_are_not_polled_together(tmp_path: Path) -> None:
    """Fifty a second; each later poll is at its own time, too."""
    polled_at: list[float] = []

    def note(event: sandbox.Event) -> None:
        if event.method == "GET" and event.point == "headers":
            polled_at.append(clock.elapsed())

    async with make_wide_environment_without_copies(tmp_path, services=["vtrix"], observer=note) as here:
        clock = here.clock
        here.faults("submit:hang", "vtrix/fetch:delay=0,times=always")
        await left_behind(here, await here.accepted(model="flux-2-pro"), 200)
        await until(lambda: len(polled_at) >= 450)
    per_second = Counter(int(at - polled_at[0]) for at in polled_at)
    assert max(per_second.values()) <= 55, per_second
