"""The registry's facts about models, as objects for models and programs: purpose, prices, limits, prompt advice."""

from collections.abc import Mapping, Sequence
from typing import Any

from journey_mcp.core.plain import without_empty
from journey_mcp.core.requests import Tool
from journey_mcp.registry import Catalog, ImageInput, Model, Offer, Parameter, can_serve

_TOOLS: tuple[Tool, ...] = ("imagine", "edit_image")


def list_object(catalog: Catalog) -> dict[str, Any]:
    """Return all configured models in a few words each."""
    return {"models": [_summary(model, catalog.offers[model.id]) for model in catalog.models.values()]}


def model_object(model: Model, offers: Sequence[Offer]) -> dict[str, Any]:
    """Return what is known about a model that a caller can use; unknown facts are absent."""
    plain = {
        **_summary(model, offers),
        "family": model.family,
        "aliases": [*model.aliases],
        "prompt_advice": [*model.advice],
        "offers": [_offer(offer) for offer in offers],
        "sources": [*model.sources],
        "checked": model.checked.isoformat(),
    }
    return without_empty(plain)


def _summary(model: Model, offers: Sequence[Offer]) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name or model.id,
        "maker": model.maker,
        "best_at": model.best_at,
        "tools": _tools(offers),
        "prices": {offer.provider: _price(offer) for offer in offers},
    }


def _tools(offers: Sequence[Offer]) -> list[str]:
    return [tool for tool in _TOOLS if any(can_serve(offer, tool) for offer in offers)]


def _price(offer: Offer) -> str:
    """Return the list price of a call in words."""
    amount = offer.credits if offer.credits is not None else offer.usd
    if amount is None:
        return "not stated"
    more = f", plus {offer.further_megapixel:f} for each further megapixel" if offer.further_megapixel else ""
    return f"{amount:f} {offer.unit}{more}"


def _offer(offer: Offer) -> dict[str, Any]:
    plain = {
        "provider": offer.provider,
        "tools": _tools([offer]),
        "price": _price(offer),
        "result": "four candidates" if offer.result == "grid" else "one image",
        "english_only": offer.english_only,
        "prompt_max_length": offer.prompt_max_length,
        "input_images": _images(offer.images),
        "arguments": {name: _argument(parameter) for name, parameter in offer.parameters.items()},
        "usual_duration_s": offer.usual_duration_s and [*offer.usual_duration_s],
        "links_expire_after_s": offer.expires_after_s,
        "notices": [*offer.notices],
        "sources": [*offer.sources],
        "checked": offer.checked.isoformat(),
    }
    return without_empty(plain)


def _images(taken: ImageInput) -> dict[str, Any]:
    if not taken.is_taken:
        return {"support": taken.support}
    plain = {
        "support": taken.support,
        "at_least": taken.minimum if taken.minimum > 1 else None,
        "at_most": taken.maximum,
        "mask": taken.mask_field is not None,
        "as_data": taken.takes_data,
        "formats": [*(taken.formats or ())],
        "max_bytes": taken.max_bytes,
        "max_pixels": taken.max_pixels,
    }
    return without_empty(plain)


def _argument(parameter: Parameter) -> Mapping[str, Any]:
    plain = {
        "values": [*(parameter.values or ())],
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "multiple_of": parameter.multiple_of,
        "max_length": parameter.max_length,
        "default": parameter.default,
        "notice": parameter.notice,
    }
    return without_empty(plain)
