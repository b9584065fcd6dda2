"""Inbound webhooks: a second way for every answer, and no way for anything else."""

import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from manual_clock import ManualClock, until
from support import SERVICES, coarse, environment_of, make_request, running_studio, settings_for, until_accepted

from journey_mcp import sandbox
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.provider_keys import CallerKeys
from journey_mcp.core.requests import ImageRequest, PreparedRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.callbacks import CallbackUrls, token_of
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.journeyapi import JourneyApi
from journey_mcp.registry import Offer, load
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.server.transports.webhooks import bind, listening_at
from journey_mcp.settings import read_settings
from journey_mcp.studio import Studio, open_studio

MODELS = {"journeyapi": "midjourney", "replicate": "flux-kontext-pro", "bfl": "flux-2-pro"}
"""A model of every provider that calls webhooks, which takes a while."""

PLAIN: Any = {"trust_env": False, "verify": False}
"""For clients of plain HTTP, which then load no certificates."""


def request(service: str, **more: Any) -> Any:
    """Return a call that this provider runs."""
    return make_request(model=MODELS[service], provider=service, **more)


@dataclass(frozen=True)
class Listening:
    """A studio that takes webhooks, at a sandbox."""

    studio: Studio
    upstream: sandbox.Running
    url: str
    """Where it listens."""
    folder: Path
    clock: ManualClock

    async def post(self, reported: Task | str, body: Any, **headers: str) -> int:
        """Deliver something, to the URL of a task or to another; return the status of the answer, which is empty."""
        path = f"{reported.id}/{token_of(reported.callback_secret or '')}" if isinstance(reported, Task) else reported
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx2.AsyncClient(**PLAIN) as http:
            answer = await http.post(
                f"{self.url}/{path}",
                content=content,
                headers=[(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
            )
        assert answer.content == b"" or answer.status_code == 503  # uvicorn's own, when too many are connected
        return answer.status_code

    async def ended(self, task: Task, seconds: float = 20) -> Task:
        """Return the task once it is final."""
        return (await self.studio.fetch([task.id], LOCAL, seconds=seconds))[task.id]

    @property
    def polls(self) -> int:
        """Return how often the provider was polled."""
        asked = self.upstream.sandbox.request_log.requests
        return asked["fetch"] + asked["fetch_many"]

    @property
    def deliveries(self) -> list[str]:
        """Return the results of the sandbox's deliveries."""
        return [attempt.outcome for attempt in self.upstream.sandbox.request_log.deliveries]


@asynccontextmanager
async def listening(
    folder: Path, *faults: str, clock: ManualClock | None = None, port: int | None = None, **more: Any
) -> AsyncIterator[Listening]:
    """Run a studio that takes webhooks, with keys for all providers at one sandbox; images are not copied."""
    environment = {name: str(value) for name, value in more.items() if name.isupper()}
    reported = {"speed": 0, "seed": 7, **{name: value for name, value in more.items() if not name.isupper()}}
    async with sandbox.running(coarse(**reported)) as upstream:
        upstream.sandbox.faults.replace([sandbox.Fault.parse(text) for text in faults])
        async with listening_beside(upstream, folder, clock=clock, port=port, **environment) as opened:
            yield opened


@asynccontextmanager
async def listening_beside(
    upstream: sandbox.Running, folder: Path, *, clock: ManualClock | None = None, port: int | None = None, **more: str
) -> AsyncIterator[Listening]:
    """Run the same at a sandbox that runs already; providers report at `port`, if it is given."""
    listener = bind("127.0.0.1", 0)
    own = f"http://127.0.0.1:{listener.getsockname()[1]}"
    public = own if port is None else f"http://127.0.0.1:{port}"
    given = {"JOURNEY_MCP_PUBLIC_URL": public, "JOURNEY_MCP_KEEP_IMAGES": "off", **more}
    settings = read_settings(environment_of(upstream, folder, **given))
    clock = clock or ManualClock()
    async with running_studio(settings, clock, listening=listening_at(listener)) as studio:
        yield Listening(studio, upstream, own, folder, clock)


@pytest.mark.parametrize("service", MODELS)
async def test_a_result_comes_by_webhook_without_polls(tmp_path: Path, service: str) -> None:
    """The provider is given the URL with every task; the images are those that a poll would return."""
    async with listening(tmp_path, f"{service}/submit:delay=0.2", speed=50) as here:
        made = (await here.studio.create(request(service), LOCAL)).task
        task = await here.ended(made)
        assert (task.status, len(task.images) > 0) == (Status.SUCCEEDED, True)
        assert here.polls == 0
        await until(lambda: here.deliveries == ["204"])


@pytest.mark.parametrize("service", MODELS)
@pytest.mark.parametrize("fault", ["reset_after", "cut_body", "status_after=502"])
async def test_an_answer_that_was_lost_comes_by_webhook(tmp_path: Path, service: str, fault: str) -> None:
    """Of a request that may have been paid: it is awaited, not ended, and not sent again."""
    async with listening(tmp_path, f"{service}/submit:{fault}", speed=50) as here:
        made = (await here.studio.create(request(service), LOCAL)).task
        task = await here.ended(made)
        assert (task.status, task.submission) == (Status.SUCCEEDED, Submission.ACCEPTED)
        assert task.images
        assert len(here.upstream.sandbox.request_log.submissions) == 1


async def test_a_notice_says_why_an_unanswered_request_still_runs(tmp_path: Path) -> None:
    """Until its webhook arrives, or cannot any more: then it may have been charged, as without any."""
    async with listening(tmp_path, "submit:reset_after", "webhook:lost,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        reported: list[Task] = []
        while not reported or not reported[-1].transient_notices:
            reported.append((await here.studio.fetch([made.id], LOCAL, seconds=5))[made.id])
        assert reported[-1].status is Status.RUNNING
        assert "may still report it until" in str(reported[-1].transient_notices[-1])
        task = await here.ended(made, 900)
        assert task.failure is not None
        assert task.failure.code == "submission_unconfirmed"
        # 320 s that a request may take, and 170 s that JourneyAPI tries to deliver
        assert task.updated_at - made.created_at == pytest.approx(490, abs=0.01)
        assert len(here.upstream.sandbox.request_log.submissions) == 1


async def test_polling_is_the_backup_of_a_lost_webhook(tmp_path: Path) -> None:
    """From when the image is usually there."""
    async with listening(tmp_path, "webhook:lost,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        task = await here.ended(made, 900)
        assert task.status is Status.SUCCEEDED
        # 90 s, up to 10 % sooner or later
        assert 81 <= task.updated_at - made.created_at <= 99
        assert here.polls == 1


async def test_a_repeated_delivery_is_accepted_and_changes_nothing(tmp_path: Path) -> None:
    """Providers promise at least once."""
    async with listening(tmp_path, "webhook:duplicate,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        task = await here.ended(made)
        await until(lambda: len(here.deliveries) == 2)
        assert here.deliveries == ["204", "204"]
        assert await here.ended(made) == task


async def test_a_forged_delivery_is_answered_like_an_unknown_one_and_changes_nothing(tmp_path: Path) -> None:
    """From a sender that knows the id and not the secret, or the secret of another task, or nothing."""
    async with listening(tmp_path, "submit:hang,times=always") as here:
        tasks = {service: (await here.studio.create(request(service), LOCAL)).task for service in MODELS}
        other = (await here.studio.create(request("journeyapi", prompt="another"), LOCAL)).task
        for task in [*tasks.values(), other]:
            await here.studio.wait_for_new(task, 0)
        before = await here.studio.fetch([task.id for task in tasks.values()], LOCAL)
        secrets = [task.callback_secret or "" for task in (other, *tasks.values())]
        for service, task in tasks.items():
            known = before[task.id]
            body = {
                "task_id": known.prediction_id,
                "id": known.prediction_id,
                "status": "finished",
                "image_url": "https://evil.test/a.png",
                "output": "https://evil.test/a.png",
            }
            for headers in (
                {},
                {"x_webhook_secret": ""},
                {"x_webhook_secret": secrets[0]},
                {"x_webhook_secret": "ünï".encode().decode("latin-1")},
                {"x_bfl_signature": "sha256=00"},
                {"webhook_id": "a", "webhook_timestamp": "1", "webhook_signature": "v1,AAAA"},
            ):
                assert await here.post(task, body, **headers) == 404, (service, headers)
            assert await here.post(f"{task.id}/{token_of(secrets[0])}", body, x_webhook_secret=secrets[1]) == 404
            assert await here.post(task.id, body, x_webhook_secret=secrets[1]) == 404
        assert await here.post("tsk_unknown/x", {}, x_webhook_secret=secrets[1]) == 404
        assert await here.post("", {}) == 404
        after = await here.studio.fetch([task.id for task in tasks.values()], LOCAL)
        assert after == before
        here.studio.begin_shutdown()  # nobody need wait for tasks that hang


async def test_a_genuine_delivery_about_another_run_changes_nothing(tmp_path: Path) -> None:
    """The provider's id must be that of the task."""
    async with listening(tmp_path, "submit:hang,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        await here.studio.wait_for_new(made, 0)
        body = {"task_id": "of-another", "status": "finished", "image_url": "https://evil.test/a.png"}
        assert await here.post(made, body, x_webhook_secret=made.callback_secret or "") == 404
        assert (await here.studio.fetch([made.id], LOCAL))[made.id].status is Status.RUNNING


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"status": "finished"}', b"[" * 100_000, b"\xff\xfe"])
async def test_an_invalid_body_with_the_right_secret_changes_nothing(tmp_path: Path, body: bytes) -> None:
    """And breaks nothing."""
    async with listening(tmp_path, "submit:hang,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        await here.studio.wait_for_new(made, 0)
        assert await here.post(made, body, x_webhook_secret=made.callback_secret or "") == 404
        assert (await here.studio.fetch([made.id], LOCAL))[made.id].status is Status.RUNNING


async def test_only_small_posts_are_accepted(tmp_path: Path) -> None:
    """Nothing else is served."""
    async with listening(tmp_path) as here, httpx2.AsyncClient(**PLAIN) as http:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"):
            answer = await http.request(method, f"{here.url}/mcp")
            assert (answer.status_code, answer.content, {*answer.headers}) == (404, b"", {"content-length"})
        assert await here.post("tsk_x", b"x" * (1024 * 1024 + 1)) == 413


async def test_a_sender_that_is_cut_off_or_slow_delays_no_other(tmp_path: Path) -> None:
    """Half a request counts as none."""
    async with listening(tmp_path) as here:
        host, port = here.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /tsk_x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert await here.post("tsk_x", b"{}") == 404


async def test_silent_connections_block_no_other(tmp_path: Path) -> None:
    """Each is closed after 10 s."""
    async with listening(tmp_path) as here:
        host, port = here.url.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(150)]
        assert await here.post("tsk_x/y", {}) == 404
        # those that were accepted last end a moment later
        await here.clock.sleep(11)
        for connection in idle:
            connection.setblocking(False)
            assert connection.recv(1) == b""
            connection.close()


def refusing(folder: Path, column: str) -> sqlite3.Connection:
    """Return a database whose disk is full for changes of a column, until the trigger is dropped."""
    database = sqlite3.connect(folder / "tasks.db", isolation_level=None, timeout=10)
    trigger = f"CREATE TRIGGER full BEFORE UPDATE OF {column} ON tasks BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    database.execute(trigger)
    return database


FINISHED = {"task_id": "theirs", "status": "finished", "image_url": "https://pictures.test/a.png"}


async def test_a_delivery_that_cannot_be_stored_is_requested_again(tmp_path: Path) -> None:
    """204 only for what is in the journal: it may be the only answer."""
    async with listening(tmp_path, "submit:reset_after", "webhook:lost,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        await here.clock.sleep(1)
        assert (await here.studio.fetch([made.id], LOCAL))[made.id].transient_notices
        database = refusing(tmp_path, "outcome")
        for _ in range(2):  # the second time, the task has ended in memory
            assert await here.post(made, FINISHED, x_webhook_secret=made.callback_secret or "") == 503
        database.execute("DROP TRIGGER full")
        await until(lambda: database.execute("SELECT status FROM tasks").fetchone() == ("succeeded",))
        assert await here.post(made, FINISHED, x_webhook_secret=made.callback_secret or "") == 204
        database.close()


async def test_a_webhook_that_takes_long_to_apply_is_answered_and_applied(tmp_path: Path) -> None:
    """The image that it names is copied first: after 8 s the provider is told that it may deliver again."""
    async with listening(tmp_path, "bfl/image:delay=20", speed=50, JOURNEY_MCP_KEEP_IMAGES="all") as here:
        made = (await here.studio.create(request("bfl"), LOCAL)).task
        task = await here.ended(made, 100)
        assert (task.status, task.images[0].path is not None) == (Status.SUCCEEDED, True)
        assert here.deliveries[0] == "503"


async def test_a_listener_that_ends_applies_what_it_has_begun(tmp_path: Path) -> None:
    """For two seconds: the image is being copied when the server ends."""
    async with listening(tmp_path, "bfl/image:delay=1", speed=50, JOURNEY_MCP_KEEP_IMAGES="all") as here:
        made = (await here.studio.create(request("bfl"), LOCAL)).task
        await until(lambda: here.upstream.sandbox.request_log.requests["pictures"])
        here.studio.begin_shutdown()
    database = sqlite3.connect(tmp_path / "tasks.db")
    assert database.execute("SELECT id, status FROM tasks").fetchall() == [(made.id, "succeeded")]
    database.close()


async def test_a_delivery_for_a_task_that_cannot_be_taken_over_is_requested_again(tmp_path: Path) -> None:
    """Another process leases it."""
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        listening_beside(upstream, tmp_path) as other,
        listening_beside(upstream, tmp_path, port=9) as holder,
    ):
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang")])
        made = (await holder.studio.create(request("journeyapi"), LOCAL)).task
        made = await holder.studio.wait_for_new(made, 0)
        reported = {**FINISHED, "task_id": made.prediction_id}
        database = refusing(tmp_path, "lease_worker")
        assert await other.post(made, reported, x_webhook_secret=made.callback_secret or "") == 503
        database.execute("DROP TRIGGER full")
        assert await other.post(made, reported, x_webhook_secret=made.callback_secret or "") == 204
        assert (await holder.ended(made)).status is Status.SUCCEEDED
        database.close()


async def test_deliveries_that_come_together_start_one_schedule(tmp_path: Path) -> None:
    """Of a task that another process leased: one of the two polls it, once."""
    clock = ManualClock()
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        listening_beside(upstream, tmp_path, clock=clock) as other,
        listening_beside(upstream, tmp_path, clock=clock, port=9) as holder,
    ):
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang")])
        made = (await holder.studio.create(request("journeyapi"), LOCAL)).task
        made = await holder.studio.wait_for_new(made, 0)
        asked = other.polls
        reported = {"task_id": made.prediction_id, "status": "processing"}
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(lambda: other.post(made, reported, x_webhook_secret=made.callback_secret or ""))
        await clock.sleep(200)
        # 90 s until the first one, and 30 s between, each up to 10 % sooner or later
        assert 4 <= other.polls - asked <= 5


class Faulty(JourneyApi):
    """An adapter that fails after the answer has come."""

    async def submit(self, request: PreparedRequest, offer: Offer) -> Prediction:
        """Send, and break."""
        await super().submit(request, offer)
        raise KeyError("a fault of ours")


async def test_after_a_fault_in_our_code_the_webhook_still_brings_the_image(tmp_path: Path) -> None:
    """The request was sent, and is awaited like any other without an answer."""
    listener = bind("127.0.0.1", 0)
    public = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with sandbox.running(coarse(speed=50, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, "journeyapi", JOURNEY_MCP_PUBLIC_URL=public))
        adapters = {**ADAPTERS, "journeyapi": Faulty}
        async with running_studio(settings, adapters=adapters, listening=listening_at(listener)) as studio:
            made = (await studio.create(request("journeyapi"), LOCAL)).task
            assert (await studio.fetch([made.id], LOCAL, seconds=20))[made.id].status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("service", "seconds"), [("journeyapi", 490), ("bfl", 476), ("replicate", 1860), ("vtrix", None)]
)
def test_the_callback_deadline_is_the_longest_run_and_its_delivery_tries(service: str, seconds: float | None) -> None:
    """As far as the provider states them."""
    settings = read_settings({variable: "key" for variable, _ in SERVICES.values()})
    account = next(account for account in accounts_of(settings, load()) if account.provider == service)
    task = Task(
        id="tsk_1",
        principal=LOCAL,
        request=make_request(),
        provider=service,
        base_url=account.base_url,
        created_at=1.0,
        updated_at=1.0,
        webhook_secret="s",
    )
    by = CallbackUrls("https://hooks.test").callback_deadline(task, account, 1000.0)
    assert by == (None if seconds is None else 1000.0 + seconds)


async def test_a_late_delivery_is_logged_with_the_provider_s_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a task never changes; a person who looks for the image finds it."""
    async with listening(tmp_path, "submit:reset_after", "webhook:lost,times=always") as here:
        made = (await here.studio.create(request("journeyapi"), LOCAL)).task
        task = await here.ended(made, 900)
        assert await here.post(made, FINISHED, x_webhook_secret=made.callback_secret or "") == 204
        assert "now journeyapi reports it as theirs: succeeded" in caplog.text
        assert await here.ended(made) == task


async def test_a_provider_that_refused_cannot_report_for_the_next_one(tmp_path: Path) -> None:
    """Each has its secret and its URL."""
    async with listening(tmp_path, "replicate/submit:status=402", "bfl/submit:hang") as here:
        asked = make_request(model="flux-kontext-pro", seed=3)
        made = (await here.studio.create(asked, LOCAL)).task
        task = await here.studio.wait_for_new(made, 0)
        reported = {
            name: f"{made.id}/{token_of(replace(made, provider=name).callback_secret or '')}" for name in MODELS
        }
        assert len(set(reported.values())) == 3
        body = {"id": task.prediction_id, "status": "Ready", "result": {"sample": "https://evil.test/a.png"}}
        for name in {*MODELS} - {task.provider}:
            secret = replace(made, provider=name).callback_secret or ""
            assert await here.post(reported[name], body, x_webhook_secret=secret) == 404
        here.studio.begin_shutdown()


async def test_a_listener_is_opened_again_when_the_database_was_locked_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a call: the webhooks of the server before it are accepted now."""
    database = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("BEGIN IMMEDIATE")
    listener, clock = bind("127.0.0.1", 0), ManualClock()
    public = f"http://127.0.0.1:{listener.getsockname()[1]}"
    url = f"sqlite:///{tmp_path}/tasks.db?timeout=0.05"
    settings = settings_for("http://127.0.0.1:9", tmp_path, JOURNEY_MCP_PUBLIC_URL=public, JOURNEY_MCP_DATABASE_URL=url)
    opener = partial(open_studio, clock=clock, listening=listening_at(listener))
    app = make_app(Lifespan(settings, opener, is_local=False))
    async with app.router.lifespan_context(app), httpx2.AsyncClient(**PLAIN, timeout=6) as http:
        await until(lambda: "cannot be opened" in caplog.text)
        database.execute("ROLLBACK")
        database.close()
        assert (await http.post(f"{public}/tsk_x/y")).status_code == 404


async def test_a_delivery_is_requested_again_if_the_store_cannot_be_read(tmp_path: Path) -> None:
    """It is not answered as if it were forged."""
    async with listening(tmp_path) as here:
        for file in tmp_path.glob("tasks.db*"):
            file.unlink()
        assert await here.post("tsk_x", {}) == 503


async def test_the_listening_process_takes_over_a_task_from_the_one_that_leases_it(tmp_path: Path) -> None:
    """Two processes on one database: the one with the webhook knows, and the other stops polling."""
    async with (
        sandbox.running(coarse(speed=50, seed=7)) as upstream,
        listening_beside(upstream, tmp_path) as other,
        listening_beside(upstream, tmp_path, port=int(other.url.rpartition(":")[2])) as holder,
    ):
        made = (await holder.studio.create(request("journeyapi"), LOCAL)).task
        task = await holder.ended(made)
        assert task.status is Status.SUCCEEDED
        assert holder.polls == 0
        await until(lambda: holder.deliveries == ["204"])


async def test_a_provider_without_webhooks_is_given_no_url(tmp_path: Path) -> None:
    """Nor is any if no process listens, though a public URL is set."""
    async with listening(tmp_path) as here:
        await here.studio.wait_for_new(
            (await here.studio.create(make_request(model="seedream-4", provider="vtrix"), LOCAL)).task, 20
        )
        assert here.deliveries == []
        environment = environment_of(here.upstream, tmp_path / "other", JOURNEY_MCP_PUBLIC_URL=here.url)
        async with running_studio(read_settings(environment)) as deaf:
            task = await deaf.wait_for_new((await deaf.create(request("journeyapi"), LOCAL)).task, 900)
        assert (task.status, task.webhook_secret) == (Status.SUCCEEDED, None)
        assert "webhook_url" not in here.upstream.sandbox.request_log.submissions[-1].request


@pytest.mark.parametrize("faults", [(), ("journeyapi/submit:reset_after,after=1",)])
async def test_a_refinement_is_reported_by_webhook(tmp_path: Path, faults: tuple[str, ...]) -> None:
    """As any task; also when the answer to its request was lost."""
    async with listening(tmp_path, *faults) as here:
        first = await here.ended((await here.studio.create(request("journeyapi"), LOCAL)).task)
        call = ImageRequest(tool="refine_image", action="vary", model="vary", image=f"{first.id}.2")
        polls = here.polls
        ended = await here.ended((await here.studio.create(call, LOCAL)).task, 60)
        assert (ended.status, len(ended.images), here.polls) == (Status.SUCCEEDED, 4, polls)
        (*_, entry) = here.upstream.sandbox.request_log.submissions
        assert (entry.endpoint, {"webhook_url", "webhook_secret"} <= set(entry.request)) == ("variations", True)


@pytest.mark.parametrize("service", MODELS)
async def test_a_webhook_reports_a_task_of_a_callers_account(tmp_path: Path, service: str) -> None:
    """Verified with what that account has, and not once the key cannot be opened."""
    keys = CallerKeys({service: "own-key-0123456789"})
    clock = ManualClock()
    async with sandbox.running(coarse(speed=50, seed=7)) as upstream:
        upstream.sandbox.faults.replace([sandbox.Fault.parse(f"{service}/submit:delay=0.2")])
        async with listening_beside(upstream, tmp_path, clock=clock, JOURNEY_MCP_SECRET="s" * 32) as here:
            made = (await here.studio.create(request(service), LOCAL, keys=keys)).task
            task = await here.ended(made)
            assert (task.status, task.has_own_key, here.polls) == (Status.SUCCEEDED, True, 0)
            await until(lambda: here.deliveries == ["204"])
            # a repeated delivery is not asked for once more, though nothing is left to verify it with
            assert (await here.post(task, FINISHED), await here.post(f"{task.id}/{'0' * 32}", FINISHED)) == (204, 404)
            assert (await here.ended(task)).images == task.images
            upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang")])
            running = (await here.studio.create(request(service, prompt="2"), LOCAL, keys=keys)).task
            running = await until_accepted(here.studio, running)
            here.studio.begin_shutdown()
        async with listening_beside(upstream, tmp_path, clock=clock, JOURNEY_MCP_SECRET="t" * 32) as here:
            assert await here.post(running, FINISHED, x_webhook_secret=running.callback_secret or "") == 404
            here.studio.begin_shutdown()
