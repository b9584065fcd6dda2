"""Opening a studio: everything that runs behind the tools, put together and shut down again."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.limits import NO_PRINCIPAL_LIMITS, PrincipalLimits
from journey_mcp.core.notices import Notice
from journey_mcp.core.redaction import redactor_of
from journey_mcp.core.tasks import Task
from journey_mcp.engine.budget import Budget, warn_of_idle_limits
from journey_mcp.engine.call_rate import CallRate
from journey_mcp.engine.callbacks import CallbackUrls
from journey_mcp.engine.cooldowns import Cooldowns
from journey_mcp.engine.copier import Copier
from journey_mcp.engine.copies import Copies
from journey_mcp.engine.deduplication import Deduplication
from journey_mcp.engine.failover import Attempt, Failover
from journey_mcp.engine.final_tasks import FinalTasks
from journey_mcp.engine.image_files import ImageFiles
from journey_mcp.engine.in_flight import InFlight
from journey_mcp.engine.inbound_webhooks import InboundWebhooks
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.liveness import Liveness
from journey_mcp.engine.outbound_webhooks import OutboundWebhooks
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.poller import Poller
from journey_mcp.engine.queue import Queues
from journey_mcp.engine.recovery import Recovery
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.engine.retention import Retention
from journey_mcp.engine.submitter import Submitter
from journey_mcp.engine.task_reader import TaskReader
from journey_mcp.engine.waiting import Waiting
from journey_mcp.engine.webhook_policy import WebhookPolicy
from journey_mcp.media.blobs import Blobs
from journey_mcp.media.configured_store import image_store_of
from journey_mcp.media.save_folder import SaveFolder
from journey_mcp.media.thumbnails import Thumbnails
from journey_mcp.media.workers import Workers
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.clients import ADAPTERS, Adapter, ProviderClients, open_clients
from journey_mcp.providers.http import MAX_SUBMIT_S
from journey_mcp.settings import Settings
from journey_mcp.store import Store, open_store
from journey_mcp.studio.attempts import Planner
from journey_mcp.studio.create import Creator
from journey_mcp.studio.hosting import Hosting
from journey_mcp.studio.image_sources import ImageFinder
from journey_mcp.studio.keep import Keeper
from journey_mcp.studio.lifecycle import Lifecycle
from journey_mcp.studio.originals import Originals
from journey_mcp.studio.previews import Previews
from journey_mcp.studio.public_images import PublicImages
from journey_mcp.studio.refine import Refiner
from journey_mcp.studio.start import Starter
from journey_mcp.studio.studio import Studio
from journey_mcp.studio.uploads import Uploads
from journey_mcp.studio.views import Views
from journey_mcp.tools.results import task_object

Listening = Callable[[InboundWebhooks, PublicImages], AbstractAsyncContextManager[None]]
"""Receives providers' webhooks, and gives them images by signed links, for as long as the block runs."""

_DRAIN_S = MAX_SUBMIT_S + 60.0
"""How long a process whose clients have left waits for answers to creating requests: as long as they may come."""
_STORED_WITHIN_S = 3.0
"""How long a process that ends waits for a database that another process has locked."""

_log = logging.getLogger(__name__)


class _Assembled(NamedTuple):
    studio: Studio
    lifecycle: Lifecycle
    inbound_webhooks: InboundWebhooks
    worker_id: str


@asynccontextmanager
async def open_studio(
    settings: Settings,
    clock: Clock | None = None,
    adapters: Mapping[str, Adapter] = ADAPTERS,
    listening: Listening | None = None,
    principals: PrincipalLimits = NO_PRINCIPAL_LIMITS,
) -> AsyncIterator[Studio]:
    """Run everything behind the tools until the block is left.

    `listening` serves providers at the public address of the settings; without it, none is given that address.
    `principals` has the limits of single principals that the settings do not name.

    Raises:
        SetupError: a registry file is wrong, or the store or the sandbox cannot be opened.
    """
    async with AsyncExitStack() as stack:
        clock = clock or Clock()
        opened = open_store(settings.resolved_database_url(), clock.now, listen_url=settings.listen_url)
        store = await stack.enter_async_context(opened)
        clients = await stack.enter_async_context(open_clients(settings, adapters))
        workers = await stack.enter_async_context(aclosing(Workers()))
        if not clients.is_sandbox:
            warn_of_idle_limits(settings, clients.catalog)
        callback_urls = CallbackUrls(settings.public_url if listening else None)
        if store.is_shared:
            _warn_if_alone(settings, has_links=bool(settings.link_base_url or callback_urls.public_url))
        assembled = _assemble(settings, clock, store, clients, workers, callback_urls, principals)
        try:
            async with _running(assembled, listening):
                yield assembled.studio
        finally:
            # also when cancelled: other processes need not wait until the leases expire
            with anyio.move_on_after(_STORED_WITHIN_S, shield=True):
                await _release_leases(store, assembled.worker_id)


def _warn_if_alone(settings: Settings, *, has_links: bool) -> None:
    """Log what this server does not share with others on its database."""
    if settings.store is None:
        _log.warning(
            "JOURNEY_MCP_STORE is not set: images are stored on this machine, and other servers on the same database "
            "do not see them"
        )
    if has_links and settings.secret is None:
        _log.warning(
            "JOURNEY_MCP_SECRET is not set: links to images work at this server only, and until it is restarted"
        )


def _not_listening(_webhooks: InboundWebhooks, _images: PublicImages) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@asynccontextmanager
async def _running(assembled: _Assembled, listening: Listening | None) -> AsyncIterator[None]:
    """Run the background work; drain it when the block ends, and shut it down."""
    lifecycle = assembled.lifecycle
    raised: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(lifecycle.run)
        try:
            # answers that are still waited for may come by webhook
            opened = listening or _not_listening
            async with opened(assembled.inbound_webhooks, assembled.studio.public_images):
                try:
                    yield
                    await lifecycle.drain(_DRAIN_S)
                finally:
                    with anyio.CancelScope(shield=True):
                        lifecycle.begin_shutdown()
                        await lifecycle.await_answers()
        except Exception as error:  # noqa: BLE001  # raised again below: the group would wrap it
            raised = error
        finally:
            with anyio.move_on_after(_STORED_WITHIN_S, shield=True):
                await lifecycle.finish_shutdown()
            group.cancel_scope.cancel()
    if raised is not None:
        raise raised


async def _release_leases(store: Store, worker_id: str) -> None:
    try:
        await store.leases.release(worker_id=worker_id)
    except Exception:  # noqa: BLE001  # the leases expire by themselves
        _log.exception("the leases of this process cannot be released")


def _assemble(
    settings: Settings,
    clock: Clock,
    store: Store,
    clients: ProviderClients,
    workers: Workers,
    callback_urls: CallbackUrls,
    principals: PrincipalLimits,
) -> _Assembled:
    """Connect the parts of a studio: the only place where that is done."""
    news = store.notifications
    journal = Journal(store, clock, news)
    safe_http = SafeHttpClient(settings.trusted_hosts).with_trusted(*(one.base_url for one in clients.accounts))
    liveness = Liveness(store.workers, clock, journal.worker_id)
    keep_s = settings.keep_days * 86400.0
    reader = TaskReader(store, journal, clock, news, liveness, FinalTasks(clock, keep_s=keep_s))
    waiting = Waiting(reader, journal, clock)
    is_listening = callback_urls.public_url is not None
    images = _images(settings, clock, store, journal, clients, workers, safe_http, callback_urls.public_url)
    outcomes = Outcomes(journal, images.blobs)
    poller = Poller(journal, outcomes, clock, clients, takes_webhooks=is_listening)
    queues = Queues(journal, store.queue, clock, settings.max_concurrent)
    cooldowns = Cooldowns(store, clock)
    budget = Budget(settings, store, principals)
    deduplication = Deduplication(journal, store, clock)
    in_flight = InFlight(journal, queues, poller)
    inbound_webhooks = InboundWebhooks(
        journal, store, clock, outcomes, clients, resume_polling=in_flight.resume_polling
    )
    outbound_webhooks = _outbound_webhooks(settings, clock, store, journal, safe_http, images.files)

    def new_submitter(task_id: str, attempts: Sequence[Attempt], *, notices: Sequence[Notice]) -> Submitter:
        failover = Failover(task_id, attempts, journal, cooldowns, budget, clock, notices=notices)
        return Submitter(task_id, failover, journal, outcomes, queues, clock, callback_urls)

    planner = Planner(cooldowns, budget, safe_http, workers)
    starter = Starter(clock, journal, budget, deduplication, in_flight, new_submitter)
    refiner = Refiner(clients, journal, reader, store, images.finder)
    creator = Creator(
        clock, clients, outbound_webhooks, images.finder, planner, refiner, starter, is_listening=is_listening
    )
    recovery = Recovery(journal, store, clock, clients, poller, images.retention, liveness, keep_s=keep_s)
    loops = (
        poller.run,
        deduplication.run,
        outbound_webhooks.run,
        images.copies.run,
        images.retention.run,
        partial(workers.end_idle, clock),
        images.previews.run,
        partial(inbound_webhooks.expire, in_flight.__contains__),
        recovery.run,
        reader.run,
    )
    lifecycle = Lifecycle(
        loops, clock, journal, waiting, clients, in_flight, deduplication, outbound_webhooks, images.copies, workers
    )
    studio = Studio(
        settings,
        clock,
        store,
        journal,
        waiting,
        clients,
        safe_http,
        creator=creator,
        budget=budget,
        keeper=images.keeper,
        deduplication=deduplication,
        queues=queues,
        outcomes=outcomes,
        copies=images.copies,
        files=images.files,
        lifecycle=lifecycle,
        views=images.views,
        previews=images.previews,
        public_images=images.public,
        renewed_links=images.renewed_links,
        call_rate=CallRate(store, clock),
    )
    return _Assembled(studio, lifecycle, inbound_webhooks, journal.worker_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Images:
    """The parts that store, find and show images."""

    retention: Retention
    blobs: Blobs
    copies: Copies
    views: Views
    previews: Previews
    files: ImageFiles
    finder: ImageFinder
    keeper: Keeper
    public: PublicImages
    renewed_links: RenewedLinks


def _images(
    settings: Settings,
    clock: Clock,
    store: Store,
    journal: Journal,
    clients: ProviderClients,
    workers: Workers,
    safe_http: SafeHttpClient,
    listener_url: str | None,
) -> _Images:
    """Connect them. `listener_url`: where this process listens for providers; people get no links to it."""
    stored = image_store_of(settings, store.objects, clock)
    keys = _link_keys(settings)
    links = ImageLinks(keys, settings.link_base_url)
    retention = Retention(stored, store, clock, max_bytes=int(settings.keep_gb * 1024**3))
    max_bytes = settings.copy_max_mb * 1024 * 1024 if settings.copies != "off" else 0
    blobs = Blobs(stored, max_bytes, safe_http, clock, retention.note_written)
    copies = _copies(settings, clock, store, journal, clients, blobs, retention)
    thumbnails = Thumbnails(stored, workers, retention.note_written)
    renewed = RenewedLinks(clock, clients, safe_http)
    views = Views(Originals(store, clock, stored, copies, safe_http, renewed), thumbnails)
    previews = Previews(views, workers, clock)
    journal.listen(previews.on_task_changed)
    uploads = Uploads(store, stored, retention, clock)
    hosting = Hosting(ImageLinks(keys, settings.link_base_url or listener_url), uploads, stored, clock)
    folder = settings.resolved_data_dir()
    finder = ImageFinder(store, clock, settings.image_dirs, folder, safe_http, stored, hosting, renewed)
    return _Images(
        retention=retention,
        blobs=blobs,
        copies=copies,
        views=views,
        previews=previews,
        files=ImageFiles(store, stored, clock, links, is_settled=copies.is_settled),
        finder=finder,
        keeper=Keeper(uploads, workers, finder, safe_http),
        public=PublicImages(stored, links, clock),
        renewed_links=renewed,
    )


def _link_keys(settings: Settings) -> Sequence[bytes]:
    """Return the keys that sign links; without a secret, one of this process, with which its links end."""
    return settings.secret.keys("image links") if settings.secret else (secrets.token_bytes(32),)


def _copies(
    settings: Settings,
    clock: Clock,
    store: Store,
    journal: Journal,
    clients: ProviderClients,
    blobs: Blobs,
    retention: Retention,
) -> Copies:
    save_folder = SaveFolder(settings.save_dir) if settings.save_dir else None
    copier = Copier(blobs, save_folder, clock, clients, keep=settings.copies)
    copies = Copies(store, journal, clock, copier, retention)
    journal.listen(copies.on_task_changed)
    return copies


def _outbound_webhooks(
    settings: Settings,
    clock: Clock,
    store: Store,
    journal: Journal,
    safe_http: SafeHttpClient,
    files: ImageFiles,
) -> OutboundWebhooks:
    redactor = redactor_of(*settings.secrets)

    async def render(task: Task, now: float) -> dict[str, Any]:
        if files.has_links:
            (task,) = await files.located([task])
        plain: dict[str, Any] = redactor.plain(
            task_object(task, now=now, with_prompt=True, with_paths=False, credit_prices=settings.credit_price)
        )
        return plain

    outbound_webhooks = OutboundWebhooks(store, clock, safe_http, policy=WebhookPolicy(settings), render=render)
    journal.listen(outbound_webhooks.on_task_changed)
    return outbound_webhooks
