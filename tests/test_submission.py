"""One creating request, carried through what can go wrong: what is sent, told, and charged."""

from pathlib import Path

import pytest
from support import created, fast_studio, settings_for, wish, world

from journey_mcp import sandbox
from journey_mcp.tasks import Status, Submission


@pytest.mark.parametrize(
    ("fault", "code", "submission"),
    [
        ("submit:status=400", "refused", Submission.REFUSED),
        ("submit:status=401", "credentials_rejected", Submission.REFUSED),
        ("submit:status=402", "out_of_credits", Submission.REFUSED),
        ("submit:status=500", "submission_unconfirmed", Submission.SENT),
        ("submit:status_after=500", "submission_unconfirmed", Submission.SENT),
        ("submit:reset_after", "submission_unconfirmed", Submission.SENT),
        ("submit:cut_body", "submission_unconfirmed", Submission.SENT),
        ("submit:bad_json", "submission_unconfirmed", Submission.SENT),
        ("submit:fail_task=Out of paint", "generation_failed", Submission.ACCEPTED),
    ],
)
async def test_a_creating_request_is_sent_once_whatever_happens(
    tmp_path: Path, fault: str, code: str, submission: Submission
) -> None:
    """A refused one is free; of an unanswered one the caller hears that it may have been charged."""
    async with world(tmp_path, fault) as here:
        task = await here.made()
        assert task.failure is not None
        assert (task.status, task.failure.code, task.submission) == (Status.FAILED, code, submission)
        assert here.asked["imagine"] == 1
        assert (task.cost is None) == (submission is Submission.REFUSED)
        if code == "submission_unconfirmed":
            assert "paid" in (task.failure.next_step or "")
        assert "japi_live_test" not in repr(task)


async def test_at_the_limit_the_task_stays_queued_and_is_tried_again(tmp_path: Path) -> None:
    """429: nothing was created, so the request may leave again, and does, until there is room."""
    async with world(tmp_path, "submit:status=429,times=4") as here:
        task = await created(here.studio, wish())
        seen = (await here.studio.fetch([task.id]))[task.id]
        assert seen.status in {Status.QUEUED, Status.RUNNING}
        task = (await here.studio.fetch([task.id], seconds=600))[task.id]
        assert (task.status, here.asked["imagine"]) == (Status.SUCCEEDED, 5)
        assert ["at its limit" in notice and "charged so far" in notice for notice in task.notices] == [True]


async def test_at_the_limit_for_ten_minutes_the_task_ends_free(tmp_path: Path) -> None:
    """With the advice to wait."""
    async with world(tmp_path, "submit:status=429,times=always") as here:
        here.clock.speed = 500
        task = await here.made()
        assert task.failure is not None
        assert (task.failure.code, task.failure.retryable, task.cost) == ("rate_limited", True, None)
        assert 500 < task.updated_at - task.created_at < 700
        assert here.asked["imagine"] > 10


async def test_without_a_connection_it_is_tried_three_times_more(tmp_path: Path) -> None:
    """Then it ends, free."""
    async with sandbox.running(sandbox.Settings(speed=0)) as gone:
        address = gone.base_url
    async with fast_studio(settings_for(address, tmp_path)) as studio:
        task = await studio.wait_for_new(await created(studio, wish()), 300)
        assert task.failure is not None
        assert (task.failure.code, task.submission, task.cost) == ("unreachable", Submission.REFUSED, None)
        assert 3 <= task.updated_at - task.created_at <= 30


async def test_a_provider_that_comes_back_gets_the_request_after_all(tmp_path: Path) -> None:
    """A connection that is refused at first costs nothing."""
    async with sandbox.running(sandbox.Settings(speed=0)) as first:
        port = int(first.origin.rsplit(":", 1)[1])
    async with fast_studio(settings_for(first.base_url, tmp_path)) as studio:
        task = await created(studio, wish())
        async with sandbox.running(sandbox.Settings(speed=0), port=port) as second:
            task = await studio.wait_for_new(task, 300)
            assert task.status is Status.SUCCEEDED
            assert second.sandbox.ledger.requests["imagine"] == 1


async def test_the_balance_is_told_only_when_the_provider_tells_it(tmp_path: Path) -> None:
    """Too few credits, and `/account` down."""
    async with world(tmp_path, "account:status=500", credits=0) as here:
        task = await here.made()
        assert task.failure is not None
        assert task.failure.code == "out_of_credits"
        assert "balance" not in task.failure.message


async def test_the_journal_tells_every_state_before_the_request_leaves(tmp_path: Path) -> None:
    """When the provider sees the request, another process already reads `sent` in the store."""
    async with world(tmp_path, "submit:delay=0.2") as here:
        task = await created(here.studio, wish())
        while not here.asked["imagine"]:
            await here.clock.sleep(0.1)
        async with fast_studio(settings_for(here.upstream.base_url, tmp_path), here.clock) as other:
            seen = (await other.fetch([task.id]))[task.id]
            assert (seen.submission, seen.status) == (Submission.SENT, Status.RUNNING)
            done = (await other.fetch([task.id], seconds=600))[task.id]
            assert done.status is Status.SUCCEEDED
