"""Which provider runs a request: the first whose offer takes all of it, those that refused lately last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from journey_mcp.core.errors import (
    InvalidRequest,
    NoOffer,
    NotEnglish,
    TooManyImages,
    UnsupportedOption,
    UnsupportedValue,
    UnusableImage,
)
from journey_mcp.core.images import InputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest, PreparedRequest
from journey_mcp.registry import Catalog, Offer
from journey_mcp.routing import validation
from journey_mcp.routing.language import Verdict

RequiresUpload = Callable[[Offer], str | None]
"""Names, for an offer, a picture that its provider cannot fetch by itself; `None` when there is none."""
_MEGAPIXEL = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An offer that takes the request."""

    offer: Offer
    request: ImageRequest
    """In this offer's parameters."""
    notices: tuple[Notice, ...]

    @property
    def cost(self) -> Cost | None:
        """What the registry says that it will cost."""
        return estimate(self.offer, self.request)

    def prepared(self, images: tuple[InputImage, ...], mask: InputImage | None) -> PreparedRequest:
        """The request as it is sent, with its pictures."""
        return PreparedRequest(
            prompt=self.request.prompt,
            options=self.request.options,
            images=images,
            mask=mask,
        )


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a request may run, in the order in which it is tried."""

    candidates: tuple[Candidate, ...]
    order: tuple[str, ...]
    """All providers that offer the model, the preferred one first."""
    violations: Mapping[str, InvalidRequest]
    """What stands in the way at those that are no candidates."""
    on_cooldown: Mapping[str, str]
    """Why providers refused lately."""

    def notices(self, runner: Offer, more: Mapping[str, InvalidRequest]) -> tuple[Notice, ...]:
        """Return why each provider before the runner was skipped; `more` are violations found since."""
        known = {**self.violations, **more}
        skipped = self.order[: self.order.index(runner.provider)]
        return tuple(self._skipped(name, runner.provider, known.get(name)) for name in skipped)

    def _skipped(self, provider: str, runner: str, problem: InvalidRequest | None) -> Notice:
        if problem:
            return Notice.of("provider_skipped", runner=runner, provider=provider, reason=str(problem))
        reason = self.on_cooldown.get(provider, "")
        return Notice.of("provider_on_cooldown", runner=runner, provider=provider, reason=reason)


def plan(
    request: ImageRequest,
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    requires_upload: RequiresUpload,
    on_cooldown: Mapping[str, str],
) -> Route:
    """Find the offers that take the request.

    `verdict` is on the prompt's language, and `on_cooldown` tells of providers that refused lately, and why.

    Raises:
        InvalidRequest: no offer takes it; says for each what stands in the way.
    """
    fitting_ones: list[Candidate] = []
    problems: dict[str, InvalidRequest] = {}
    offers = validation.offers_of(request, catalog)
    for offer in offers:
        try:
            fitted, notices = validation.fit(request, offer, catalog, requires_upload(offer))
            notices += _language_notices(offer, catalog, verdict)
        except InvalidRequest as problem:
            problems[offer.provider] = problem
        else:
            fitting_ones.append(Candidate(offer=offer, request=fitted, notices=notices))
    if not fitting_ones:
        raise _with_others(request, problems, catalog, verdict=verdict, requires_upload=requires_upload)
    # the order is kept, but for those that rest
    ordered = sorted(fitting_ones, key=lambda candidate: candidate.offer.provider in on_cooldown)
    return Route(
        candidates=tuple(ordered),
        order=tuple(offer.provider for offer in offers),
        violations=problems,
        on_cooldown=on_cooldown,
    )


def check_images(request: ImageRequest, offers: Sequence[Offer], catalog: Catalog) -> None:
    """Refuse a number of images that no offer takes, before any of them is looked at.

    Raises:
        InvalidRequest: says for each offer what it takes.
    """
    problems = {offer.provider: validation.image_problem(request, offer, catalog) for offer in offers}
    refused = {name: problem for name, problem in problems.items() if problem}
    if len(refused) == len(problems):
        raise _with_others(request, refused, catalog, verdict=None, requires_upload=lambda _: None)


def estimate(offer: Offer, request: ImageRequest) -> Cost | None:
    """The cost by the registry's table, with what a larger picture adds."""
    amount = offer.usd if offer.credits is None else offer.credits
    if amount is None or offer.unit is None:
        return None
    if offer.further_megapixel is not None and request.width and request.height:
        further = -(-request.width * request.height // _MEGAPIXEL) - 1
        amount += max(0, further) * Decimal(offer.further_megapixel)
    return Cost(amount=Decimal(amount), unit=offer.unit, source="registry")


def _language_notices(offer: Offer, catalog: Catalog, verdict: Verdict | None) -> tuple[Notice, ...]:
    if not offer.english_only:
        return ()
    if verdict is Verdict.FOREIGN:
        raise NotEnglish(
            f"{validation.who(offer, catalog)} understands English prompts only; this one is not English.",
            next_step="Translate the prompt to English (text in quotes, to be drawn, may stay) and call again.",
        )
    if verdict is Verdict.DOUBTFUL:
        return (Notice.of("language_doubtful", offer=validation.who(offer, catalog)),)
    return ()


def nobody(request: ImageRequest, problems: Mapping[str, InvalidRequest], catalog: Catalog) -> InvalidRequest:
    """The error when no offer takes the request: each one's obstacle, and what helps at the one that comes nearest."""
    if len(problems) == 1:
        return next(iter(problems.values()))
    kinds = {type(problem) for problem in problems.values()}
    kind = kinds.pop() if len(kinds) == 1 else NoOffer
    offers = {offer.provider: offer for offer in catalog.offers[request.model]}
    nearest = min(problems, key=lambda name: _distance(problems[name], offers[name]))
    listed = " ".join(f"{name}: {problem}" for name, problem in problems.items())
    return kind(
        f"No provider takes this as it is. {listed}",
        next_step=f"At {nearest}, which comes nearest: {problems[nearest].failure.next_step}",
    )


_NEAREST_FIRST = (UnusableImage, UnsupportedValue, NotEnglish, TooManyImages, UnsupportedOption)


def _distance(problem: InvalidRequest, offer: Offer) -> tuple[int, int]:
    """How far an offer is from taking a request: a value is corrected more easily than a wish given up."""
    known = next((n for n, kind in enumerate(_NEAREST_FIRST) if isinstance(problem, kind)), len(_NEAREST_FIRST))
    return known, -offer.images.maximum


def _with_others(
    request: ImageRequest,
    problems: Mapping[str, InvalidRequest],
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    requires_upload: RequiresUpload,
) -> InvalidRequest:
    """The error when no offer takes the request; of a pinned provider, with those that would."""
    error = nobody(request, problems, catalog)
    if request.provider is None:
        return error
    try:
        free = replace(request, provider=None)
        route = plan(free, catalog, verdict=verdict, requires_upload=requires_upload, on_cooldown={})
    except InvalidRequest:
        return error
    takers = ", ".join(candidate.offer.provider for candidate in route.candidates)
    return type(error)(str(error), next_step=f"Leave provider out, or name one that takes this as it is: {takers}.")
