"""Submission of one creating request, with everything that can go wrong: what is sent, reported and charged."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from manual_clock import until
from PIL import Image
from support import (
    SERVICES,
    Environment,
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    settings_for,
    statements,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import SetupError
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.http import new_http_client
from journey_mcp.providers.journeyapi import JourneyApi
from journey_mcp.registry import Offer, load
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store


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
    """A refused one is free; the caller of an unanswered one learns that it may have been charged."""
    async with make_environment_without_copies(tmp_path, fault) as here:
        task = await here.made()
        assert task.failure is not None
        assert (task.status, task.failure.code, task.submission) == (Status.FAILED, code, submission)
        assert here.asked["imagine"] == 1
        assert (task.cost is None) == (submission is Submission.REFUSED)
        if code == "submission_unconfirmed":
            assert "paid" in (task.failure.next_step or "")
        assert "japi_live_test" not in repr(task)


async def test_at_the_limit_the_task_stays_queued_and_is_tried_again(tmp_path: Path) -> None:
    """429: nothing was created, so the request is sent again until there is room."""
    async with make_environment_without_copies(tmp_path, "submit:status=429,times=4") as here:
        task = await created(here.studio, make_request())
        seen = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert seen.status in {Status.QUEUED, Status.RUNNING}
        task = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert (task.status, here.asked["imagine"]) == (Status.SUCCEEDED, 5)
        # what was told meanwhile does not hold any more
        assert (task.notices, task.transient_notices) == ((), ())


async def test_at_the_limit_for_ten_minutes_the_task_ends_free(tmp_path: Path) -> None:
    """With the advice to wait."""
    async with make_environment_without_copies(tmp_path, "submit:status=429,times=always") as here:
        task = await here.made()
        assert task.failure is not None
        assert (task.failure.code, task.failure.retryable, task.cost) == ("rate_limited", True, None)
        assert task.updated_at - task.created_at == pytest.approx(600)
        assert here.asked["imagine"] > 10


async def test_without_a_connection_it_is_tried_three_times_more(tmp_path: Path) -> None:
    """Then it ends, free."""
    async with sandbox.running(coarse(speed=0)) as gone:
        address = gone.base_url
    async with running_studio(settings_for(address, tmp_path)) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
        assert task.failure is not None
        assert (task.failure.code, task.submission, task.cost) == ("unreachable", Submission.REFUSED, None)
        assert 3 <= task.updated_at - task.created_at <= 4


async def test_a_provider_that_comes_back_gets_the_request(tmp_path: Path) -> None:
    """A connection that is refused at first costs nothing."""
    async with sandbox.running(coarse(speed=0)) as first:
        port = int(first.origin.rsplit(":", 1)[1])
    async with running_studio(settings_for(first.base_url, tmp_path)) as studio:
        task = await created(studio, make_request())
        async with sandbox.running(coarse(speed=0), port=port) as second:
            task = await studio.wait_for_new(task, 300)
            assert task.status is Status.SUCCEEDED
            assert second.sandbox.request_log.requests["imagine"] == 1


async def test_the_balance_is_stated_only_if_the_provider_reports_it(tmp_path: Path) -> None:
    """Too few credits, and `/account` down."""
    async with make_environment_without_copies(tmp_path, "account:status=500", credits=0) as here:
        task = await here.made()
        assert task.failure is not None
        assert task.failure.code == "out_of_credits"
        assert "balance" not in task.failure.message


async def test_a_task_is_stored_as_sent_before_its_request_leaves(tmp_path: Path) -> None:
    """When the provider gets the request, another process already reads `sent` in the store."""
    async with make_environment_without_copies(tmp_path, "submit:delay=0.2") as here:
        task = await created(here.studio, make_request())
        await until(lambda: here.asked["imagine"])
        async with running_studio(settings_for(here.upstream.base_url, tmp_path), here.clock) as other:
            seen = (await other.fetch([task.id], LOCAL))[task.id]
            assert (seen.submission, seen.status) == (Submission.SENT, Status.RUNNING)
            done = (await other.fetch([task.id], LOCAL, seconds=600))[task.id]
            assert done.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ({}, ["sent", "accepted"]),
        ({"JOURNEY_MCP_MAX_CONCURRENT": "1"}, ["prepared", "sent", "accepted"]),
    ],
)
async def test_a_task_that_nothing_delays_is_stored_as_sent_at_once(
    tmp_path: Path, more: dict[str, str], states: list[str]
) -> None:
    """That saves a write; a task that waits for a slot is stored as prepared first."""
    async with make_environment_without_copies(tmp_path, **more) as here:
        with statements("tasks") as seen:
            task = await here.made()
    stored = [state for statement, values in seen if "SELECT" not in statement.split()[0] for state in values]
    assert task.status is Status.SUCCEEDED
    assert list(dict.fromkeys(state for state in stored if state in list(Submission))) == states


async def test_a_task_that_was_stored_as_sent_is_tried_again_at_the_limit(tmp_path: Path) -> None:
    """It is queued like any other after a refusal."""
    async with make_environment_without_copies(tmp_path, "submit:status=429,times=2") as here:
        task = await here.made()
        assert (task.status, here.asked["imagine"]) == (Status.SUCCEEDED, 3)


async def test_a_task_that_is_stored_as_sent_while_the_server_ends_is_free(tmp_path: Path) -> None:
    """The queue was closed before its request left."""
    async with make_environment_without_copies(tmp_path) as here:
        holder = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with statements("INSERT INTO tasks") as stored:
            async with anyio.create_task_group() as group:
                group.start_soon(here.studio.create, make_request(), LOCAL)
                while not stored:
                    await checkpoint()  # no time passes while a statement waits for the lock
                here.studio.begin_shutdown()
                holder.execute("ROLLBACK")
        holder.close()
        assert "sent" in stored[0][1]
        with anyio.fail_after(20):
            while not (task := (await here.studio.newest(LOCAL))[0]).status.is_final:
                await here.clock.sleep(0.01)
        assert task.failure is not None
        assert (task.failure.code, task.submission, task.cost) == ("not_submitted", Submission.REFUSED, None)
        assert here.sent == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of noise that Replicate wants uploaded."""
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    Image.effect_noise((900, 700), 50).convert("RGB").save(path)
    return path


@asynccontextmanager
async def uploading(folder: Path, image: Path, *faults: str, **more: Any) -> AsyncIterator[tuple[Environment, Task]]:
    """Return a task whose image is uploaded while these faults happen."""
    more = {"services": ["replicate"], "JOURNEY_MCP_IMAGE_DIRS": image.parent, **more}
    async with make_wide_environment_without_copies(folder, *faults, **more) as here:
        wanted = make_request(tool="edit_image", model="flux-kontext-pro", image=str(image))
        yield here, await created(here.studio, wanted)


async def until_uploading(here: Environment) -> None:
    """Wait until the sandbox has the upload."""
    await until(lambda: here.asked["replicate/files"])


async def test_a_task_is_not_sent_while_its_image_is_uploaded(tmp_path: Path, large: Path) -> None:
    """Another process reads `prepared` meanwhile: after a kill now, the task must not look paid."""
    async with uploading(tmp_path, large, "replicate/upload:delay=1") as (here, task):
        await until_uploading(here)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            seen = (await store.tasks.get([task.id], principal=task.principal))[task.id]
        assert (seen.submission, seen.status) == (Submission.PREPARED, Status.QUEUED)
        assert here.sent == []
        done = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert done.status is Status.SUCCEEDED
        assert (here.asked["replicate/files"], here.asked["replicate/predictions"]) == (1, 1)


async def test_an_image_is_uploaded_once_however_often_the_request_is_tried(tmp_path: Path, large: Path) -> None:
    """Its address stays valid."""
    async with uploading(tmp_path, large, "replicate/submit:status=429,times=3") as (here, task):
        done = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert done.status is Status.SUCCEEDED
        assert (here.asked["replicate/files"], here.asked["replicate/predictions"]) == (1, 4)


@pytest.mark.parametrize("fault", ["status=500,times=2", "reset,times=2", "status=429,times=2"])
async def test_an_upload_that_fails_is_tried_again(tmp_path: Path, large: Path, fault: str) -> None:
    """Like a request without a connection, or at the limit."""
    async with uploading(tmp_path, large, f"replicate/upload:{fault}") as (here, task):
        done = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert done.status is Status.SUCCEEDED
        assert (here.asked["replicate/files"], here.asked["replicate/predictions"]) == (3, 1)
        assert not any("charged so far" in str(notice) for notice in (*done.notices, *done.transient_notices))


@pytest.mark.parametrize(
    ("fault", "code", "uploads"),
    [
        ("status=413", "refused", 1),
        ("status=401", "credentials_rejected", 1),
        ("status=402", "out_of_credits", 1),
        ("status=500", "unreachable", 4),
    ],
)
async def test_an_upload_that_is_refused_ends_the_task_free(
    tmp_path: Path, large: Path, fault: str, code: str, uploads: int
) -> None:
    """No creating request leaves."""
    async with uploading(tmp_path, large, f"replicate/upload:{fault},times=always") as (here, task):
        done = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert done.failure is not None
        assert (done.status, done.failure.code) == (Status.FAILED, code)
        assert (done.submission, done.cost, done.charges) == (Submission.REFUSED, None, {})
        assert (here.asked["replicate/files"], here.asked["replicate/predictions"]) == (uploads, 0)


async def test_if_an_image_cannot_be_uploaded_another_provider_runs_the_task(tmp_path: Path, large: Path) -> None:
    """Nothing was created."""
    more = {"services": ["replicate", "bfl"], "JOURNEY_MCP_PROVIDERS": "replicate,bfl"}
    async with uploading(tmp_path, large, "replicate/upload:status=402,times=always", **more) as (here, task):
        done = (await here.studio.fetch([task.id], LOCAL, seconds=600))[task.id]
        assert (done.status, done.provider, here.created) == (Status.SUCCEEDED, "bfl", ["bfl"])


async def test_a_task_that_is_canceled_during_an_upload_is_never_sent(tmp_path: Path, large: Path) -> None:
    """And is free."""
    async with uploading(tmp_path, large, "replicate/upload:delay=0.3") as (here, task):
        await until_uploading(here)
        ended, said = (await here.studio.cancel([task.id], LOCAL))[task.id]
        assert (ended.status, ended.submission) == (Status.CANCELED, Submission.REFUSED)
        assert said == Notice.of("canceled_unsent")
        await here.clock.sleep(10)
        assert (await here.studio.fetch([task.id], LOCAL))[task.id].status is Status.CANCELED
        assert (here.asked["replicate/files"], here.sent) == (1, [])


async def test_a_task_that_is_canceled_between_two_uploads_is_not_uploaded_again(tmp_path: Path, large: Path) -> None:
    """It waited for room."""
    limit = "replicate/upload:status=429,header.Retry-After=5,times=always"
    async with uploading(tmp_path, large, limit) as (here, task):
        while not (await here.studio.fetch([task.id], LOCAL))[task.id].transient_notices:
            await here.clock.sleep(0.1)
        ended, _ = (await here.studio.cancel([task.id], LOCAL))[task.id]
        uploads = here.asked["replicate/files"]
        assert ended.status is Status.CANCELED
        await here.clock.sleep(10)
        assert (here.asked["replicate/files"], here.sent) == (uploads, [])


class Garbling(JourneyApi):
    """An adapter that writes a prompt that is not valid text."""

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Write it."""
        return super().submit(replace(request, prompt="\ud800"), offer)


async def test_a_request_that_cannot_be_encoded_ends_free_and_never_counts_as_sent(tmp_path: Path) -> None:
    """It is encoded before the task is stored as sent."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with running_studio(settings, adapters={**ADAPTERS, "journeyapi": Garbling}) as studio:
            with statements("UPDATE tasks") as seen:
                task = await studio.wait_for_new(await created(studio, make_request()), 900)
        assert upstream.sandbox.request_log.submissions == ()
    assert task.failure is not None
    assert (task.status, task.failure.code, task.submission) == (Status.FAILED, "setup", Submission.REFUSED)
    assert (task.cost, task.charges) == (None, {})
    assert "cannot be written" in task.failure.message
    assert "Nothing was sent or charged" in (task.failure.next_step or "")
    assert seen
    assert repr(Submission.SENT.value) not in str(seen)


@pytest.mark.parametrize(
    ("key", "prompt"),
    [("secret_ü_0123456789", "a kite"), ("secret_01234567\n89", "a kite"), ("secret_0123456789", "\ud800")],
)
async def test_every_adapter_encodes_before_it_is_awaited(key: str, prompt: str) -> None:
    """A key that cannot be sent, and a prompt that is not text; for any account."""
    registry, settings = load(), read_settings({variable: "key" for variable, _ in SERVICES.values()})
    catalog = registry.catalog(list(registry.providers))
    async with new_http_client() as http:
        for account in accounts_of(settings, registry):
            provider = ADAPTERS[registry.providers[account.facts_id].wire](replace(account, key=key), http)
            offer = next(o for offers in catalog.offers.values() for o in offers if o.provider == account.provider)
            with pytest.raises(SetupError, match="cannot be written") as refused:
                _ = provider.submit(PreparedRequest(prompt=prompt), offer)
            assert "0123" not in str(refused.value)
