"""Cancellation: free while queued, else at the provider if it supports that, and a clear answer if not."""

import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from manual_clock import until
from support import (
    client_of,
    coarse,
    created,
    environment_of,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    statements,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission
from journey_mcp.sandbox import ReplicateSettings
from journey_mcp.settings import read_settings


async def test_a_queued_task_ends_free(tmp_path: Path) -> None:
    """Nothing is sent any more."""
    async with make_environment_without_copies(
        tmp_path, "submit:status=429,header.Retry-After=500,times=always"
    ) as here:
        task = await created(here.studio, make_request())
        while task.submission is not Submission.PREPARED or not here.sent:
            await here.clock.sleep(1)
            task = (await here.studio.fetch([task.id], LOCAL))[task.id]
        ended, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert (ended.status, ended.submission, ended.cost) == (Status.CANCELED, Submission.REFUSED, None)
        assert said == Notice.of("canceled_unsent")
        assert here.asked["imagine"] == 1


async def test_replicate_cancels_a_prediction(tmp_path: Path) -> None:
    """The part that ran may be charged."""
    replicate = ReplicateSettings()
    async with make_wide_environment_without_copies(
        tmp_path, "replicate/submit:hang", services=["replicate"], replicate=replicate
    ) as here:
        task = await until_accepted(here.studio, await created(here.studio, make_request(model="flux-1.1-pro")))
        ended, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert (ended.status, here.asked["replicate/cancel"]) == (Status.CANCELED, 1)
        assert said == Notice.of("canceled_upstream", provider="replicate")


async def test_a_call_that_is_cancelled_while_its_task_is_stored_leaves_it_running(tmp_path: Path) -> None:
    """It is stored, so it is run."""
    async with make_environment_without_copies(tmp_path) as here:
        holder = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with statements("INSERT INTO tasks") as stored:
            async with anyio.create_task_group() as group:
                group.start_soon(here.studio.create, make_request(), LOCAL)
                while not stored:
                    await checkpoint()  # no time passes while a statement waits for the lock
                group.cancel_scope.cancel()
        assert await here.studio.newest(LOCAL) == []
        holder.execute("ROLLBACK")
        holder.close()
        with anyio.fail_after(20):
            while not (tasks := await here.studio.newest(LOCAL)):
                await here.clock.sleep(0.01)
        (task,) = tasks
        assert (await here.studio.fetch([task.id], LOCAL, seconds=900))[task.id].status is Status.SUCCEEDED
        assert here.asked["imagine"] == 1


async def test_a_task_that_is_queued_in_another_server_ends_free(tmp_path: Path) -> None:
    """It is taken over before it can be sent; one that was sent stays there."""
    async with make_environment_without_copies(tmp_path, "submit:hang", JOURNEY_MCP_MAX_CONCURRENT=1) as here:
        async with running_studio(here.studio.settings, here.clock) as other:
            running = await until_accepted(here.studio, await created(here.studio, make_request(model="midjourney")))
            queued = await created(here.studio, make_request(model="midjourney", prompt="another"))
            ended = await other.cancel([queued.id, running.id], LOCAL)
            task, said = ended[queued.id]
            assert (task.status, task.submission, task.cost) == (Status.CANCELED, Submission.REFUSED, None)
            assert said == Notice.of("canceled_unsent")
            assert ended[running.id][1] == Notice.of("cancel_unsupported", provider="journeyapi")
            # a caller that waits for it there is notified
            seen = await here.studio.fetch([queued.id], LOCAL, seconds=60)
            assert seen[queued.id].status is Status.CANCELED
            here.studio.begin_shutdown()
        assert here.asked["imagine"] == 1


@pytest.mark.parametrize("service", ["journeyapi", "vtrix", "kkiai", "bfl"])
async def test_a_provider_that_cannot_cancel_is_named(tmp_path: Path, service: str) -> None:
    """The task continues and will be charged."""
    models = {"journeyapi": "midjourney", "vtrix": "seedream-5", "kkiai": "imagen-4", "bfl": "flux-2-pro"}
    async with make_wide_environment_without_copies(tmp_path, "submit:hang", services=[service]) as here:
        task = await until_accepted(here.studio, await created(here.studio, make_request(model=models[service])))
        going_on, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert going_on.status is Status.RUNNING
        assert said == Notice.of("cancel_unsupported", provider=service)


async def test_a_request_in_flight_cannot_be_canceled(tmp_path: Path) -> None:
    """Its answer may be paid for."""
    async with make_environment_without_copies(tmp_path, "submit:delay=0.5") as here:
        task = await created(here.studio, make_request())
        await until(lambda: here.sent)
        going_on, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert going_on.submission is Submission.SENT
        assert said == Notice.of("cancel_in_flight", provider="journeyapi")


async def test_a_final_task_is_not_canceled(tmp_path: Path) -> None:
    """A final state never changes."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made()
        assert await here.studio.cancel([task.id, "tsk_nobody"], LOCAL) == {
            task.id: (
                (await here.studio.fetch([task.id], LOCAL))[task.id],
                Notice.of("cancel_too_late", status="succeeded"),
            )
        }


@pytest.mark.parametrize("fault", ["replicate/cancel:status=500", "replicate/cancel:reset"])
async def test_a_provider_that_does_not_answer_is_reported(tmp_path: Path, fault: str) -> None:
    """The task continues."""
    async with make_wide_environment_without_copies(
        tmp_path, "replicate/submit:hang", fault, services=["replicate"]
    ) as here:
        task = await until_accepted(here.studio, await created(here.studio, make_request(model="flux-1.1-pro")))
        going_on, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert going_on.status is Status.RUNNING
        assert said.code == "cancel_refused"


async def test_the_tool_reports_on_each_task(tmp_path: Path) -> None:
    """An unknown id is an entry too; an image's id names its task."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, "journeyapi"))
        async with client_of(settings) as client:
            made = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image", "wait_s": 300})
            task_id: Any = (made.structured_content or {})["task_id"]
            reported = await client.call_tool("cancel_task", {"task_ids": [f"{task_id}.1", "tsk_nobody"]})
            first, second = (reported.structured_content or {})["tasks"]
            assert (first["status"], first["notices"][0]) == ("succeeded", "The task has ended already: succeeded.")
            assert second["error"]["code"] == "unknown_task"
            assert not reported.is_error
            wrong: dict[str, Any] = (await client.call_tool("cancel_task", {})).structured_content or {}
            assert wrong["tasks"][0]["error"]["code"] == "invalid_arguments"


async def test_a_task_that_cannot_be_taken_over_stays_there(tmp_path: Path) -> None:
    """Another process leases it, and a third one has the database's write lock."""
    address = f"sqlite:///{tmp_path}/tasks.db?timeout=0.05"
    async with make_environment_without_copies(
        tmp_path, "submit:hang", JOURNEY_MCP_DATABASE_URL=address, JOURNEY_MCP_MAX_CONCURRENT=1
    ) as here:
        await here.accepted(model="midjourney")
        async with running_studio(here.studio.settings, here.clock) as other:
            waiting = await created(other, make_request(model="midjourney", prompt="waits"))
            await other.wait_for_new(waiting, 0)
            holder = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            task, said = (await here.studio.cancel([waiting.id], LOCAL))[waiting.id]
            holder.execute("ROLLBACK")
            holder.close()
            assert (task.status, task.submission) == (Status.QUEUED, Submission.PREPARED)
            reason = "The task is leased by another server, and cannot be taken over now."
            assert said == Notice.of("cancel_leased", reason=reason)
            task, said = (await here.studio.cancel([waiting.id], LOCAL))[waiting.id]
            assert task.status is Status.CANCELED
