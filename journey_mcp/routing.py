"""Which provider runs a request: the first whose offer takes all of it, those that refused lately last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from journey_mcp import fitting
from journey_mcp.errors import InvalidRequest, JourneyError, NoOffer, NotEnglish
from journey_mcp.images import InputImage
from journey_mcp.language import Verdict
from journey_mcp.registry import Catalog, Offer
from journey_mcp.requests import ImageRequest, PreparedRequest
from journey_mcp.tasks import Cost

OnlyData = Callable[[Offer], str | None]
"""Names, for an offer, a picture that its provider cannot fetch by itself; `None` when there is none."""
_MEGAPIXEL = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An offer that takes the request."""

    offer: Offer
    request: ImageRequest
    """In this offer's parameters."""
    notices: tuple[str, ...]

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
            webhook_url=self.request.webhook_url,
        )


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a request may run, in the order in which it is tried."""

    candidates: tuple[Candidate, ...]
    passed_over: Mapping[str, str]
    """Providers that stood before the first candidate in the order of preference, and why each is not the first."""

    @property
    def notice(self) -> str | None:
        """Why it is not the first choice that runs the request; `None` when it is."""
        if not self.passed_over:
            return None
        reasons = " ".join(f"{name} was passed over: {reason}" for name, reason in self.passed_over.items())
        return f"{self.candidates[0].offer.provider} runs this. {reasons}"


def plan(
    request: ImageRequest,
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    only_data: OnlyData,
    resting: Mapping[str, str],
) -> Route:
    """Find the offers that take the request.

    `verdict` is on the prompt's language, and `resting` tells of providers that refused lately, and why.

    Raises:
        InvalidRequest: no offer takes it; says for each what stands in the way.
    """
    fitting_ones: list[Candidate] = []
    problems: dict[str, InvalidRequest] = {}
    offers = fitting.offers_of(request, catalog)
    for offer in offers:
        try:
            fitted, notices = fitting.fit(request, offer, catalog, only_data(offer))
            notices += _language_notices(offer, catalog, verdict)
        except InvalidRequest as problem:
            problems[offer.provider] = problem
        else:
            fitting_ones.append(Candidate(offer=offer, request=fitted, notices=notices))
    if not fitting_ones:
        raise _nobody(request, problems, catalog, verdict=verdict, only_data=only_data)
    # the order is kept, but for those that rest
    ordered = sorted(fitting_ones, key=lambda candidate: candidate.offer.provider in resting)
    before = offers[: offers.index(ordered[0].offer)]
    passed_over = {
        offer.provider: str(problems.get(offer.provider) or f"it refused lately ({resting.get(offer.provider)}).")
        for offer in before
    }
    return Route(candidates=tuple(ordered), passed_over=passed_over)


def estimate(offer: Offer, request: ImageRequest) -> Cost | None:
    """The cost by the registry's table, with what a larger picture adds."""
    amount = offer.usd if offer.credits is None else offer.credits
    if amount is None:
        return None
    if offer.further_megapixel is not None and request.width and request.height:
        further = -(-request.width * request.height // _MEGAPIXEL) - 1
        amount += max(0, further) * Decimal(offer.further_megapixel)
    return Cost(amount=Decimal(amount), unit="usd" if offer.credits is None else "credits", source="registry")


def _language_notices(offer: Offer, catalog: Catalog, verdict: Verdict | None) -> tuple[str, ...]:
    if not offer.english_only:
        return ()
    if verdict is Verdict.FOREIGN:
        raise NotEnglish(
            f"{fitting.who(offer, catalog)} understands English prompts only; this one is not English.",
            next_step="Translate the prompt to English (text in quotes, to be drawn, may stay) and call again.",
        )
    if verdict is Verdict.DOUBTFUL:
        return (f"{fitting.who(offer, catalog)} understands English only, and this prompt may not be English.",)
    return ()


def _nobody(
    request: ImageRequest,
    problems: Mapping[str, InvalidRequest],
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    only_data: OnlyData,
) -> JourneyError:
    """One obstacle as it is; several with the name of their provider, and what would help."""
    if len(problems) == 1:
        (problem,) = problems.values()
        return _with_others(problem, request, catalog, verdict=verdict, only_data=only_data)
    listed = " ".join(f"{name}: {problem}" for name, problem in problems.items())
    kinds = {type(problem) for problem in problems.values()}
    kind = kinds.pop() if len(kinds) == 1 else NoOffer
    steps = list(dict.fromkeys(problem.failure.next_step or "" for problem in problems.values()))
    step = steps[0] if len(steps) == 1 else f"Change what stands in the way at one of them, for instance: {steps[0]}"
    return kind(f"No provider takes this as it is. {listed}", next_step=step)


def _with_others(
    problem: InvalidRequest,
    request: ImageRequest,
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    only_data: OnlyData,
) -> InvalidRequest:
    """The obstacle of a pinned provider, with those that would take the request."""
    if request.provider is None:
        return problem
    free = ImageRequest(**{**request.as_plain(), "reference_images": request.reference_images, "provider": None})
    try:
        route = plan(free, catalog, verdict=verdict, only_data=only_data, resting={})
    except InvalidRequest:
        return problem
    takers = ", ".join(candidate.offer.provider for candidate in route.candidates)
    return type(problem)(str(problem), next_step=f"Leave provider out, or name one that takes this as it is: {takers}.")
