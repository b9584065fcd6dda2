"""The attempts of a request: the offers that can run it, in the order in which they are tried."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anyio import to_thread

from journey_mcp.core.errors import InvalidRequest
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest, Parent, PreparedRequest
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.engine.budget import Budget
from journey_mcp.engine.cooldowns import Cooldowns, by_name
from journey_mcp.engine.failover import Attempt
from journey_mcp.media.workers import CallersWorkers, Workers
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.clients import UsableProviders
from journey_mcp.registry import Offer
from journey_mcp.routing import router
from journey_mcp.routing.language import Verdict, judge
from journey_mcp.studio.inputs import Fitter, InputImages


@dataclass(frozen=True, slots=True)
class Plan:
    """The attempts of a request, at least one, and the notices that hold for the first."""

    attempts: Sequence[Attempt]
    notices: tuple[Notice, ...]

    def first_attempt(self) -> "Plan":
        """Return the same plan without failover."""
        return Plan(self.attempts[:1], self.notices)


class Planner:
    """Search for the attempts of a request."""

    def __init__(
        self,
        cooldowns: Cooldowns,
        budget: Budget,
        safe_http: SafeHttpClient,
        workers: Workers,
    ) -> None:
        self._cooldowns = cooldowns
        self._budget = budget
        self._safe_http = safe_http
        self._workers = workers

    async def route(
        self, request: ImageRequest, offers: Sequence[Offer], images: InputImages, usable: UsableProviders
    ) -> router.Route:
        """Return which of the offers, all of the caller's catalog, take the request; no image is read for that.

        Raises:
            InvalidRequest: none does.
        """
        return router.plan(
            request,
            usable.catalog,
            verdict=await _verdict(request.prompt, offers),
            requires_upload=lambda offer: images.requires_upload(usable.account_of(offer)),
            on_cooldown=await self._on_cooldown(offers, usable),
        )

    async def plan(
        self,
        request: ImageRequest,
        route: router.Route,
        images: InputImages,
        principal: Principal,
        usable: UsableProviders,
    ) -> Plan:
        """Return the attempts of a route, with images that were read; the first attempt is prepared.

        Raises:
            InvalidRequest: no offer can take the images.
        """
        fitter = CallersWorkers(self._workers, principal)
        attempts = [self._attempt(candidate, images, fitter, usable) for candidate in route.candidates]
        attempts, problems = await _from_first_prepared(attempts)
        if not attempts:
            raise router.no_offer_error(request, {**route.violations, **problems}, usable.catalog)
        first = attempts[0]
        _, notices = await first.prepare()
        return Plan(attempts, (*route.notices(first.offer, problems), *first.notices, *notices))

    async def follow_up(
        self,
        offer: Offer,
        request: ImageRequest,
        images: InputImages,
        principal: Principal,
        usable: UsableProviders,
        *,
        parent: Parent | None,
        notices: Sequence[Notice],
    ) -> Plan:
        """Return the only attempt of a request that refines an image; no other provider can run it.

        Raises:
            InvalidRequest: the offer cannot take the image.
        """
        candidate = router.Candidate(offer=offer, request=request, notices=tuple(notices))
        attempt = self._attempt(candidate, images, CallersWorkers(self._workers, principal), usable, parent)
        _, more = await attempt.prepare()
        return Plan([attempt], (*attempt.notices, *more))

    async def _on_cooldown(self, offers: Sequence[Offer], usable: UsableProviders) -> dict[str, str]:
        """Return which providers are on cooldown, and why; with one offer there is no choice to make."""
        if len(offers) == 1:
            return {}
        found = by_name(await self._cooldowns.all(), usable.accounts)
        return {name: cooldown.reason for name, cooldown in found.items()}

    def _attempt(
        self,
        candidate: router.Candidate,
        images: InputImages,
        fitter: Fitter,
        usable: UsableProviders,
        parent: Parent | None = None,
    ) -> Attempt:
        offer = candidate.offer
        account = usable.account_of(offer)
        ready: tuple[PreparedRequest, tuple[Notice, ...]] | None = None

        async def prepare() -> tuple[PreparedRequest, tuple[Notice, ...]]:
            nonlocal ready
            if ready is None:
                inputs, mask, notices = await images.prepared(offer, account, self._safe_http, fitter)
                ready = replace(candidate.prepared(inputs, mask), parent=parent), notices
            return ready

        is_free = account.provider == SANDBOX
        return Attempt(
            offer=offer,
            account=account,
            provider=usable.provider_of(offer),
            cost=candidate.cost,
            charges={} if is_free else self._budget.charges(offer, usable.catalog, candidate.cost),
            notices=candidate.notices,
            prepare=prepare,
        )


async def _verdict(prompt: str, offers: Sequence[Offer]) -> Verdict | None:
    """Return the prompt's language if one of the offers takes English only."""
    if not any(offer.english_only for offer in offers):
        return None
    # the first call loads a detector: not in the event loop
    return (await to_thread.run_sync(judge, prompt)).verdict


async def _from_first_prepared(attempts: Sequence[Attempt]) -> tuple[list[Attempt], dict[str, InvalidRequest]]:
    """Return the attempts from the first one that can be prepared, and why those before it cannot."""
    problems: dict[str, InvalidRequest] = {}
    for number, attempt in enumerate(attempts):
        try:
            await attempt.prepare()
        except InvalidRequest as problem:
            problems[attempt.offer.provider] = problem
        else:
            return list(attempts[number:]), problems
    return [], problems
