"""Accepting a call: the request checked against everything known, its images found, and its task started."""

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import DataNotTaken
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import RunEntry
from journey_mcp.core.tasks import DuplicatePolicy, Task, new_task_id
from journey_mcp.engine import deduplication
from journey_mcp.engine.budget import Confirm
from journey_mcp.engine.deduplication import Created
from journey_mcp.engine.outbound_webhooks import OutboundWebhooks
from journey_mcp.providers.clients import ProviderClients, UsableProviders
from journey_mcp.routing import actions, model_names, router, validation
from journey_mcp.studio.actions import actions_without_link
from journey_mcp.studio.attempts import Plan, Planner
from journey_mcp.studio.image_sources import ImageFinder, Roots
from journey_mcp.studio.inputs import InputImages
from journey_mcp.studio.refine import Refiner
from journey_mcp.studio.start import Starter


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What would be created for a request of a run."""

    task: Task
    """The stored one, or one with the provider and the cost that it would have."""
    is_made: bool
    """The run has this task already: it is not paid again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """A request that was checked, as its task has it."""

    request: ImageRequest
    key: str
    make_plan: Callable[[], Awaitable[Plan]]
    read_as: Sequence[Notice]


class Creator:
    """Creation of tasks. `is_listening`: this process receives providers' webhooks, so tasks get a secret.

    It has one collaborator for each step of the way of a call.
    """

    def __init__(
        self,
        clock: Clock,
        clients: ProviderClients,
        webhooks: OutboundWebhooks,
        images: ImageFinder,
        planner: Planner,
        refiner: Refiner,
        starter: Starter,
        *,
        is_listening: bool,
    ) -> None:
        self._clock = clock
        self._clients = clients
        self._webhooks = webhooks
        self._images = images
        self._planner = planner
        self._refiner = refiner
        self._starter = starter
        self._is_listening = is_listening

    async def create(  # noqa: PLR0913  # one for each thing that a caller may say
        self,
        request: ImageRequest,
        principal: Principal,
        *,
        files_allowed: bool,
        roots: Roots | None,
        fresh: bool,
        confirm: Confirm | None,
        providers: Collection[str] | None,
        keys: CallerKeys,
        entry: RunEntry | None,
    ) -> Created:
        """Check the request, store its task and start it; see `Studio.create`."""
        checked = await self._checked(
            request, principal, files_allowed=files_allowed, roots=roots, providers=providers, keys=keys, entry=entry
        )
        return await self._start(checked, principal, fresh=fresh, confirm=confirm)

    async def estimate(self, request: ImageRequest, principal: Principal, *, entry: RunEntry) -> Estimate:
        """Check the request, and return its task or the one that it would get; see `Studio.estimate`."""
        checked = await self._checked(
            request, principal, files_allowed=True, roots=None, providers=None, keys=NO_KEYS, entry=entry
        )
        if made := await self._starter.duplicate(principal, checked.key):
            return Estimate(task=made.task, is_made=True)
        plan = await checked.make_plan()
        task = self._task(checked, principal, plan)
        self._starter.check_call_limit(task)
        return Estimate(task=task, is_made=False)

    async def _checked(
        self,
        request: ImageRequest,
        principal: Principal,
        *,
        files_allowed: bool,
        roots: Roots | None,
        providers: Collection[str] | None,
        keys: CallerKeys,
        entry: RunEntry | None,
    ) -> _Checked:
        """Check a request against everything known, and find its images."""
        if request.webhook_url is not None:
            await self._webhooks.check(request.webhook_url)
        usable = self._clients.usable(principal, providers=providers, keys=keys)
        if request.action is not None:
            return await self._checked_refinement(
                request, principal, usable, files_allowed=files_allowed, roots=roots, entry=entry
            )
        request, read_as = model_names.with_resolved_model(request, usable.catalog)
        offers = validation.offers_of(request, usable.catalog)
        router.check_images(request, offers, usable.catalog)
        images = await self._images.find(request, principal, files_allowed=files_allowed, roots=roots)
        images = await images.with_links(usable.account_of(offer) for offer in offers if not offer.images.takes_data)
        try:
            route = await self._planner.route(request, offers, images, usable)
        except DataNotTaken as error:
            raise self._with_actions(error, images, usable) from error
        # no file is opened for a call that no offer takes
        images = await images.read()
        request = images.named_in(request)
        own_accounts = usable.own_accounts(offers)
        return _Checked(
            request=request,
            key=deduplication.digest(request, images.digests, usable.sandbox_url, own_accounts, entry),
            make_plan=partial(self._planner.plan, request, route, images, principal, usable),
            read_as=(*usable.notices, *read_as),
        )

    def _with_actions(self, error: DataNotTaken, images: InputImages, usable: UsableProviders) -> DataNotTaken:
        """Return the error for images without a link, with what can be done with an earlier image nevertheless."""
        earlier = images.sources[0] if images.sources else None
        task = earlier.task if earlier else None
        names = actions_without_link(task, self._clients, usable.catalog) if task else ()
        if earlier is None or not names:
            return error
        step = (
            f"Or call refine_image, which needs no link to {earlier.name}: {actions.listed(names)}. "
            "Its result has a new link, with which edit_image takes it."
        )
        return DataNotTaken(str(error), next_step=f"{error.failure.next_step} {step}")

    async def _checked_refinement(
        self,
        request: ImageRequest,
        principal: Principal,
        usable: UsableProviders,
        *,
        files_allowed: bool,
        roots: Roots | None,
        entry: RunEntry | None,
    ) -> _Checked:
        """Check a request that refines an image."""
        request, read_as = actions.with_resolved_action(request, usable.catalog)
        found = await self._refiner.find(request, usable, principal, files_allowed=files_allowed, roots=roots)
        make_plan = partial(
            self._planner.follow_up,
            found.offer,
            found.request,
            found.images,
            principal,
            usable,
            parent=found.parent,
            notices=found.notices,
        )
        own_accounts = usable.own_accounts([found.offer])
        key = deduplication.digest(found.request, found.images.digests, usable.sandbox_url, own_accounts, entry)
        return _Checked(request=found.stored, key=key, make_plan=make_plan, read_as=(*usable.notices, *read_as))

    async def _start(self, checked: _Checked, principal: Principal, *, fresh: bool, confirm: Confirm | None) -> Created:
        """Plan, store and start the task of a request that was checked, unless a duplicate call has one."""
        is_asked_always = confirm is not None and confirm.is_asked_always
        if not fresh and (
            duplicate := await self._starter.early_duplicate(principal, checked.key, is_asked_always=is_asked_always)
        ):
            return duplicate
        plan = await checked.make_plan()
        if is_asked_always:
            # the person confirms the cost at one provider; another one has another cost
            plan = plan.first_attempt()
        task = self._task(checked, principal, plan)
        await self._starter.check_budget(task, confirm)
        return await self._starter.start(task, plan, fresh=fresh)

    def _task(self, checked: _Checked, principal: Principal, plan: Plan) -> Task:
        now, first = self._clock.now(), plan.attempts[0]
        notices = (*checked.read_as, *plan.notices)
        return Task(
            id=new_task_id(),
            principal=principal,
            request=checked.request,
            provider=first.account.provider,
            base_url=first.account.address,
            created_at=now,
            updated_at=now,
            cost=first.cost,
            charges=first.charges,
            notices=tuple(dict.fromkeys(notices)),
            deduplication_key=checked.key,
            duplicate_policy=DuplicatePolicy.JOIN,
            sealed_key=first.account.sealed_key,
            webhook_secret=secrets.token_urlsafe(32) if self._is_listening else None,
        )
