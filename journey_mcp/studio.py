"""The use cases: make a picture, look after tasks. Joins registry, providers, store and background work."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Literal

import anyio
from anyio import to_thread

from journey_mcp import fitting, leases, pictures
from journey_mcp.clock import Clock
from journey_mcp.connections import Connections, open_connections
from journey_mcp.errors import JourneyError, NotEnglish, SubmissionUnconfirmed
from journey_mcp.holdings import Holdings
from journey_mcp.language import Verdict, judge
from journey_mcp.polling import Poller
from journey_mcp.registry import Offer
from journey_mcp.requests import ImageRequest, check_webhook_url
from journey_mcp.settings import Settings
from journey_mcp.store import open_store
from journey_mcp.submission import submit
from journey_mcp.tasks import Cost, Submission, Task, new_task_id
from journey_mcp.waiting import Report, Wait, wait

LOCAL = "local"
"""The principal of stdio, the command line and HTTP without authentication."""

_AT_ONCE_S = 1.5
"""How long a call that will not wait still stays for the provider's first answer: with all else, under 2 s."""
_LISTED_FOR_S = 24 * 3600.0
_LISTED = 20
_LEAVE_S = 360.0
"""How long answers to creating requests are waited for when whoever asked has gone: as long as they may come."""
_HURRY_S = 1.5
"""The same when the process is told to end; who tells it so kills it soon after."""

_log = logging.getLogger(__name__)


class Studio:
    """What the server and the command line can do."""

    def __init__(self, settings: Settings, connections: Connections, holdings: Holdings) -> None:
        self.settings = settings
        self.catalog = connections.catalog
        self._connections = connections
        self._holdings = holdings
        self._poller = Poller(holdings, connections.upstream_of)
        # A creating request that is out is not cancelled with whatever asked for it: the answer may be paid for.
        # These tasks are outside of every cancel scope; `stop` ends them.
        self._submissions: dict[str, asyncio.Task[None]] = {}

    async def create(self, request: ImageRequest, *, principal: str = LOCAL) -> Task:
        """Check the request against everything known, store a task, and start it.

        Raises:
            InvalidRequest: nothing was stored or sent.
            SetupError: the task cannot be stored; nothing was sent.
        """
        offer, prepared, notices = self._fit(request)
        if request.webhook_url is not None:
            check_webhook_url(request.webhook_url)
        account = self._connections.account_of(offer)
        prepared = await pictures.resolve(prepared, self._holdings, principal, account)
        notices = (*self._connections.notices, *notices, *await _language_notices(prepared.prompt, offer))
        now = self._holdings.clock.now()
        task = Task(
            id=new_task_id(),
            principal=principal,
            request=request,
            provider=account.provider,
            base_url=account.base_url,
            created_at=now,
            updated_at=now,
            cost=_cost(offer),
            notices=notices,
        )
        await self._holdings.add(task)
        self._submissions[task.id] = asyncio.create_task(self._submit(task.id, prepared, offer))
        return task

    async def wait_for_new(self, task: Task, seconds: float, report: Report | None = None) -> Task:
        """Wait for a task that was just created; with 0 seconds, only for the provider's first answer."""
        wish = Wait(
            task_ids=[task.id],
            principal=task.principal,
            seconds=seconds or _AT_ONCE_S,
            is_enough=_all_final if seconds else _all_answered,
            usual_s=self._usual_s([task]),
            report=report,
        )
        return (await wait(self._holdings, wish, {task.id: task}))[task.id]

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
        known = await self._holdings.store.get(task_ids, principal=principal)
        running = {id_ for id_, task in known.items() if not task.status.is_final}
        wish = Wait(
            task_ids=list(known),
            principal=principal,
            seconds=seconds,
            is_enough=_all_final if wait_for == "all" else lambda tasks: _has_ended(tasks, running),
            usual_s=self._usual_s(list(known.values())),
            report=report,
        )
        found = await wait(self._holdings, wish, known)
        return {id_: self._as_known(task) for id_, task in found.items()}

    async def newest(self, *, principal: str = LOCAL) -> list[Task]:
        """The principal's 20 newest tasks of the last day."""
        since = self._holdings.clock.now() - _LISTED_FOR_S
        stored = await self._holdings.store.newest(principal=principal, since=since, limit=_LISTED)
        return [self._as_known(self._holdings.get(task.id) or task) for task in stored]

    async def work(self) -> None:
        """Poll, renew and take over, for ever."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._poller.run)
            await leases.keep(
                self._holdings,
                addresses=self._connections.addresses,
                go_on=lambda task: self._poller.add(task.id, self._offer_of(task), now=True),
                keep_s=self.settings.keep_days * 86400.0,
            )

    async def finish(self, seconds: float) -> None:
        """Wait for creating requests whose answers are still out, at most so long."""
        out = {task for id_, task in self._submissions.items() if self._is_out(id_)}
        if out:
            await asyncio.wait(out, timeout=seconds)

    async def stop(self) -> None:
        """Leave to the journal what is still out, and store what could not be stored before."""
        left = list(self._submissions.values())
        for submission in left:
            submission.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._holdings.save_again()

    def _is_out(self, task_id: str) -> bool:
        task = self._holdings.get(task_id)
        return task is not None and task.submission is Submission.SENT

    def now(self) -> float:
        """Seconds of the Unix epoch, by the studio's clock."""
        return self._holdings.clock.now()

    def elsewhere(self, task: Task) -> str | None:
        """Why a running task is not asked for by this process; `None` when it is."""
        if task.status.is_final or self._connections.serves(task):
            return None
        return (
            f"It was made at {task.provider} ({task.base_url}), which this server is not set up to ask. "
            "Set that provider's key and base address again to get its result."
        )

    def _fit(self, request: ImageRequest) -> tuple[Offer, ImageRequest, tuple[str, ...]]:
        """The first offer that takes the request, with the request as it is sent there, and what to tell of it.

        When none does, the preferred one's obstacle is raised.
        """
        problems: list[JourneyError] = []
        for offer in fitting.offers_of(request, self.catalog):
            prepared, notices = fitting.prepare(request, offer)
            found = next(fitting.obstacles(prepared, offer, self.catalog), None)
            if found is None:
                return offer, prepared, notices
            problems.append(found)
        raise problems[0]

    def _as_known(self, task: Task) -> Task:
        return task.noticed(reason, self.now()) if (reason := self.elsewhere(task)) else task

    async def _submit(self, task_id: str, request: ImageRequest, offer: Offer) -> None:
        try:
            provider = self._connections.provider_of(offer)
            task = await submit(task_id, request, offer, provider, self._holdings)
        except Exception:  # noqa: BLE001  # the outermost boundary of background work
            report_id = secrets.token_hex(4)
            _log.exception("submission of task %s failed in our own code (report %s)", task_id, report_id)
            said = f"journey-mcp failed while sending (report id {report_id}); the task may have been created."
            failure = SubmissionUnconfirmed(said).failure
            await self._holdings.change(task_id, lambda task, now: task.failed(failure, now))
        else:
            if task and not task.status.is_final:
                # a synchronous model that answers with an id only has finished by then (C2)
                self._poller.add(task_id, offer, now=offer.synchronous)
        finally:
            self._submissions.pop(task_id, None)

    def _offer_of(self, task: Task) -> Offer | None:
        return self._connections.offer_of(task, self.catalog)

    def _usual_s(self, tasks: Sequence[Task]) -> tuple[int, int] | None:
        offer = self._offer_of(tasks[0]) if tasks else None
        return offer.usual_duration_s if offer else None


@asynccontextmanager
async def open_studio(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Studio]:
    """Everything that runs behind the tools, until the block is left.

    Raises:
        SetupError: a registry file, the store or the sandbox stands in the way.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.resolved_database_url()))
        connections = await stack.enter_async_context(open_connections(settings))
        holdings = Holdings(store, clock or Clock())
        raised: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                studio = Studio(settings, connections, holdings)
                group.start_soon(studio.work)
                try:
                    yield studio
                    await studio.finish(_LEAVE_S)
                except Exception as error:  # noqa: BLE001  # raised again below: the group would wrap it
                    raised = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await studio.finish(_HURRY_S)
                        await studio.stop()
                    group.cancel_scope.cancel()
        finally:
            # also when cancelled: others need not wait for the leases to run out
            with anyio.CancelScope(shield=True):
                await _release(holdings)
        if raised is not None:
            raise raised


async def _release(holdings: Holdings) -> None:
    try:
        await holdings.store.release(owner=holdings.owner)
    except Exception:  # noqa: BLE001  # the leases run out by themselves
        _log.exception("the store cannot be told that this process ends")


async def _language_notices(prompt: str, offer: Offer) -> tuple[str, ...]:
    """What to say of the prompt's language, where the model takes English only.

    Raises:
        NotEnglish: clearly another language.
    """
    if not offer.english_only:
        return ()
    # the first call loads a detector: not in the event loop
    judgement = await to_thread.run_sync(judge, prompt)
    if judgement.verdict is Verdict.FOREIGN:
        raise NotEnglish(
            f"{offer.model} understands English prompts only; this one is not English.",
            next_step="Translate the prompt to English (text in quotes, to be drawn, may stay) and call again.",
        )
    if judgement.verdict is Verdict.DOUBTFUL:
        return (f"{offer.model} understands English only, and this prompt may not be English.",)
    return ()


def _cost(offer: Offer) -> Cost | None:
    if offer.credits is not None:
        return Cost(amount=Decimal(offer.credits), unit="credits", source="registry")
    if offer.usd is not None:
        return Cost(amount=offer.usd, unit="usd", source="registry")
    return None


def _all_final(tasks: Mapping[str, Task]) -> bool:
    return all(task.status.is_final for task in tasks.values())


def _all_answered(tasks: Mapping[str, Task]) -> bool:
    return all(task.status.is_final or task.submission is Submission.ACCEPTED for task in tasks.values())


def _has_ended(tasks: Mapping[str, Task], running: set[str]) -> bool:
    """One that was running has ended, or none was."""
    return not running or any(tasks[id_].status.is_final for id_ in running)
