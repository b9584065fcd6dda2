"""Routing: the first provider whose offer takes the whole request runs it; providers on cooldown come last."""

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
"""Names, for an offer, an image that its provider cannot fetch; `None` when there is none."""
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
        """The cost by the list price of the registry."""
        return estimate(self.offer, self.request)

    def prepared(self, images: tuple[InputImage, ...], mask: InputImage | None) -> PreparedRequest:
        """Return the request as it is sent, with its images."""
        return PreparedRequest(
            prompt="" if self.offer.prompt == "none" else self.request.prompt,
            options=self.request.options,
            images=images,
            mask=mask,
        )


@dataclass(frozen=True, kw_only=True)
class Route:
    """The providers that may run a request, in the order of attempts."""

    candidates: tuple[Candidate, ...]
    order: tuple[str, ...]
    """All providers that offer the model, the preferred one first."""
    violations: Mapping[str, InvalidRequest]
    """Why the other providers are not candidates."""
    on_cooldown: Mapping[str, str]
    """Why providers are on cooldown."""

    def notices(self, runner: Offer, more: Mapping[str, InvalidRequest]) -> tuple[Notice, ...]:
        """Return why each provider before the runner was skipped; `more` are violations found since."""
        known = {**self.violations, **more}
        skipped = self.order[: self.order.index(runner.provider)]
        return tuple(self._skipped(name, runner.provider, known.get(name)) for name in skipped)

    def _skipped(self, provider: str, runner: str, violation: InvalidRequest | None) -> Notice:
        if violation:
            return Notice.of("provider_skipped", runner=runner, provider=provider, reason=str(violation))
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

    `verdict` is about the language of the prompt; `on_cooldown` maps providers that refused lately to the reason.

    Raises:
        InvalidRequest: no offer takes the request; states the violation of each.
    """
    candidates: list[Candidate] = []
    violations: dict[str, InvalidRequest] = {}
    offers = validation.offers_of(request, catalog)
    for offer in offers:
        try:
            adapted, notices = validation.validate(request, offer, catalog, requires_upload(offer))
            notices += _language_notices(offer, catalog, verdict)
        except InvalidRequest as violation:
            violations[offer.provider] = violation
        else:
            candidates.append(Candidate(offer=offer, request=adapted, notices=notices))
    if not candidates:
        raise _error_with_alternatives(request, violations, catalog, verdict=verdict, requires_upload=requires_upload)
    # stable: providers on cooldown go to the end
    ordered = sorted(candidates, key=lambda candidate: candidate.offer.provider in on_cooldown)
    return Route(
        candidates=tuple(ordered),
        order=tuple(offer.provider for offer in offers),
        violations=violations,
        on_cooldown=on_cooldown,
    )


def check_images(request: ImageRequest, offers: Sequence[Offer], catalog: Catalog) -> None:
    """Refuse a number of images that no offer takes, before any of them is read.

    Raises:
        InvalidRequest: states what each offer takes.
    """
    violations = {offer.provider: validation.image_problem(request, offer, catalog) for offer in offers}
    refused = {name: violation for name, violation in violations.items() if violation}
    if len(refused) == len(violations):
        raise _error_with_alternatives(request, refused, catalog, verdict=None, requires_upload=lambda _: None)


def estimate(offer: Offer, request: ImageRequest) -> Cost | None:
    """Return the cost by the list price, with the surcharge for a larger image."""
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
            f"{validation.label(offer, catalog)} understands English prompts only; this one is not English.",
            next_step="Translate the prompt to English (text in quotes, to be drawn, may stay) and call again.",
        )
    if verdict is Verdict.DOUBTFUL:
        return (Notice.of("language_doubtful", offer=validation.label(offer, catalog)),)
    return ()


def no_offer_error(request: ImageRequest, violations: Mapping[str, InvalidRequest], catalog: Catalog) -> InvalidRequest:
    """Return the error when no offer takes the request: all violations, and the next step for the nearest offer."""
    if len(violations) == 1:
        return next(iter(violations.values()))
    kinds = {type(violation) for violation in violations.values()}
    kind = kinds.pop() if len(kinds) == 1 else NoOffer
    offers = {offer.provider: offer for offer in catalog.offers[request.model]}
    nearest = min(violations, key=lambda name: _distance(violations[name], offers[name]))
    reasons = " ".join(f"{name}: {violation}" for name, violation in violations.items())
    return kind(
        f"No provider takes this as it is. {reasons}",
        next_step=f"At {nearest}, which comes nearest: " + (violations[nearest].failure.advice or ""),
    )


_BY_DISTANCE = (UnusableImage, UnsupportedValue, NotEnglish, TooManyImages, UnsupportedOption)


def _distance(violation: InvalidRequest, offer: Offer) -> tuple[int, int]:
    """Return how far an offer is from taking a request: a wrong value is easier to correct than a missing feature."""
    known = next((n for n, kind in enumerate(_BY_DISTANCE) if isinstance(violation, kind)), len(_BY_DISTANCE))
    return known, -offer.images.maximum


def _error_with_alternatives(
    request: ImageRequest,
    violations: Mapping[str, InvalidRequest],
    catalog: Catalog,
    *,
    verdict: Verdict | None,
    requires_upload: RequiresUpload,
) -> InvalidRequest:
    """Return the error when no offer takes the request; for a pinned provider, with the providers that take it."""
    error = no_offer_error(request, violations, catalog)
    if request.provider is None:
        return error
    try:
        unpinned = replace(request, provider=None)
        route = plan(unpinned, catalog, verdict=verdict, requires_upload=requires_upload, on_cooldown={})
    except InvalidRequest:
        return error
    takers = ", ".join(candidate.offer.provider for candidate in route.candidates)
    return type(error)(str(error), next_step=f"Leave provider out, or name one that takes this as it is: {takers}.")
