"""The use cases: make a picture, look after tasks. Joins registry, providers, store and background work."""

import asyncio
import logging
import math
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Literal

import anyio
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.concurrency import parse_limits_at_once
from journey_mcp.core.errors import (
    Declined,
    InternalError,
    InvalidRequest,
    NotConfirmed,
    SetupError,
    SubmissionUnconfirmed,
)
from journey_mcp.core.notices import AnyNotice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.redaction import redactor_of
from journey_mcp.core.requests import ImageRequest, PreparedRequest
from journey_mcp.core.tasks import SANDBOX, EqualCall, Submission, Task, new_task_id
from journey_mcp.engine import deduplication, recovery
from journey_mcp.engine.budget import Budget, Confirm, warn_of_idle_limits
from journey_mcp.engine.callbacks import CallbackUrls, unanswered
from journey_mcp.engine.cancellation import cancel
from journey_mcp.engine.cooldowns import Cooldowns, by_name
from journey_mcp.engine.deduplication import Created
from journey_mcp.engine.inbound_webhooks import InboundWebhooks
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outbound_webhooks import OutboundWebhooks
from journey_mcp.engine.outcomes import Delivery
from journey_mcp.engine.poller import Poller
from journey_mcp.engine.queue import Queues
from journey_mcp.engine.submitter import Attempt, Submitter
from journey_mcp.engine.waiting import Report, Wait, wait
from journey_mcp.engine.webhook_policy import WebhookPolicy
from journey_mcp.media.blobs import Blobs
from journey_mcp.media.workers import Workers
from journey_mcp.net.address_policy import Trusted
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.clients import Adapter
from journey_mcp.providers.clients import ProviderClients
from journey_mcp.providers.clients import open_clients
from journey_mcp.providers.http import LONGEST_SUBMIT_S
from journey_mcp.registry import Offer
from journey_mcp.routing import model_names, router, validation
from journey_mcp.routing.language import Verdict, judge
from journey_mcp.settings import Settings
from journey_mcp.store import open_store
from journey_mcp.store.cooldowns import Cooldown
from journey_mcp.studio.image_sources import ImageFinder, Roots
from journey_mcp.studio.inputs import Fit, InputImages
from journey_mcp.tools.results import task_object

Listening = Callable[[InboundWebhooks], AbstractAsyncContextManager[None]]
"""Lets providers' webhooks into an inbox, for as long as the block runs."""

_AT_ONCE_S = 1.5
"""How long a call that will not wait still stays for the provider's first answer: with all else, under 2 s."""
_NOTED_AFTER_S = 0.05
_NOTED_AGAIN_S = 1.0
"""After so long what could not be noted is noted."""
_QUICK_S = 5.0
"""Every client still waits for an answer that comes so soon; one that comes later may have reached a client that had
given up, which may repeat the call."""
_REPEATED_WITHIN_S = 60.0
"""Such a client repeats its call sooner than this; a person who wants another image does so later."""
_LISTED_FOR_S = 24 * 3600.0
_LISTED = 20
_LEAVE_S = LONGEST_SUBMIT_S + 60.0
"""How long answers to creating requests are waited for when whoever asked has gone: as long as they may come."""
_HURRY_S = 5.0
"""The same when the process is told to end; who tells it so may kill it soon after."""

_TRIES = 100
"""So often a task is stored anew when equal calls come and go meanwhile: more than ever happens."""
_STORED_WITHIN_S = 3.0
"""How long a process that ends waits for a database that somebody else has locked."""

_log = logging.getLogger(__name__)


class Studio:
    """What the server and the command line can do."""

    def __init__(
        self,
        settings: Settings,
        clients: ProviderClients,
        delivery: Delivery,
        safe_http: SafeHttpClient,
        slots: CallbackUrls,
        workers: Workers,
    ) -> None:
        self.settings = settings
        self.catalog = clients.catalog
        self._clients = clients
        self._accounts = [account for account, _ in clients.providers()]
        self._delivery = delivery
        self._journal = delivery.journal
        self.safe_http = safe_http
        """Downloads what may be downloaded."""
        self._images = ImageFinder(self._journal, settings.image_dirs, settings.resolved_data_dir(), safe_http)
        self._workers = workers
        self._cooldowns = Cooldowns(self._journal.store, self._journal.clock)
        self._poller = Poller(delivery, clients.upstream_of, is_told=slots.public_url is not None)
        self._budget = Budget(settings, self._journal.store)
        self._callback_urls = slots
        self.inbound_webhooks = InboundWebhooks(
            delivery,
            upstream_of=clients.upstream_of,
            offer_of=self._offer_of,
            hears=lambda task: clients.serves(task) and clients.has_feature(task, "webhook"),
            go_on=self._go_on,
        )
        """Takes what providers report by webhook."""
        redactor = redactor_of(*settings.secrets)
        self._relay = OutboundWebhooks(
            self._journal.store,
            self._journal.clock,
            safe_http,
            policy=WebhookPolicy(settings),
            shown=lambda task, now: redactor.plain(task_object(task, now=now, with_prompt=True, with_paths=False)),
        )
        self._journal.listen(self._relay.changed)
        self._queues = Queues(self._journal, parse_limits_at_once(settings.max_concurrent or ""))
        # A creating request that is out is not cancelled with whatever asked for it: the answer may be paid for.
        # These tasks are outside of every cancel scope; `stop` ends them.
        self._submissions: dict[str, asyncio.Task[None]] = {}
        self._starting: set[asyncio.Task[Created]] = set()
        self._delivered: dict[str, float] = {}
        """Tasks whose result a client has received, not stored yet, each with the time from which that counts."""
        self._has_delivered = Wakeup()

    async def create(
        self,
        request: ImageRequest,
        *,
        principal: str = LOCAL,
        files_allowed: bool = True,
        roots: Roots | None = None,
        fresh: bool = False,
        confirm: Confirm | None = None,
    ) -> Created:
        """Check the request against everything known, store a task, and start it; or join the task of an equal call.

        `files_allowed` lets pictures be paths of this machine, also in the `roots` of the client; `fresh` makes a new
        task whatever equal ones there are; `confirm` asks a person to agree to a high cost.

        Raises:
            InvalidRequest, OverBudget, Declined, NotConfirmed, PerhapsPaid: nothing was stored or sent.
            SetupError: the task cannot be stored; nothing was sent.
        """
        if request.webhook_url is not None:
            await self._relay.check(request.webhook_url)
        request, read_as = model_names.with_known_model(request, self.catalog)
        offers = validation.offers_of(request, self.catalog)
        router.check_images(request, offers, self.catalog)
        pictures = await self._images.find(request, principal, files_allowed=files_allowed, roots=roots)
        route = await self._route(request, offers, pictures)
        # no file is opened for a call that no offer takes
        pictures = await pictures.read()
        request = pictures.named_in(request)
        deduplication_key = deduplication.digest(request, pictures.digests, self._clients.sandbox_url)
        now = self._journal.clock.now()
        # without limits it is found out when the task is stored: an equal call is rare, and a look costs time
        if (
            not fresh
            and self._budget.has_limits
            and (joined := await self._joinable(principal, deduplication_key, now))
        ):
            return joined
        fit = partial(self._workers.fit, caller=principal)
        attempts, own = await self._attempts(request, route, pictures, fit)
        task = self._new_task(request, principal, deduplication_key, attempts[0], (*read_as, *own))
        await self._agreed(task, confirm)
        # whoever is cancelled while the row is written leaves; the row is then started like any other
        starting = asyncio.create_task(self._started(task, attempts, own, deduplication_key, fresh=fresh))
        self._starting.add(starting)
        starting.add_done_callback(self._has_started)
        return await asyncio.shield(starting)

    async def _started(
        self, task: Task, attempts: Sequence[Attempt], own: Sequence[AnyNotice], deduplication_key: str, *, fresh: bool
    ) -> Created:
        """Store the task and begin its submission, or join another one."""
        limits = self._budget.limits(task)
        for _ in range(_TRIES):
            now = self._journal.clock.now()
            unclear_since = math.inf if fresh else now - deduplication.KEPT_S
            if await self._journal.add(task, limits, unclear_since=unclear_since):
                break
            if not fresh and (joined := await self._joinable(task.principal, deduplication_key, now)):
                return joined
            if over := await self._budget.passed(task):
                raise over
            if fresh:
                await self._journal.store.part_all(principal=task.principal, deduplication_key=deduplication_key)
        else:
            raise SetupError(
                "An equal call stands in the way, and the task database does not tell of it. Nothing was sent.",
                next_step="Call again with fresh=true, or with other words.",
            )
        submitter = Submitter(
            task.id,
            attempts,
            self._delivery,
            self._cooldowns,
            self._budget,
            self._queues,
            slots=self._callback_urls,
            told=own,
        )
        self._submissions[task.id] = asyncio.create_task(self._submit(task.id, submitter))
        return Created(task)

    def _has_started(self, starting: asyncio.Task[Created]) -> None:
        self._starting.discard(starting)
        if not starting.cancelled():
            starting.exception()  # it is nobody's when whoever asked has left

    async def _joinable(self, principal: str, deduplication_key: str, now: float) -> Created | None:
        delivered = {task_id for task_id, since in self._delivered.items() if since <= now}
        return await deduplication.joinable(self._journal, principal, deduplication_key, now=now, delivered=delivered)

    async def _route(self, request: ImageRequest, offers: Sequence[Offer], pictures: InputImages) -> router.Route:
        return router.plan(
            request,
            self.catalog,
            verdict=await _verdict(request.prompt, offers),
            requires_upload=lambda offer: pictures.requires_upload(self._clients.account_of(offer)),
            on_cooldown=await self._on_cooldown(offers),
        )

    async def _attempts(
        self, request: ImageRequest, route: router.Route, pictures: InputImages, fit: Fit
    ) -> tuple[list[Attempt], tuple[AnyNotice, ...]]:
        """The attempts in the order in which they are made, and the notices that hold for the first."""
        attempts, problems = await _prepared(
            [self._attempt(candidate, pictures, fit) for candidate in route.candidates]
        )
        if not attempts:
            raise router.nobody(request, {**route.violations, **problems}, self.catalog)
        _, told = await attempts[0].prepare()
        return attempts, (*route.notices(attempts[0].offer, problems), *attempts[0].notices, *told)

    def _new_task(
        self, request: ImageRequest, principal: str, deduplication_key: str, first: Attempt, own: Sequence[AnyNotice]
    ) -> Task:
        now = self._journal.clock.now()
        return Task(
            id=new_task_id(),
            principal=principal,
            request=request,
            provider=first.account.provider,
            base_url=first.account.base_url,
            created_at=now,
            updated_at=now,
            cost=first.cost,
            charges=first.charges,
            notices=tuple(dict.fromkeys((*self._clients.notices, *own))),
            deduplication_key=deduplication_key,
            equal_call=EqualCall.JOINS,
            webhook_secret=secrets.token_urlsafe(32) if self._callback_urls.public_url else None,
        )

    async def _agreed(self, task: Task, confirm: Confirm | None) -> None:
        """Hold the task against the budget, and ask a person where its cost is high; the sandbox is free."""
        if task.provider == SANDBOX:
            return
        if over := self._budget.exceeds_call_limit(task) or await self._budget.passed(task):
            raise over
        if question := self._budget.question(task):
            if confirm is None:
                raise NotConfirmed(f"{question} is above {question.limit}, and this client cannot ask the person.")
            if not await confirm(question):
                raise Declined(f"The person declined: {question}.")

    def elapsed(self) -> float:
        """Return the seconds of the studio's clock since some moment, for durations."""
        return self._journal.clock.elapsed()

    def delivered(self, tasks: Sequence[Task], *, asked_at: float | None = None) -> None:
        """Note that a client has these results: duplicate calls create new images from now on.

        With `asked_at`, by `elapsed`, they answer a call that created them: if that took long, the client may have
        given up, and a repeated call gets the same task for another minute.
        """
        is_quick = asked_at is None or self.elapsed() - asked_at <= _QUICK_S
        since = self.now() + (0.0 if is_quick else _REPEATED_WITHIN_S)
        for task in tasks:
            if task.status is Status.SUCCEEDED and task.equal_call:
                self._delivered[task.id] = min(since, self._delivered.get(task.id, math.inf))
        if self._delivered:
            self._has_delivered.notify()

    async def note_delivered(self) -> None:
        """Tell the other processes what was delivered, for all of it at once: no call waits for that."""
        now = self.now()
        due = {task_id for task_id, since in self._delivered.items() if since <= now}
        noted = {task_id for task_id in due if self._journal.is_stored(task_id)}
        if not noted:
            return
        try:
            await self._journal.store.delivered(list(noted))
        except (SQLAlchemyError, SetupError):
            _log.exception("that results were delivered cannot be stored; it is tried again")
        else:
            for task_id in noted:
                self._delivered.pop(task_id, None)  # the end of the process stores them at the same time

    async def _keep_noting(self) -> None:
        while True:
            next_s = min(self._delivered.values(), default=math.inf) - self.now()
            await self._has_delivered.wait(self._journal.clock, max(next_s, _NOTED_AGAIN_S))
            # the answer goes out first: it and this would slow each other down
            await self._journal.clock.sleep(_NOTED_AFTER_S)
            await self.note_delivered()

    async def wait_for_new(self, task: Task, seconds: float, report: Report | None = None) -> Task:
        """Wait for a task that was just created; with 0 seconds, only for the provider's first answer."""
        request = Wait(
            task_ids=[task.id],
            principal=task.principal,
            seconds=seconds or _AT_ONCE_S,
            is_enough=_all_final if seconds else _all_answered,
            usual_s=self._usual_s([task]),
            report=report,
            position_of=self.position,
        )
        return (await wait(self._journal, request, {task.id: task}))[task.id]

    async def fetch(
        self,
        task_ids: Sequence[str],
        *,
        principal: str = LOCAL,
        seconds: float = 0.0,
        wait_for: Literal["all", "any"] = "all",
        report: Report | None = None,
    ) -> dict[str, Task]:
        """Where these tasks stand, after waiting for all of them, or for any that was still running."""
        known = await self._journal.known(task_ids, principal=principal)
        running = {id_ for id_, task in known.items() if not task.status.is_final}
        request = Wait(
            task_ids=list(known),
            principal=principal,
            seconds=seconds,
            is_enough=_all_final if wait_for == "all" else lambda tasks: _has_ended(tasks, running),
            usual_s=self._usual_s(list(known.values())),
            report=report,
            position_of=self.position,
        )
        found = await wait(self._journal, request, known)
        return {id_: self._as_known(task) for id_, task in found.items()}

    async def cancel(self, task_ids: Sequence[str], *, principal: str = LOCAL) -> dict[str, tuple[Task, str]]:
        """End these tasks where that can be done; each as it stands afterwards, and what became of the wish."""
        known = await self._journal.store.get(task_ids, principal=principal)
        return {id_: await self._cancel(self._journal.get(id_) or task) for id_, task in known.items()}

    async def _cancel(self, task: Task) -> tuple[Task, str]:
        if reason := self.elsewhere(task):
            return task, reason
        upstream = self._clients.upstream_of(task)
        can_cancel = self._clients.has_feature(task, "cancel")
        offer = self._offer_of(task)
        return await cancel(task, offer, upstream.provider, can_cancel=can_cancel, delivery=self._delivery)

    async def newest(self, *, principal: str = LOCAL) -> list[Task]:
        """The principal's 20 newest tasks of the last day."""
        since = self._journal.clock.now() - _LISTED_FOR_S
        stored = await self._journal.store.newest(principal=principal, since=since, limit=_LISTED)
        return [self._as_known(self._journal.get(task.id) or task) for task in stored]

    async def cooldowns(self) -> dict[str, Cooldown]:
        """The configured providers that refused lately and are tried last, by name."""
        return by_name(await self._cooldowns.all(), self._accounts)

    async def work(self) -> None:
        """Poll, renew and take over, for ever."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._poller.run)
            group.start_soon(self._keep_noting)
            group.start_soon(self._relay.run)
            group.start_soon(self._workers.end_idle, self._journal.clock)
            group.start_soon(self.inbound_webhooks.expire, self._submissions.__contains__)
            await recovery.keep(
                self._journal,
                addresses=self._clients.addresses,
                go_on=lambda task: self._poller.add(task.id, self._offer_of(task), now=True),
                forget_older=self._delivery.blobs.forget_older,
                keep_s=self.settings.keep_days * 86400.0,
            )

    async def finish(self, seconds: float) -> None:
        """Wait, at most so long, for what is lost otherwise.

        That is answers to creating requests, pictures whose links die soon, and what webhooks are to be told.
        """
        if self._journal.is_ending:
            return  # told to end: `hurry` waits for what there is time for
        until = self._journal.clock.elapsed() + seconds
        await self._wait_for_answers(seconds)
        needed = {task.id: task for task in self._journal.held if self._needs_somebody(task)}
        request = Wait(
            task_ids=list(needed),
            principal="",
            seconds=until - self._journal.clock.elapsed(),
            is_enough=_all_final,
        )
        await wait(self._journal, request, needed)
        with anyio.move_on_after(max(until - self._journal.clock.elapsed(), 0.0)):
            await self._relay.settled()

    def _needs_somebody(self, task: Task) -> bool:
        """Whether somebody has to be there when a running task ends.

        Only its webhook can bring its answer any more, its links die soon, or the caller's webhook is to be told.
        """
        if task.submission is Submission.SENT:
            return task.callback_deadline is not None
        offer = self._offer_of(task)
        dies_soon = offer is not None and offer.links_die_soon
        return task.submission is Submission.ACCEPTED and (dies_soon or task.request.webhook_url is not None)

    def end(self) -> None:
        """The process is told to end: nothing more is sent, and all who wait are told how their tasks stand."""
        self._journal.end_waits()
        self._queues.close()
        self._relay.end()
        self._workers.end()

    def position(self, task_id: str) -> int | None:
        """A task's place in the line for its provider, from 1; `None` when it stands in none."""
        return self._queues.position(task_id)

    async def hurry(self, seconds: float) -> None:
        """Send nothing more, and wait at most so long for the answers that are out."""
        self.end()
        await self._wait_for_answers(seconds)

    async def _wait_for_answers(self, seconds: float) -> None:
        """Wait for those that are out. Who stands in line is ended, free: its answer would come too late."""
        in_line = self._queues.close()
        out = {task for id_, task in self._submissions.items() if id_ in in_line or self._is_out(id_)}
        if out:
            await asyncio.wait(out, timeout=seconds)

    async def stop(self) -> None:
        """Leave to the journal what is still out, and store what could not be stored before."""
        left = [*self._starting, *self._submissions.values()]
        for submission in left:
            submission.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._journal.flush_pending()
        await self.note_delivered()

    def _is_out(self, task_id: str) -> bool:
        task = self._journal.get(task_id)
        return task is not None and task.submission is Submission.SENT

    def now(self) -> float:
        """Seconds of the Unix epoch, by the studio's clock."""
        return self._journal.clock.now()

    def elsewhere(self, task: Task) -> str | None:
        """Why a running task is not asked for by this process; `None` when it is."""
        if task.status.is_final or self._clients.serves(task):
            return None
        return (
            f"It was made at {task.provider} ({task.base_url}), which this server is not set up to ask. "
            "Set that provider's key and base address again to get its result."
        )

    async def _on_cooldown(self, offers: Sequence[Offer]) -> dict[str, str]:
        """Which providers refused lately, and why; not asked for where there is no choice."""
        return {} if len(offers) == 1 else {name: rest.reason for name, rest in (await self.cooldowns()).items()}

    def _attempt(self, candidate: router.Candidate, pictures: InputImages, fit: Fit) -> Attempt:
        offer = candidate.offer
        account = self._clients.account_of(offer)
        ready: tuple[PreparedRequest, tuple[AnyNotice, ...]] | None = None

        async def prepare() -> tuple[PreparedRequest, tuple[AnyNotice, ...]]:
            nonlocal ready
            if ready is None:
                images, mask, told = await pictures.prepared(offer, account, self.safe_http, fit)
                ready = candidate.prepared(images, mask), told
            return ready

        return Attempt(
            offer=offer,
            account=account,
            provider=self._clients.provider_of(offer),
            cost=candidate.cost,
            charges={} if account.provider == SANDBOX else self._budget.charges(offer, self.catalog, candidate.cost),
            notices=candidate.notices,
            prepare=prepare,
        )

    def _as_known(self, task: Task) -> Task:
        return task.noticed(reason, self.now()) if (reason := self.elsewhere(task)) else task

    async def _submit(self, task_id: str, submitter: Submitter) -> None:
        try:
            task, offer = await submitter.run()
        except Exception:  # noqa: BLE001  # the outermost boundary of background work
            report_id = secrets.token_hex(4)
            _log.exception("submission of task %s failed in our own code (report %s)", task_id, report_id)
            await self._after_a_fault(task_id, report_id)
        else:
            if task and task.handle and not task.status.is_final:
                # a synchronous model that answers with an id only has finished by then (C2), and one that shows
                # its picture while it still says "processing" is about to
                self._poller.add(task_id, offer, now=offer.synchronous or bool(task.images))
        finally:
            self._submissions.pop(task_id, None)

    def _go_on(self, task: Task) -> None:
        """Poll a task that a webhook brought here; one whose request is still out is polled after that."""
        if task.id not in self._submissions:
            self._poller.add(task.id, self._offer_of(task))

    async def _after_a_fault(self, task_id: str, report_id: str) -> None:
        """A fault of ours, by how far the task had come: nothing was sent, perhaps something, or it goes on."""
        task = self._journal.get(task_id)
        if task is not None and task.submission is Submission.ACCEPTED:
            self._poller.add(task_id, self._offer_of(task))
            return
        fault = InternalError(f"journey-mcp failed before anything was sent (report id {report_id}).")
        unclear = SubmissionUnconfirmed(
            f"journey-mcp failed while sending (report id {report_id}); the task may have been created."
        )

        def end(task: Task, now: float) -> Task:
            is_unsent = task.submission is Submission.PREPARED
            return task.refused(fault.failure, now) if is_unsent else unanswered(task, unclear.failure, now)

        await self._journal.change(task_id, end)

    def _offer_of(self, task: Task) -> Offer | None:
        return self._clients.offer_of(task, self.catalog)

    def _usual_s(self, tasks: Sequence[Task]) -> tuple[int, int] | None:
        offer = self._offer_of(tasks[0]) if tasks else None
        return offer.usual_duration_s if offer else None


@asynccontextmanager
async def open_studio(
    settings: Settings,
    clock: Clock | None = None,
    adapters: Mapping[str, Adapter] = ADAPTERS,
    listening: Listening | None = None,
) -> AsyncIterator[Studio]:
    """Everything that runs behind the tools, until the block is left.

    `listening` lets providers reach the studio's inbox at the public address of the settings; without it nobody is
    given that address.

    Raises:
        SetupError: a registry file, the store or the sandbox stands in the way.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.resolved_database_url()))
        clients = await stack.enter_async_context(open_clients(settings, adapters))
        safe_http = _new_safe_http(settings, clients)
        journal = Journal(store, clock or Clock())
        workers = await stack.enter_async_context(aclosing(Workers()))
        blobs = Blobs(settings.resolved_data_dir(), settings.copy_max_mb * 1024 * 1024, safe_http, journal.clock)
        raised: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                if not clients.is_sandbox:
                    warn_of_idle_limits(settings, clients.catalog)
                slots = CallbackUrls(settings.public_url if listening else None)
                studio = Studio(settings, clients, Delivery(journal, blobs), safe_http, slots, workers)
                group.start_soon(studio.work)
                try:
                    # answers that are still waited for may come by webhook
                    async with listening(studio.inbound_webhooks) if listening else nullcontext():
                        try:
                            yield studio
                            await studio.finish(_LEAVE_S)
                        finally:
                            with anyio.CancelScope(shield=True):
                                await studio.hurry(_HURRY_S)
                except Exception as error:  # noqa: BLE001  # raised again below: the group would wrap it
                    raised = error
                finally:
                    with anyio.move_on_after(_STORED_WITHIN_S, shield=True):
                        await studio.stop()
                    group.cancel_scope.cancel()
        finally:
            # also when cancelled: others need not wait for the leases to run out
            with anyio.move_on_after(_STORED_WITHIN_S, shield=True):
                await _release(journal)
        if raised is not None:
            raise raised


async def _release(journal: Journal) -> None:
    try:
        await journal.store.release(owner=journal.owner)
    except Exception:  # noqa: BLE001  # the leases run out by themselves
        _log.exception("the store cannot be told that this process ends")


def _new_safe_http(settings: Settings, clients: ProviderClients) -> SafeHttpClient:
    try:
        return SafeHttpClient(Trusted.parse(settings.trusted_hosts).with_base_urls(clients.base_urls()))
    except ValueError as error:
        raise SetupError(
            f"JOURNEY_MCP_TRUSTED_HOSTS, or a provider's base address, is wrong: {error}.",
            next_step="Correct or unset this variable.",
        ) from error


async def _verdict(prompt: str, offers: Sequence[Offer]) -> Verdict | None:
    """The prompt's language, where one of the offers takes English only."""
    if not any(offer.english_only for offer in offers):
        return None
    # the first call loads a detector: not in the event loop
    return (await to_thread.run_sync(judge, prompt)).verdict


async def _prepared(attempts: Sequence[Attempt]) -> tuple[list[Attempt], dict[str, InvalidRequest]]:
    """The attempts from the first on whose pictures can be had as it takes them, and why those before it cannot."""
    problems: dict[str, InvalidRequest] = {}
    for number, attempt in enumerate(attempts):
        try:
            await attempt.prepare()
        except InvalidRequest as problem:
            problems[attempt.offer.provider] = problem
        else:
            return list(attempts[number:]), problems
    return [], problems


def _all_final(tasks: Mapping[str, Task]) -> bool:
    return all(task.status.is_final for task in tasks.values())


def _all_answered(tasks: Mapping[str, Task]) -> bool:
    return all(task.status.is_final or task.submission is Submission.ACCEPTED for task in tasks.values())


def _has_ended(tasks: Mapping[str, Task], running: set[str]) -> bool:
    """One that was running has ended, or none was."""
    return not running or any(tasks[id_].status.is_final for id_ in running)
