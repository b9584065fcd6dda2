"""Keys of callers: a call that brings one runs, and is paid, at the caller's own account alone."""

import gc
import io
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from support import coarse, environment_of, make_request, model_at, running_studio, until_accepted

from journey_mcp import sandbox
from journey_mcp.core import telemetry
from journey_mcp.core.errors import ImageNotRefinable, OverBudget, SetupError
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import CallerKeys
from journey_mcp.core.tasks import Task
from journey_mcp.engine.archive import export_journal, import_journal
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.providers.base import Account
from journey_mcp.sandbox import JourneyApiSettings
from journey_mcp.settings import Settings, read_settings
from journey_mcp.store import open_store
from journey_mcp.studio import Studio

ADA, BOB = Principal("token:ada"), Principal("token:bob")
OWN = "own-key-of-ada-0123456789"
OPERATORS = "journeyapi-secret-key"
SECRET, NEXT_SECRET = "s" * 40, "t" * 40
AT_JOURNEYAPI = CallerKeys({"journeyapi": OWN})
BOTH: dict[str, Any] = {"model": "flux-2-max"}
"""JourneyAPI and BFL have an offer of this model."""


def settings_at(upstream: sandbox.Running, folder: Path, *services: str, **more: str) -> Settings:
    """Return the settings of a server over HTTP."""
    environment = environment_of(upstream, folder, *services, **{"JOURNEY_MCP_SECRET": SECRET, **more})
    return read_settings({name: value for name, value in environment.items() if value}).over_http()


@asynccontextmanager
async def upstream_with(*faults: str, speed: float = 0, keys: tuple[str, ...] | None = None) -> AsyncIterator[Any]:
    """Run a sandbox whose JourneyAPI accepts only these keys."""
    fake = JourneyApiSettings(keys=keys)
    async with sandbox.running(coarse(speed=speed, seed=7, journeyapi=fake)) as upstream:
        upstream.sandbox.faults.replace([sandbox.Fault.parse(text) for text in faults])
        yield upstream


async def make(studio: Studio, principal: Principal = ADA, keys: CallerKeys = AT_JOURNEYAPI, **more: Any) -> Task:
    """Create a task and wait for its end."""
    limits = {name: more.pop(name) for name in ("providers", "fresh") if name in more}
    made = await studio.create(make_request(**more), principal, keys=keys, **limits)
    return await studio.wait_for_new(made.task, 900)


@asynccontextmanager
async def recorded(ended: list[telemetry.Operation]) -> AsyncIterator[None]:
    """Keep the ended tasks as they are reported."""

    class Recorder:
        def started(self, operation: telemetry.Operation) -> None:
            pass

        def ended(self, operation: telemetry.Operation, _duration_s: float) -> None:
            if operation.kind == "task":
                ended.append(operation)

        def headers(self) -> dict[str, str]:
            return {}

    end = telemetry.record_to(Recorder())
    try:
        yield
    finally:
        end()


def creations(upstream: sandbox.Running) -> list[str]:
    """Return the services that created a task."""
    return [entry.service for entry in upstream.sandbox.request_log.submissions if entry.outcome == "created"]


async def test_a_call_with_a_key_is_sent_and_polled_with_it(tmp_path: Path) -> None:
    """The provider accepts no other key here; a call without one uses the operator's, and nobody else sees the task."""
    async with (
        upstream_with(speed=1, keys=(OWN,)) as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio,
    ):
        task = await make(studio, model="midjourney")
        assert (task.status, task.provider) == (Status.SUCCEEDED, "journeyapi")
        assert upstream.sandbox.request_log.fetched(task.prediction_id) > 0
        assert await studio.fetch([task.id], BOB) == {}
        refused = await make(studio, BOB, CallerKeys(), model="midjourney")
        assert refused.failure is not None
        assert (refused.failure.code, refused.failure.message) == (
            "credentials_rejected",
            "journeyapi does not accept the key.",
        )


async def test_a_rejected_key_is_called_the_callers_own(tmp_path: Path) -> None:
    """The error names where the caller corrects it, and never the key."""
    async with (
        upstream_with(keys=(OPERATORS,)) as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio,
    ):
        task = await make(studio)
        assert task.failure is not None
        assert task.failure.code == "credentials_rejected"
        assert task.failure.message == "journeyapi does not accept your own key."
        assert "x-journey-key-journeyapi" in str(task.failure.next_step)
        assert OWN not in str(task)
        # the operator's account has no cooldown by that, and Bob's call is not refused
        assert (await make(studio, BOB, CallerKeys())).status is Status.SUCCEEDED


async def test_a_provider_without_a_key_of_the_operator_can_be_used(tmp_path: Path) -> None:
    """For the caller with a key: making, fetching and cancelling; for others the model is unknown."""
    async with (
        upstream_with(speed=1) as upstream,
        running_studio(
            settings_at(upstream, tmp_path, "journeyapi", REPLICATE_BASE_URL=upstream.base_urls["replicate"])
        ) as studio,
    ):
        keys = CallerKeys({"replicate": OWN})
        request = make_request(model=model_at("replicate"), provider="replicate")
        task = await until_accepted(studio, (await studio.create(request, ADA, keys=keys)).task)
        assert task.provider == "replicate"
        _, notice = (await studio.cancel([task.id], ADA))[task.id]
        assert notice.code in {"canceled_upstream", "cancel_requested"}
        again, notice = (await studio.cancel([task.id], ADA))[task.id]
        assert (again.status, notice.code) == (Status.CANCELED, "cancel_too_late")
        with pytest.raises(Exception, match="replicate"):
            await studio.create(request, BOB)


@pytest.mark.parametrize("secrets", [SECRET, f"{SECRET},{NEXT_SECRET}", f"{NEXT_SECRET},{SECRET}"])
async def test_a_restarted_server_goes_on_with_the_sealed_key(tmp_path: Path, secrets: str) -> None:
    """Also during a rotation of the secret; the operator has no key of this provider any more."""
    async with upstream_with(speed=1, keys=(OWN,)) as upstream:
        clock = ManualClock()
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi"), clock) as studio:
            made = await studio.create(make_request(model="midjourney"), ADA, keys=AT_JOURNEYAPI)
            task = await until_accepted(studio, made.task)
            studio.begin_shutdown()
        again = {"JOURNEY_MCP_SECRET": secrets, "JOURNEYAPI_BASE_URL": upstream.base_url}
        async with running_studio(settings_at(upstream, tmp_path, "bfl", **again), clock) as studio:
            found = (await studio.fetch([task.id], ADA, seconds=900))[task.id]
            assert (found.status, found.failure) == (Status.SUCCEEDED, None)


@pytest.mark.parametrize("secret", [NEXT_SECRET, ""])
async def test_a_task_whose_key_cannot_be_opened_ends_and_says_why(tmp_path: Path, secret: str) -> None:
    """Until then it waits for a server with the former secret; it is never polled with another key."""
    async with upstream_with(speed=0.001) as upstream:
        clock = ManualClock()
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi"), clock) as studio:
            made = await studio.create(make_request(model="midjourney"), ADA, keys=AT_JOURNEYAPI)
            task = await until_accepted(studio, made.task)
            studio.begin_shutdown()
        polls = upstream.sandbox.request_log.fetched(task.prediction_id)
        lost = settings_at(upstream, tmp_path, "journeyapi", JOURNEY_MCP_SECRET=secret)
        async with running_studio(lost, clock) as studio:
            found = (await studio.fetch([task.id], ADA, seconds=60))[task.id]
            assert not found.status.is_final
            assert "cannot open" in str(found.notices[-1])
            _, notice = (await studio.cancel([task.id], ADA))[task.id]
            assert notice.code == "key_sealed"
            await clock.sleep(900)
            found = (await studio.fetch([task.id], ADA))[task.id]
            assert found.failure is not None
            assert (found.status, found.failure.code) == (Status.FAILED, "key_lost")
            assert "charged to your own account" in found.failure.message
            assert str(task.prediction_id) in str(found.failure.next_step)
            assert upstream.sandbox.request_log.fetched(task.prediction_id) == polls


async def test_a_task_whose_key_the_provider_does_not_take_any_more_ends(tmp_path: Path) -> None:
    """The caller may have withdrawn it; a new key would not be that of the task."""
    async with upstream_with(speed=0.001) as upstream:
        clock = ManualClock()
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi"), clock) as studio:
            made = await studio.create(make_request(model="midjourney"), ADA, keys=AT_JOURNEYAPI)
            task = await until_accepted(studio, made.task)
            upstream.sandbox.faults.replace([sandbox.Fault.parse("fetch:status=401,times=always")])
            await clock.sleep(300)
            found = (await studio.fetch([task.id], ADA))[task.id]
            assert "your own key" in str(found.notices[-1])
            await clock.skip(1700)
            await clock.sleep(100)
            found = (await studio.fetch([task.id], ADA))[task.id]
            assert found.failure is not None
            assert found.failure.code == "key_lost"


@pytest.mark.parametrize("fault", ["status=402", "status=401", "status=429,times=always"])
async def test_a_refusal_of_one_account_does_not_delay_another(tmp_path: Path, fault: str) -> None:
    """Cooldown, pause and learned limit belong to the account."""
    async with upstream_with(f"journeyapi/submit:{fault}") as upstream:
        clock = ManualClock()
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi", "bfl"), clock) as studio:
            moved = await make(studio, **BOTH)
            assert moved.provider == "bfl"
            assert moved.sealed_key is None
            upstream.sandbox.faults.replace([])
            started = clock.elapsed()
            other = await make(studio, BOB, CallerKeys(), **BOTH)
            assert (other.provider, other.notices) == ("journeyapi", ())
            assert clock.elapsed() - started < 60
            cooled = await make(studio, prompt="once more", **BOTH)
            assert (cooled.provider, cooled.notices[0].code) == ("bfl", "provider_on_cooldown")


async def test_tasks_of_one_account_take_no_slots_of_another(tmp_path: Path) -> None:
    """The limit of the settings is that of each account by itself."""
    async with (
        upstream_with(speed=0.001) as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi", JOURNEY_MCP_MAX_CONCURRENT="1")) as studio,
    ):
        for principal, keys in (
            (ADA, AT_JOURNEYAPI),
            (BOB, CallerKeys()),
            (BOB, CallerKeys({"journeyapi": "bobs-own-key"})),
        ):
            made = await studio.create(make_request(model="midjourney"), principal, keys=keys)
            assert (await until_accepted(studio, made.task)).prediction_id
        queued = (await studio.create(make_request(model="midjourney", prompt="2"), ADA, keys=AT_JOURNEYAPI)).task
        assert (await studio.wait_for_new(queued, 5)).prediction_id is None
        studio.begin_shutdown()


@pytest.mark.parametrize(("providers", "provider"), [(None, "bfl"), (("bfl",), "bfl"), ((), None), (("vtrix",), None)])
async def test_a_call_moves_to_a_key_of_the_operator_only_where_it_may(
    tmp_path: Path, providers: tuple[str, ...] | None, provider: str | None
) -> None:
    """The providers of the token are those whose configured keys its calls may use."""
    async with (
        upstream_with("journeyapi/submit:status=402") as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi", "bfl")) as studio,
    ):
        task = await make(studio, providers=providers, **BOTH)
        if provider:
            assert (task.provider, task.notices[0].code) == (provider, "provider_failed")
        else:
            assert task.failure is not None
            assert "with your own key, has too little money" in task.failure.message
            assert creations(upstream) == []


async def test_the_callers_own_account_comes_first(tmp_path: Path) -> None:
    """Before the preferred provider of the operator, and its key is used in place of the operator's."""
    async with (
        upstream_with() as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi", "bfl")) as studio,
    ):
        task = await make(studio, keys=CallerKeys({"bfl": OWN}), **BOTH)
        assert (task.provider, task.has_own_key) == ("bfl", True)
        task = await make(studio, BOB, CallerKeys(), **BOTH)
        assert (task.provider, task.has_own_key) == ("journeyapi", False)


async def test_a_duplicate_call_with_another_account_makes_another_task(tmp_path: Path) -> None:
    """With the same account it joins."""
    async with (
        upstream_with(speed=0.001) as upstream,
        running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio,
    ):
        request = make_request(model="midjourney")
        first = await studio.create(request, ADA, keys=AT_JOURNEYAPI)
        joined = await studio.create(request, ADA, keys=AT_JOURNEYAPI)
        assert (joined.task.id, joined.notice is not None) == (first.task.id, True)
        for keys in (CallerKeys(), CallerKeys({"journeyapi": "another-own-key"})):
            other = await studio.create(request, ADA, keys=keys)
            assert (other.task.id != first.task.id, other.notice) == (True, None)
        studio.begin_shutdown()


@pytest.mark.parametrize("limit", ["3credits/call", "3credits/day"])
async def test_a_limit_of_the_operator_is_none_for_a_call_that_its_caller_pays(tmp_path: Path, limit: str) -> None:
    """Neither when the task is stored, nor when it moves to another of the caller's accounts."""
    keys = CallerKeys({"bfl": OWN, "journeyapi": OWN})
    async with (
        upstream_with() as upstream,
        running_studio(settings_at(upstream, tmp_path, "bfl", "journeyapi", JOURNEY_MCP_BUDGET=limit)) as studio,
    ):
        assert (await make(studio, model="midjourney")).status is Status.SUCCEEDED
        with pytest.raises(OverBudget, match=limit):
            await make(studio, BOB, CallerKeys(), model="midjourney")
        upstream.sandbox.faults.replace([sandbox.Fault.parse("journeyapi/submit:status=402")])
        moved = await make(studio, keys=keys, **BOTH)
        assert (moved.provider, moved.has_own_key, moved.status) == ("bfl", True, Status.SUCCEEDED)


async def test_a_limit_of_the_operator_holds_where_a_call_moves_to_a_key_of_the_operator(tmp_path: Path) -> None:
    """The caller has not paid any more from there on."""
    async with (
        upstream_with("journeyapi/submit:status=402") as upstream,
        running_studio(
            settings_at(upstream, tmp_path, "bfl", "journeyapi", JOURNEY_MCP_BUDGET="0.01usd/call")
        ) as studio,
    ):
        task = await make(studio, **BOTH)
        assert task.failure is not None
        assert "The budget 0.01usd/call is exceeded" in task.failure.message
        assert creations(upstream) == []


async def test_what_callers_pay_counts_towards_their_own_limits_only(tmp_path: Path) -> None:
    """Limits of all principals together, and the sums that an operator sees, are of the operator's money."""
    limits, ended = "10credits/day,10credits/call,12credits/day@each", list[telemetry.Operation]()
    async with (
        upstream_with() as upstream,
        recorded(ended),
        running_studio(settings_at(upstream, tmp_path, "journeyapi", JOURNEY_MCP_BUDGET=limits)) as studio,
    ):
        for number in range(3):
            assert (await make(studio, prompt=str(number), model="midjourney")).status is Status.SUCCEEDED
        with pytest.raises(OverBudget, match="12credits/day@each"):
            await make(studio, prompt="one more", model="midjourney")
        assert (await studio.totals()).spent == ()
        assert [total.amount for total in (await studio.spent(ADA)).today] == [12]
        for number in range(2):
            made = await make(studio, BOB, CallerKeys(), prompt=str(number), model="midjourney")
            assert made.status is Status.SUCCEEDED
        with pytest.raises(OverBudget, match=r"10credits/day is used up.* 8 are spent"):
            await make(studio, BOB, CallerKeys(), prompt="one more", model="midjourney")
        assert [total.amount for total in (await studio.totals()).spent] == [8]
        assert [operation.attributes.get("cost") for operation in ended] == [None, None, None, 4, 4]
        async with open_store(studio.settings.resolved_database_url()) as store:
            assert len(await store.spend.since(0.0)) == 2


def keyless_settings(upstream: sandbox.Running, folder: Path, **more: str) -> Settings:
    """Return the settings of a server over HTTP that has no key itself."""
    given = {"JOURNEY_MCP_DATA_DIR": str(folder), "JOURNEY_MCP_SECRET": SECRET, "JOURNEY_MCP_CALLER_KEYS": "on"}
    return read_settings({**given, "JOURNEYAPI_BASE_URL": upstream.base_url, **more}).over_http()


async def test_the_sandbox_makes_no_images_for_a_caller_with_a_key(tmp_path: Path) -> None:
    """A server without keys makes test images for the others."""
    async with upstream_with() as upstream, running_studio(keyless_settings(upstream, tmp_path)) as studio:
        task = await make(studio)
        assert (task.provider, task.status, task.notices) == ("journeyapi", Status.SUCCEEDED, ())
        assert (await make(studio, BOB, CallerKeys())).provider == "sandbox"


async def test_a_server_without_any_key_serves_callers_with_one(tmp_path: Path) -> None:
    """Others are told how to bring one."""
    async with (
        upstream_with() as upstream,
        running_studio(keyless_settings(upstream, tmp_path, JOURNEY_MCP_SANDBOX="off")) as studio,
    ):
        assert studio.has_provider
        assert (await make(studio)).status is Status.SUCCEEDED
        with pytest.raises(SetupError, match="with provider keys of their own"):
            await make(studio, BOB, CallerKeys())


async def test_without_a_secret_no_key_is_taken(tmp_path: Path) -> None:
    """It could not be stored sealed; an unknown provider is refused too."""
    async with upstream_with() as upstream:
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi", JOURNEY_MCP_SECRET="")) as studio:
            with pytest.raises(SetupError, match="JOURNEY_MCP_SECRET is not set"):
                await make(studio)
        async with running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio:
            with pytest.raises(SetupError, match="There is no provider 'nobody'"):
                await make(studio, keys=CallerKeys({"nobody": OWN}))
        assert upstream.sandbox.request_log.submissions == ()


async def test_an_image_is_refined_with_the_key_that_made_it(tmp_path: Path) -> None:
    """Only its account knows the run of the image."""
    async with upstream_with() as upstream, running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio:
        task = await make(studio, model="midjourney")
        refine: dict[str, Any] = {
            "tool": "refine_image",
            "image": f"{task.id}.2",
            "action": "vary",
            "model": "vary",
            "prompt": "",
        }
        with pytest.raises(ImageNotRefinable, match="with another key"):
            await make(studio, keys=CallerKeys(), **refine)
        assert (await make(studio, **refine)).status is Status.SUCCEEDED


async def test_a_sealed_key_opens_for_its_own_row_only(tmp_path: Path) -> None:
    """Whoever can write into the database cannot let it be used for another principal or at another provider."""
    async with upstream_with(speed=0.001) as upstream:
        clock = ManualClock()
        settings = settings_at(upstream, tmp_path, "journeyapi", "bfl")
        async with running_studio(settings, clock) as studio:
            made = await studio.create(make_request(model="midjourney"), ADA, keys=AT_JOURNEYAPI)
            task = await until_accepted(studio, made.task)
            studio.begin_shutdown()
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("UPDATE tasks SET principal = ?", (BOB,))
        async with running_studio(settings, clock) as studio:
            found = (await studio.fetch([task.id], BOB))[task.id]
            assert found.notices[-1].code == "key_sealed"


async def test_the_key_is_in_no_file_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the database with its log, an export of it, records of every level, or texts of tasks and errors."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    data = tmp_path / "data"
    async with upstream_with() as upstream:
        clock = ManualClock()
        settings = settings_at(upstream, data, "journeyapi")
        async with running_studio(settings, clock) as studio:
            seen += [repr(await make(studio, prompt=str(number), model="midjourney")) for number in range(2)]
            echo = {"errors": [{"msg": f"this key is wrong: {OWN}"}]}
            for status in (400, 401, 402, 500):
                fault = sandbox.Fault(on="submit", kind="status", status=status, body=echo)
                upstream.sandbox.faults.replace([fault])
                seen.append(repr(await make(studio, prompt=f"refused with {status}")))
            upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang")])
            made = await studio.create(make_request(model="midjourney", prompt="runs"), ADA, keys=AT_JOURNEYAPI)
            running = await until_accepted(studio, made.task)
            stored = b"".join(file.read_bytes() for file in data.iterdir() if file.is_file())
            assert str(running.sealed_key).encode() in stored
            studio.begin_shutdown()
        file = io.BytesIO()
        async with open_store(settings.resolved_database_url()) as store:
            await export_journal(store, ImageFolder(data), file, clock, with_running=True)
        stored += file.getvalue()
        assert str(running.sealed_key).encode() in file.getvalue()
        file.seek(0)
        # with the same secret the task goes on elsewhere
        moved = settings_at(upstream, tmp_path / "moved", "journeyapi")
        async with running_studio(moved, clock), open_store(moved.resolved_database_url()) as store:
            await import_journal(store, ImageFolder(tmp_path / "moved"), file)
        async with running_studio(moved, clock) as studio:
            assert (await studio.fetch([running.id], ADA, seconds=5))[running.id].notices == ()
            studio.begin_shutdown()
    texts = [*seen, *(record.getMessage() for record in caplog.records), repr(AT_JOURNEYAPI), repr(settings)]
    for text in (*texts, stored.decode("latin-1")):
        assert OWN not in text
        assert OWN[:12] not in text


async def test_the_key_is_deleted_once_it_is_not_needed(tmp_path: Path) -> None:
    """What is left of it says that the operator did not pay."""
    async with upstream_with() as upstream, running_studio(settings_at(upstream, tmp_path, "journeyapi")) as studio:
        task = await make(studio)
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            rows = connection.execute("SELECT sealed_key FROM tasks").fetchall()
        assert rows == [("",)]
        assert (await studio.fetch([task.id], ADA))[task.id].has_own_key


async def test_an_account_is_forgotten_with_its_last_task(tmp_path: Path) -> None:
    """A process that runs for months does not collect the keys of all callers; that of a running task stays."""
    async with (
        upstream_with("submit:hang,times=1") as upstream,
        running_studio(settings_at(upstream, tmp_path)) as studio,
    ):
        running = await studio.create(
            make_request(model="midjourney"), BOB, keys=CallerKeys({"journeyapi": "key-of-bob"})
        )
        await until_accepted(studio, running.task)
        await make(studio, model="midjourney")
        gc.collect()
        keys = [account.key for account in gc.get_objects() if isinstance(account, Account)]
        assert (OWN in keys, "key-of-bob" in keys) == (False, True)
