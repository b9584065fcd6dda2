"""Whether an offer takes a request, and what stands in the way: decided before anything is paid."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from journey_mcp.errors import (
    EditOnlyModel,
    EmptyPrompt,
    ImageNotTaken,
    ImageRequired,
    InvalidRequest,
    TooManyImages,
    UnknownModel,
    UnsupportedOption,
    UnsupportedValue,
)
from journey_mcp.images import AspectRatio
from journey_mcp.registry import Catalog, Offer, Parameter
from journey_mcp.requests import ImageRequest

_RATIO_SWITCH = re.compile(r"(?:^|\s)--(?:ar|aspect)[\s=]+(\S+)", re.IGNORECASE)
_SHOWN = 60


def offers_of(request: ImageRequest, catalog: Catalog) -> tuple[Offer, ...]:
    """The offers of the model that the request names, the preferred provider first.

    Raises:
        EmptyPrompt: before anything else is looked at.
        UnknownModel: with the nearest names.
    """
    if not request.prompt.strip():
        raise EmptyPrompt(f"prompt={request.prompt!r} is empty: say what the picture shall show.")
    if request.model in catalog.offers:
        return catalog.offers[request.model]
    usable = list(catalog.offers_for(request.tool))
    near = difflib.get_close_matches(request.model.lower(), usable, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UnknownModel(
        f"model={request.model[:80]!r} is not known. {hint}{request.tool} takes: {', '.join(usable)}.",
        next_step=f"Call again with model={(near or usable)[0]!r} or another of these.",
    )


def obstacles(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    """Everything that keeps this offer from running this request; nothing when it fits."""
    yield from _picture_obstacles(request, offer, catalog)
    for name, value in request.options.items():
        parameter = offer.parameters.get(name)
        if parameter is None:
            yield _ignored(request, offer, name, value, catalog)
        elif problem := value_problem(value, parameter, has_pictures=bool(request.pictures)):
            advice = _ratio_advice(name, value, offer)
            yield UnsupportedValue(
                f"{offer.model} does not take {name}={_shown(value)}. It takes {problem}.",
                next_step=f"Change {name}, {advice or 'leave it out, or choose another model'}.",
            )


def prepare(request: ImageRequest, offer: Offer) -> tuple[ImageRequest, tuple[str, ...]]:
    """The request as it will be sent, and what the caller should know about it."""
    notices = list(offer.notices)
    switch = _RATIO_SWITCH.search(request.prompt) if offer.ratio_switch else None
    if switch and request.aspect_ratio:
        notices.append(
            f"--ar {switch[1]} in the prompt wins over aspect_ratio={request.aspect_ratio}, which was not sent."
        )
    if switch:
        request = replace(request, aspect_ratio=None)
    told = (offer.parameters.get(name) for name in request.options)
    notices += [parameter.notice for parameter in told if parameter and parameter.notice]
    return request, tuple(notices)


def _picture_obstacles(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    given, taken = len(request.pictures), offer.images
    if request.tool == "imagine" and offer.is_edit_only:
        yield EditOnlyModel(
            f"{offer.model} only edits pictures; imagine makes new ones.",
            next_step=f"Call edit_image with model={offer.model!r} and an image, or choose another model.",
        )
    elif given and not taken.is_taken:
        unstated = " as far as its provider tells" if taken.support == "unstated" else ""
        yield ImageNotTaken(
            f"{offer.model} takes no picture{unstated}.",
            next_step="Leave the picture out (imagine), or choose one of: "
            f"{', '.join(catalog.offers_for('edit_image'))}.",
        )
    elif request.tool == "edit_image" and not given:
        yield ImageRequired(
            "edit_image needs the picture to edit.",
            next_step="Give image: the id of an earlier picture (tsk_….2) or a public URL.",
        )
    elif given > taken.maximum and taken.is_taken:
        yield TooManyImages(
            f"{offer.model} takes at most {taken.maximum} picture(s); {given} were given.",
            next_step=f"Give {taken.maximum} and describe the rest in the prompt.",
        )
    if request.mask is not None and taken.mask_field is None:
        yield _ignored(request, offer, "mask", "…", catalog)


def _ignored(request: ImageRequest, offer: Offer, name: str, value: Any, catalog: Catalog) -> UnsupportedOption:
    takers = [
        model
        for model, offers in catalog.offers_for(request.tool).items()
        if any(name in o.parameters or (name == "mask" and o.images.mask_field) for o in offers)
    ]
    who = f"Models that take it: {', '.join(takers)}" if takers else "No configured model takes it"
    return UnsupportedOption(
        f"{offer.model} would ignore {name}={_shown(value)}. {who}.",
        next_step=f"Leave {name} out" + (", or choose one of these models." if takers else "."),
    )


def value_problem(value: Any, parameter: Parameter, *, has_pictures: bool) -> str | None:
    """What is allowed instead, when the value is not; `None` when it is."""
    if parameter.values is not None:
        return None if value in parameter.values else ", ".join(parameter.values)
    if isinstance(value, str):
        if parameter.max_length is not None and len(value) > parameter.max_length:
            return f"at most {parameter.max_length} characters; {len(value)} were given"
        return _ratio_problem(value, parameter)
    return _number_problem(value, parameter, has_pictures=has_pictures)


def _ratio_problem(value: str, parameter: Parameter) -> str | None:
    low, high = (AspectRatio.parse(str(bound)) for bound in (parameter.minimum, parameter.maximum))
    if low is None or high is None:
        return None
    ratio = AspectRatio.parse(value)
    if (
        ratio
        and low.width * ratio.height <= ratio.width * low.height
        and (ratio.width * high.height <= high.width * ratio.height)
    ):
        return None
    return f"W:H from {low} to {high}"


def _number_problem(value: float, parameter: Parameter, *, has_pictures: bool) -> str | None:
    maximum = parameter.maximum
    if has_pictures and parameter.maximum_with_images is not None:
        maximum = parameter.maximum_with_images
    low = float(parameter.minimum) if parameter.minimum is not None else float("-inf")
    high = float(maximum) if maximum is not None else float("inf")
    step = parameter.multiple_of
    if low <= value <= high and not (step and value % step):
        return None
    multiple = f", in steps of {step}" if step else ""
    return f"numbers from {low:g} to {high:g}{multiple}"


def _ratio_advice(name: str, value: Any, offer: Offer) -> str | None:
    if name == "aspect_ratio" and offer.ratio_switch and AspectRatio.parse(str(value)):
        return f"or leave aspect_ratio out and end the prompt with --ar {value}"
    return None


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
