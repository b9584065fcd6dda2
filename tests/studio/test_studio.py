"""The use cases against the sandbox: real HTTP, a real database, manual time."""

from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from support import (
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    running_studio,
    settings_for,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import InvalidRequest, NotEnglish, UnknownImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Submission, Task


async def test_a_synchronous_model_is_finished_by_one_request(tmp_path: Path) -> None:
    """The answer to the creating request has the image: nothing is polled."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made()
        assert (task.status, task.submission, len(task.images)) == (Status.SUCCEEDED, Submission.ACCEPTED, 1)
        assert (here.asked["imagine"], here.asked["fetch"]) == (1, 0)


async def test_an_answer_with_an_id_only_is_polled_at_once(tmp_path: Path) -> None:
    """The other reading of C2: the first `/fetch` has the image."""
    async with make_environment_without_copies(tmp_path, sync_answer="task_id") as here:
        task = await here.made()
        assert task.status is Status.SUCCEEDED
        assert (here.asked["imagine"], here.asked["fetch"]) == (1, 1)


async def test_midjourney_is_polled_until_its_grid_is_complete(tmp_path: Path) -> None:
    """Four images, a sheet and a seed."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made(model="midjourney")
        assert (task.status, len(task.images), task.progress) == (Status.SUCCEEDED, 4, 1.0)
        assert task.grid_url
        assert task.seed
        assert (here.asked["imagine"], here.asked["fetch"]) == (1, 1)


async def test_an_image_is_edited_by_its_id(tmp_path: Path) -> None:
    """The id means the URL of that candidate; Kontext's links are known to expire after 14 days."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made(model="midjourney")
        edited = await here.made(tool="edit_image", model="flux-kontext-pro", image=f"{first.id}.2")
        assert edited.status is Status.SUCCEEDED
        assert here.sent[-1]["image_url"] == first.images[1].url
        expires_at = edited.images[0].expires_at
        assert expires_at is not None
        assert expires_at == pytest.approx(edited.updated_at + 14 * 86400)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("tsk_AAAAAAAAAAAAAAAAAAAAAA.1", "no task"),
        ("{made}.5", "has no image 5"),
        ("{failed}.1", "is failed"),
        ("not a url", "neither an http"),
        ("ftp://example.test/a.png", "neither an http"),
    ],
)
async def test_a_missing_image_is_rejected_before_anything_is_sent(tmp_path: Path, image: str, says: str) -> None:
    """The message states what is wrong, and the next step what to do."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made(model="midjourney")
        failed = await here.made(prompt="forbidden-in-sandbox")
        text = image.format(made=task.id, failed=failed.id)
        with pytest.raises(InvalidRequest, match=says) as raised:
            await created(here.studio, make_request(tool="edit_image", model="seededit", image=text))
        assert raised.value.failure.next_step
        assert here.asked["imagine"] == 2


async def test_a_running_task_has_no_image_yet(tmp_path: Path) -> None:
    """The next step is to wait for it."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        task = await created(here.studio, make_request(model="midjourney"))
        with pytest.raises(UnknownImage) as raised:
            await created(here.studio, make_request(tool="edit_image", model="seededit", image=f"{task.id}.1"))
        assert "until it has succeeded" in (raised.value.failure.next_step or "")


async def test_an_expired_link_is_rejected_before_anything_is_sent(tmp_path: Path) -> None:
    """An image whose link is known to have expired is not sent for editing."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made()
        edited = await here.made(tool="edit_image", model="flux-kontext-pro", image=f"{first.id}.1")
        here.clock.shift_calendar(15 * 86400)
        with pytest.raises(UnknownImage, match="expired"):
            await created(here.studio, make_request(tool="edit_image", model="seededit", image=f"{edited.id}.1"))


async def test_a_model_by_another_name_is_a_duplicate_call(tmp_path: Path) -> None:
    """It duplicates a call by the model's proper name; a new task has a notice of how the name was read."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        made = (await here.studio.create(make_request(model="Midjourney v7"), LOCAL)).task
        assert made.request.model == "midjourney"
        assert Notice.of("model_read", given="Midjourney v7", taken="midjourney") in made.notices
        assert (await here.studio.create(make_request(model="midjourney"), LOCAL)).task.id == made.id


async def test_another_principal_sees_nothing(tmp_path: Path) -> None:
    """Neither the task nor its image is visible."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made()
        assert await here.studio.fetch([task.id], principal=Principal("somebody else")) == {}
        assert await here.studio.newest(principal=Principal("somebody else")) == []
        with pytest.raises(UnknownImage):
            await created(
                here.studio,
                make_request(tool="edit_image", model="seededit", image=f"{task.id}.1"),
                principal=Principal("somebody else"),
            )


async def test_a_prompt_that_is_not_english_is_refused_for_a_model_that_needs_it(tmp_path: Path) -> None:
    """The next step is to translate it; an ambiguous prompt is accepted with a notice."""
    async with make_environment_without_copies(tmp_path) as here:
        image = "https://example.test/a.png"
        with pytest.raises(NotEnglish) as raised:
            await created(
                here.studio,
                make_request(
                    tool="edit_image", model="flux-kontext-pro", image=image, prompt="把天空变成绿色，其余保持不变"
                ),
            )
        assert "Translate" in (raised.value.failure.next_step or "")
        doubtful = await created(
            here.studio,
            make_request(tool="edit_image", model="flux-kontext-pro", image=image, prompt="himmel grün machen"),
        )
        assert any("may not be English" in str(notice) for notice in doubtful.notices)


async def test_any_number_of_callers_cause_one_poll(tmp_path: Path) -> None:
    """Thirty calls wait for one task; the provider is polled as if for one."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await created(here.studio, make_request(model="midjourney"))
        ends: list[Task] = []

        async def wait() -> None:
            ends.append((await here.studio.fetch([task.id], LOCAL, seconds=900))[task.id])

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(wait)
        assert {end.status for end in ends} == {Status.SUCCEEDED}
        assert here.asked["fetch"] == 1


async def test_several_tasks_are_polled_together(tmp_path: Path) -> None:
    """Polls that are due at the same time share one `/fetch-many`."""
    async with make_environment_without_copies(tmp_path, plan="enterprise") as here:
        tasks = [await created(here.studio, make_request(model="flux-schnell")) for _ in range(8)]
        found = await here.studio.fetch([task.id for task in tasks], LOCAL, seconds=900)
        assert {task.status for task in found.values()} == {Status.SUCCEEDED}
        assert here.asked["fetch"] + here.asked["fetch_many"] < 8
        assert here.asked["fetch_many"] >= 1


async def test_waiting_for_any_returns_with_the_first_that_ends(tmp_path: Path) -> None:
    """A task that was final before does not count."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        slow = await here.accepted(model="midjourney")
        done = await here.made()
        quick = await created(here.studio, make_request(model="flux-schnell"))
        found = await here.studio.fetch([slow.id, done.id, quick.id], LOCAL, seconds=900, wait_for="any")
        assert [found[t.id].status for t in (slow, done, quick)] == [
            Status.RUNNING,
            Status.SUCCEEDED,
            Status.SUCCEEDED,
        ]
        nothing_running = await here.studio.fetch([done.id, quick.id], LOCAL, seconds=1e9, wait_for="any")
        assert {task.status for task in nothing_running.values()} == {Status.SUCCEEDED}


async def test_not_waiting_returns_with_the_first_answer(tmp_path: Path) -> None:
    """`wait_s` 0: accepted, with the provider's id, not finished."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.studio.wait_for_new(await created(here.studio, make_request(model="midjourney")), 0)
        assert (task.status, task.submission) == (Status.RUNNING, Submission.ACCEPTED)
        assert task.prediction_id


async def test_a_wait_sends_heartbeats_that_strictly_increase(tmp_path: Path) -> None:
    """At least one in five seconds, and never 1 before the end."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        seen: list[tuple[float, float, str]] = []

        async def report(progress: float, message: str) -> None:
            seen.append((here.studio.now(), progress, message))

        task = await created(here.studio, make_request(model="midjourney"))
        await here.studio.wait_for_new(task, 60, report)
        values = [progress for _, progress, _ in seen]
        assert values == sorted(set(values))
        assert values[-1] < 1
        assert max(b[0] - a[0] for a, b in pairwise(seen)) < 10
        assert any("midjourney: running" in message for _, _, message in seen)


async def test_the_newest_tasks_come_first_and_old_ones_are_deleted(tmp_path: Path) -> None:
    """Twenty of the last day are listed; after the days of keeping, none is left."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_KEEP_DAYS=1) as here:
        made = []
        for number in range(22):
            made.append(await here.made(prompt=f"wish {number}"))
            here.clock.advance(1)
        newest = await here.studio.newest(LOCAL)
        assert [task.id for task in newest] == [task.id for task in reversed(made[2:])]


async def test_an_upstream_error_before_acceptance_is_reported_and_free(tmp_path: Path) -> None:
    """There is one task, final and without cost."""
    async with make_environment_without_copies(tmp_path, credits=1) as here:
        task = await here.made()
        assert task.failure is not None
        assert (task.status, task.failure.code, task.cost) == (Status.FAILED, "out_of_credits", None)
        assert "The balance is 1 credits" in task.failure.message


async def test_a_task_of_another_address_is_not_polled_here(tmp_path: Path) -> None:
    """It is polled only where it was created; a notice states where that is."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        task = await here.accepted(model="midjourney")
        elsewhere = here.upstream.base_url
    async with make_environment_without_copies(tmp_path) as there:
        found = (await there.studio.fetch([task.id], LOCAL, seconds=30))[task.id]
        assert found.status is Status.RUNNING
        assert any(elsewhere in str(notice) for notice in found.notices)
        assert there.asked["fetch"] == 0


async def test_the_work_resumes_where_the_last_process_stopped(tmp_path: Path) -> None:
    """A studio that is closed leaves its tasks to the next one, at the same address."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with running_studio(settings) as studio:
            task = await until_accepted(studio, await created(studio, make_request(model="midjourney")))
        async with running_studio(settings) as studio:
            found = (await studio.fetch([task.id], LOCAL, seconds=900))[task.id]
            assert found.status is Status.SUCCEEDED
        assert upstream.sandbox.request_log.requests["imagine"] == 1
