"""The use cases of the product: create tasks, fetch them, wait for them, cancel them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from journey_mcp.core.clock import Clock
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.money import SpendSummary
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import RunEntry
from journey_mcp.core.task_query import ALL_TASKS, TaskQuery
from journey_mcp.core.tasks import Task
from journey_mcp.core.totals import Totals
from journey_mcp.engine import cancellation
from journey_mcp.engine.budget import Budget, Confirm
from journey_mcp.engine.call_rate import CallRate
from journey_mcp.engine.copies import Copies
from journey_mcp.engine.deduplication import Created, Deduplication
from journey_mcp.engine.image_files import ImageFiles
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.queue import Queues
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.engine.task_list import read_newest, read_spent
from journey_mcp.engine.totals import read_totals
from journey_mcp.engine.waiting import Report, Wait, Waiting, all_answered, all_final, any_final
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.base import SupportsCancel
from journey_mcp.providers.clients import ProviderClients
from journey_mcp.registry import Catalog
from journey_mcp.settings import Settings
from journey_mcp.store import Store
from journey_mcp.store.uploads import Upload
from journey_mcp.studio.actions import actions_of
from journey_mcp.studio.create import Creator, Estimate
from journey_mcp.studio.image_sources import Roots
from journey_mcp.studio.keep import Keeper, KeepRequest
from journey_mcp.studio.lifecycle import Lifecycle
from journey_mcp.studio.previews import Previews
from journey_mcp.studio.public_images import PublicImages
from journey_mcp.studio.views import Views
from journey_mcp.tools.defaults import Defaults

_FIRST_ANSWER_S = 1.5
"""How long a call that does not wait still waits for the provider's first answer: with all else, under 2 s."""

_DAY_S = 86400.0
_SAVED_WITHIN_S = 3.0
"""How long a call that waited for its images waits until they are saved for the person, to say where."""


class Studio:
    """What the server and the command line can do.

    It is the one interface to everything behind the tools, so it has more methods and more collaborators than a
    class should have: each use case is a few lines here and the rest in the module that it calls.
    """

    def __init__(  # noqa: PLR0913  # the one interface to all of these
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        journal: Journal,
        waiting: Waiting,
        clients: ProviderClients,
        safe_http: SafeHttpClient,
        *,
        creator: Creator,
        budget: Budget,
        keeper: Keeper,
        deduplication: Deduplication,
        queues: Queues,
        outcomes: Outcomes,
        copies: Copies,
        files: ImageFiles,
        lifecycle: Lifecycle,
        views: Views,
        previews: Previews,
        public_images: PublicImages,
        renewed_links: RenewedLinks,
        call_rate: CallRate,
    ) -> None:
        self.settings = settings
        self.catalog = clients.catalog
        self.safe_http = safe_http
        """Downloads what may be downloaded."""
        self.budget = budget
        """Says what a person has to confirm."""
        self.views = views
        """Shows finished images."""
        self.call_rate = call_rate
        """Limits the calls of principals."""
        self.previews = previews
        """Shows tasks that have just finished."""
        self.public_images = public_images
        """Opens stored images by their links."""
        self.renewed_links = renewed_links
        """Asks providers for new links in place of dead ones."""
        self._clock = clock
        self._store = store
        self._journal = journal
        self._waiting = waiting
        self._clients = clients
        self._creator = creator
        self._keeper = keeper
        self._deduplication = deduplication
        self._queues = queues
        self._outcomes = outcomes
        self._copies = copies
        self._files = files
        self._lifecycle = lifecycle

    async def create(  # noqa: PLR0913  # one for each thing that a caller may say
        self,
        request: ImageRequest,
        principal: Principal,
        *,
        files_allowed: bool = True,
        roots: Roots | None = None,
        fresh: bool = False,
        confirm: Confirm | None = None,
        providers: Collection[str] | None = None,
        keys: CallerKeys = NO_KEYS,
        entry: RunEntry | None = None,
    ) -> Created:
        """Check the request, store a task and start it; or return the task of a duplicate call.

        `files_allowed` lets images be paths of this machine, also in the `roots` of the client; `fresh` makes a new
        task although there are duplicates; `confirm` asks a person to agree to a high cost; `providers` are the only
        ones of the settings for this caller, and `keys` the caller's own. A request with an `entry` of a run duplicates
        only itself: however often it is given, also long after its result was received, it gets the task that it got
        first, unless the provider created nothing.

        Raises:
            InvalidRequest, OverBudget, Declined, NotConfirmed, PerhapsPaid: nothing was stored or sent.
            StoreUnavailable: the task cannot be stored; nothing was sent.
        """
        return await self._creator.create(
            request,
            principal,
            files_allowed=files_allowed,
            roots=roots,
            fresh=fresh,
            confirm=confirm,
            providers=providers,
            keys=keys,
            entry=entry,
        )

    async def estimate(self, request: ImageRequest, principal: Principal, *, entry: RunEntry) -> Estimate:
        """Check a request of a run as `create` does, and return what it would get; nothing is stored or sent.

        Raises:
            InvalidRequest, OverBudget: no provider takes it, or no budget for a call covers it.
            StoreUnavailable: it is not known whether the run has its task already.
        """
        return await self._creator.estimate(request, principal, entry=entry)

    async def keep_image(self, request: KeepRequest, principal: Principal) -> Upload:
        """Keep an image of the person, or a mask; see `Keeper.keep`."""
        return await self._keeper.keep(request, principal)

    async def wait_for_new(self, task: Task, seconds: float, report: Report | None = None) -> Task:
        """Wait for a task that was just created; with 0 seconds, only for the provider's first answer."""
        request = Wait(
            task_ids=[task.id],
            principal=task.principal,
            seconds=seconds or _FIRST_ANSWER_S,
            is_enough=all_final if seconds else all_answered,
            usual_s=self._usual_s([task]),
            report=report,
            position_of=self.position,
        )
        found = await self._waiting.wait(request, {task.id: task})
        is_simple = not self._saves and not self._files.has_links and self._files.is_store_answering
        if is_simple and not task.status.is_final and self._copies.leaves_as_is(found[task.id]):
            return found[task.id]  # without a look for copies, which the call would wait for
        return (await self._shown(found, seconds))[task.id]

    async def fetch(
        self,
        task_ids: Sequence[str],
        principal: Principal,
        *,
        seconds: float = 0.0,
        wait_for: Literal["all", "any"] = "all",
        report: Report | None = None,
    ) -> dict[str, Task]:
        """Return the principal's tasks among these, after waiting for all of them, or for any that was running.

        Raises:
            StoreUnavailable: the database did not answer in this time, so it is not known which tasks there are.
        """
        started = self.elapsed()
        found = await self._waiting.read(task_ids, principal=principal, seconds=seconds, report=report)
        if not all_final(found):
            running = {id_ for id_, task in found.items() if not task.status.is_final}
            request = Wait(
                task_ids=list(found),
                principal=principal,
                seconds=seconds - (self.elapsed() - started),
                is_enough=all_final if wait_for == "all" else any_final(running),
                usual_s=self._usual_s(list(found.values())),
                report=report,
                position_of=self.position,
            )
            found = await self._waiting.wait(request, found)
        shown = await self._shown(found, seconds)
        return {id_: self._with_elsewhere(task) for id_, task in shown.items()}

    def finished(self, task_id: str, principal: Principal) -> Task | None:
        """Return the principal's task, as `fetch` does, if it has ended and all of it is in memory."""
        task = self._waiting.kept(task_id, principal=principal)
        return self._files.kept(task) if task is not None else None

    async def wait_for_copies(self, tasks: Mapping[str, Task], seconds: float) -> dict[str, Task]:
        """Wait, at most so long, for the copies of images that finished here; return the tasks with their paths.

        For tasks of which nothing more is copied, there is nothing to wait or to look for.
        """
        expected = {id_: task for id_, task in tasks.items() if not self._copies.is_settled(task)}
        if expected:
            await self._copies.wait(expected.keys(), seconds)
            expected = await self._located(expected)
        return {**tasks, **expected}

    async def read_copy(self, id_: ImageId, image: OutputImage) -> bytes | None:
        """Return a finished image from its copy; `None` if there is none, or it cannot be read now."""
        return await self._files.read(id_, image)

    async def cancel(self, task_ids: Sequence[str], principal: Principal) -> dict[str, tuple[Task, Notice]]:
        """Cancel the principal's tasks among these if that is possible; return each as it is then, and the outcome."""
        known = await self._store.tasks.get(task_ids, principal=principal)
        ended = {id_: await self._cancel(self._journal.get(id_) or task) for id_, task in known.items()}
        shown = await self._located({id_: task for id_, (task, _) in ended.items()})
        return {id_: (shown[id_], notice) for id_, (_, notice) in ended.items()}

    async def _cancel(self, task: Task) -> tuple[Task, Notice]:
        if reason := self.elsewhere(task):
            return task, reason
        offer, canceler = self._clients.offer_of(task), self._canceler_of(task)
        return await cancellation.cancel(task, offer, canceler, journal=self._journal, outcomes=self._outcomes)

    def _canceler_of(self, task: Task) -> SupportsCancel | None:
        """Return the adapter that cancels a task at its provider; `None` if it has ended, or that is not possible."""
        if task.status.is_final or not self._clients.has_feature(task, "cancel"):
            return None
        provider = self._clients.upstream_of(task).provider
        return provider if isinstance(provider, SupportsCancel) else None

    async def newest(self, principal: Principal, query: TaskQuery = ALL_TASKS) -> list[Task]:
        """Return the principal's tasks that match, the newest first.

        Raises:
            UnknownTask: the principal has no task with the id that `query.before` names.
        """
        stored = await read_newest(self._store, query, principal=principal)
        latest = [self._with_elsewhere(self._journal.get(task.id) or task) for task in stored]
        return await self._files.located(latest)

    async def ended(self, principal: Principal, *, since: float) -> list[Task]:
        """Return the principal's tasks of the last day that ended at `since` or later, in whichever process.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        made_since = self.now() - _DAY_S
        return await self._store.tasks.ended(principal=principal, since=since, made_since=made_since)

    async def spent(self, principal: Principal | None) -> SpendSummary:
        """Return what the principal's tasks cost today and in the last 30 days; without a principal, those of all."""
        return await read_spent(self._store, principal=principal, now=self.now())

    async def totals(self) -> Totals:
        """Return what an operator sees of all principals together.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return await read_totals(self._store, self._clients.accounts, self.now())

    @property
    def has_provider(self) -> bool:
        """Whether a provider makes the images, and not the built-in sandbox."""
        return not self._clients.is_sandbox

    async def check_database(self) -> None:
        """Read something from the database.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await self._store.ping()

    def acknowledge(self, tasks: Sequence[Task], *, asked_at: float | None = None, may_be_lost: bool = False) -> None:
        """Note that a client has these results; see `Deduplication.acknowledge`."""
        self._deduplication.acknowledge(tasks, asked_at=asked_at, may_be_lost=may_be_lost)

    def listen(self, listener: Callable[[Task], None]) -> None:
        """Call it with every change of a task that this process makes, for good."""
        self._journal.listen(listener)

    def begin_shutdown(self) -> None:
        """Begin the shut-down: nothing more is sent, and waits return what is known of their tasks."""
        self._lifecycle.begin_shutdown()

    def actions_of(
        self, task: Task, defaults: Defaults, catalog: Catalog | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Return by image id what can be done with the images of a task; see `studio.actions`.

        `catalog`: the part that the caller may use, instead of the whole one.
        """
        return actions_of(task, self._clients, catalog or self.catalog, defaults)

    def position(self, task_id: str) -> int | None:
        """Return a task's position in the queue of its provider, from 1; `None` if it is in none."""
        return self._queues.position(task_id)

    def now(self) -> float:
        """Return the time by the studio's clock, in seconds of the Unix epoch."""
        return self._clock.now()

    def elapsed(self) -> float:
        """Return the seconds of the studio's clock since some moment, for durations."""
        return self._clock.elapsed()

    def elsewhere(self, task: Task) -> Notice | None:
        """Return why this process does not poll a running task; `None` if it does."""
        return self._clients.not_polled_reason(task)

    @property
    def _saves(self) -> bool:
        return self.settings.save_dir is not None

    async def _shown(self, tasks: Mapping[str, Task], seconds: float) -> dict[str, Task]:
        """Return tasks after a wait of so many seconds; with a folder for the person, when they are saved there."""
        if self._saves:
            await self._copies.wait(tasks.keys(), min(seconds, _SAVED_WITHIN_S))
        return await self._located(tasks)

    async def _located(self, tasks: Mapping[str, Task]) -> dict[str, Task]:
        return dict(zip(tasks, await self._files.located(list(tasks.values())), strict=True))

    def _with_elsewhere(self, task: Task) -> Task:
        return task.noticed(reason, self.now()) if (reason := self.elsewhere(task)) else task

    def _usual_s(self, tasks: Sequence[Task]) -> tuple[int, int] | None:
        offer = self._clients.offer_of(tasks[0]) if tasks else None
        return offer.usual_duration_s if offer else None
