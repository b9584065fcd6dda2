"""Validation: whether an offer takes a request, and what prevents it; decided before anything is paid."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from journey_mcp.core.errors import (
    DataNotTaken,
    EditOnlyModel,
    EmptyPrompt,
    ImageNotTaken,
    ImageRequired,
    InvalidRequest,
    TooManyImages,
    UnreadablePrompt,
    UnsupportedOption,
    UnsupportedValue,
)
from journey_mcp.core.images import AspectRatio
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest, Tool
from journey_mcp.core.text import has_visible_text
from journey_mcp.registry import Catalog, Offer, Parameter, can_serve
from journey_mcp.routing import aspect_ratios, model_names, sizes, switches

_MAX_SHOWN = 60
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are not text."""


def offers_of(request: ImageRequest, catalog: Catalog) -> tuple[Offer, ...]:
    """Return the offers of the requested model, the preferred provider first; only the pinned provider's if any.

    Raises:
        EmptyPrompt, UnreadablePrompt: checked before anything else, unless the model takes no prompt.
        UnknownModel: with the nearest names.
        UnsupportedValue: the pinned provider is not configured, or does not offer the model.
    """
    if not has_visible_text(request.prompt) and _needs_prompt(request.model, catalog):
        raise EmptyPrompt(f"prompt={request.prompt[:_MAX_SHOWN]!r} is empty: describe the image.")
    _check_readable(request.prompt)
    if request.model in catalog.offers:
        return _pinned(request, catalog)
    raise model_names.unknown_model_error(request, catalog)


def _needs_prompt(model: str, catalog: Catalog) -> bool:
    offers = catalog.offers.get(model, ())
    return not offers or any(offer.prompt == "required" for offer in offers)


def with_checked_prompt(
    request: ImageRequest, offer: Offer, catalog: Catalog
) -> tuple[ImageRequest, tuple[Notice, ...]]:
    """Return the request with its prompt as the offer reads it, and the notices about it; without images and options.

    Raises:
        UnreadablePrompt, UnsupportedValue: the prompt cannot be sent as it is.
    """
    _check_readable(request.prompt)
    request, notices = _with_switches(request, offer, catalog)
    if problem := next(_prompt_violations(request, offer, catalog), None):
        raise problem
    return request, tuple(notices)


def _check_readable(prompt: str) -> None:
    if _REPLACEMENT in prompt:
        at = prompt.index(_REPLACEMENT)
        raise UnreadablePrompt(
            f"prompt={prompt[max(at - 20, 0) : at + 20]!r} contains U+FFFD: characters were lost before they "
            "reached this server.",
            next_step="Write these words again and call again.",
        )


def validate(
    request: ImageRequest, offer: Offer, catalog: Catalog, requires_upload: str | None = None
) -> tuple[ImageRequest, tuple[Notice, ...]]:
    """Return the request in the parameters of the offer, and the notices about it.

    `requires_upload` names an image that is not a URL, if there is one.

    Raises:
        InvalidRequest: the first violation.
    """
    request, notices = _with_switches(_without_automatic_ratio(request, offer), offer, catalog)
    for read in (_with_parsed_ratio, _without_unset_options):
        request, read_as = read(request, offer, catalog)
        notices += read_as
    if problem := next(_violations(request, offer, catalog, requires_upload), None):
        raise problem
    if offer.prompt == "none" and has_visible_text(request.prompt):
        notices.append(Notice.of("prompt_idle", offer=label(offer, catalog)))
    sized = sizes.with_size(request, offer)
    if sized is not request:
        given = request.aspect_ratio or ""
        notices.append(Notice.of("aspect_ratio_pixels", given=given, width=sized.width or 0, height=sized.height or 0))
    return sized, (*_registry_notes(offer.notices), *notices, *_registry_notes(_parameter_notes(request, offer)))


def _parameter_notes(request: ImageRequest, offer: Offer) -> Iterator[str]:
    for name in request.options:
        if (parameter := offer.parameters.get(name)) and parameter.notice:
            yield parameter.notice


def _registry_notes(texts: Iterable[str]) -> Iterator[Notice]:
    return (Notice.of("registry_note", text=text) for text in texts)


def image_problem(request: ImageRequest, offer: Offer, catalog: Catalog) -> InvalidRequest | None:
    """Return why the offer does not take this number of images or a mask; `None` when it does."""
    return next(_image_violations(request, offer, catalog), None)


def label(offer: Offer, catalog: Catalog) -> str:
    """Return the name of an offer in messages: the model, and its provider if several are configured."""
    return offer.model if len(catalog.providers) == 1 else f"{offer.model} at {offer.provider}"


def _pinned(request: ImageRequest, catalog: Catalog) -> tuple[Offer, ...]:
    offers = catalog.offers[request.model]
    if request.provider is None:
        return offers
    if request.provider not in catalog.providers:
        raise UnsupportedValue(
            f"provider={request.provider[:40]!r} is not configured (allowed: {', '.join(catalog.providers)}).",
            next_step="Leave provider out, name one of these, or " + ask_person("set the key of that provider."),
        )
    found = tuple(offer for offer in offers if offer.provider == request.provider)
    if not found:
        others = ", ".join(offer.provider for offer in offers if can_serve(offer, request.tool))
        its = models_of(request.provider, request.tool, catalog)
        raise UnsupportedValue(
            f"provider={request.provider} does not offer {request.model}"
            + (f"; {others} does." if others else ", and no other provider offers it for this."),
            next_step=f"Leave provider out, or choose a model of {request.provider}: {', '.join(its)}.",
        )
    return found


def models_of(provider: str, tool: Tool, catalog: Catalog) -> list[str]:
    """Return the models of this provider that the tool can use."""
    usable = catalog.offers_for(tool).items()
    return [model for model, offers in usable if any(offer.provider == provider for offer in offers)]


def _without_automatic_ratio(request: ImageRequest, offer: Offer) -> ImageRequest:
    """Return the request without the ratio `auto`, unless the offer has it; the offer's default applies."""
    parameter = offer.parameters.get("aspect_ratio")
    is_value = parameter is not None and "auto" in (parameter.values or ())
    return replace(request, aspect_ratio=None) if request.aspect_ratio == "auto" and not is_value else request


def _without_unset_options(request: ImageRequest, offer: Offer, catalog: Catalog) -> tuple[ImageRequest, list[Notice]]:
    """Return the request without `false` and 0 for options that the offer does not have.

    They have no effect: strict schemas make a model send every argument.
    """
    unset_options = {name: v for name, v in request.options.items() if v in (False, 0) and name not in offer.parameters}
    if not unset_options:
        return request, []
    notices = [
        Notice.of("option_idle", name=name, value=value, offer=label(offer, catalog))
        for name, value in unset_options.items()
        if value is not False
    ]
    unset: dict[str, Any] = dict.fromkeys(unset_options)
    return replace(request, **unset), notices


def _with_switches(request: ImageRequest, offer: Offer, catalog: Catalog) -> tuple[ImageRequest, list[Notice]]:
    """Return the request with its switches as the offer reads them, without the ratio that a switch overrides."""
    if not offer.switches:
        return request, []
    prompt, read_as = switches.with_hyphens(request.prompt, offer.switches)
    notices = [*read_as, *switches.warnings(prompt, offer.switches, label(offer, catalog))]
    ratio = switches.ratio(prompt, offer.switches) if offer.ratio_switch else None
    if ratio is None or request.aspect_ratio is None:
        return replace(request, prompt=prompt), notices
    notices.append(Notice.of("switch_wins", switch=ratio, given=request.aspect_ratio))
    return replace(request, prompt=prompt, aspect_ratio=None), notices


def _with_parsed_ratio(request: ImageRequest, offer: Offer, catalog: Catalog) -> tuple[ImageRequest, list[Notice]]:
    """Return the request with the ratio that its `aspect_ratio` means, if the offer does not take it as it is."""
    given, parameter = request.aspect_ratio, offer.parameters.get("aspect_ratio")
    if given is None or parameter is None or not _problem("aspect_ratio", given, parameter, request):
        return request, []
    parsed = aspect_ratios.parse(given)
    if parsed is None:
        return request, []
    taken = parsed.nearest(sizes.ratios_of(parameter)) if parameter.values else parsed.ratio
    if taken is None:
        return request, []
    notice = (
        Notice.of("aspect_ratio_read", given=given, taken=str(taken))
        if not parsed.ratio.distance(taken)
        else Notice.of("aspect_ratio_nearest", given=given, taken=str(taken), offer=label(offer, catalog))
    )
    return replace(request, aspect_ratio=str(taken)), [notice]


def _violations(
    request: ImageRequest, offer: Offer, catalog: Catalog, requires_upload: str | None
) -> Iterator[InvalidRequest]:
    yield from _prompt_violations(request, offer, catalog)
    yield from _image_violations(request, offer, catalog)
    yield from _option_violations(request, offer, catalog)
    yield from _size_violations(request, offer, catalog)
    if requires_upload and not offer.images.takes_data:
        yield DataNotTaken(
            f"{label(offer, catalog)} takes images as URLs only; {requires_upload}.",
            next_step=_step_for_data(request, catalog),
        )


HOSTING_STEP = "Or " + ask_person(
    "set JOURNEY_MCP_STORE, JOURNEY_MCP_PUBLIC_URL with serve --webhooks, or over HTTP JOURNEY_MCP_SERVER_URL: "
    "the provider then fetches it from there."
)
"""What a person can set up for a provider that takes URLs only."""


def _step_for_data(request: ImageRequest, catalog: Catalog) -> str | NextStep:
    """Return what to do with an image that has no public URL: a provider, else a model, else a key that takes it."""
    if same := [offer for offer in catalog.offers[request.model] if offer.images.takes_data]:
        return f"Call again with provider={_providers(same)}, or give a public URL."
    if other := _offer_taking_data(request, catalog):
        return (
            f"Call again with model={other.model!r}, which takes image data at {other.provider}, or give a public URL."
        )
    step: str | NextStep = "Give a public URL: no configured provider takes image data for this request."
    keys = [facts.key_variable for facts in catalog.taking_data.get(request.model, ())]
    if keys:
        step += " Or " + ask_person(f"set {' or '.join(keys)}: {request.model} takes it there.")
    return step + " " + HOSTING_STEP


def _offer_taking_data(request: ImageRequest, catalog: Catalog) -> Offer | None:
    """Return an offer of another model that takes the request with image data, a recommended one if possible."""
    usable = catalog.offers_for(request.tool)
    for model in sorted(usable, key=lambda id_: request.tool not in catalog.models[id_].recommended_for):
        for offer in usable[model]:
            if offer.images.takes_data and _takes(replace(request, model=model, provider=None), offer, catalog):
                return offer
    return None


def _takes(request: ImageRequest, offer: Offer, catalog: Catalog) -> bool:
    try:
        validate(request, offer, catalog)
    except InvalidRequest:
        return False
    return True


def _prompt_violations(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    if offer.prompt_max_length is not None and len(request.prompt) > offer.prompt_max_length:
        yield UnsupportedValue(
            f"{label(offer, catalog)} takes prompts of at most {offer.prompt_max_length} characters; "
            f"{len(request.prompt)} were given.",
            next_step="Shorten the prompt, or choose another model.",
        )
    for mistake in switches.mistakes(request.prompt, offer.switches) if offer.switches else ():
        if mistake.near:
            yield UnsupportedValue(
                f"{mistake.written} in the prompt is not a switch of {label(offer, catalog)}.",
                next_step=f"Did you mean {mistake.near}? Correct the prompt and call again; nothing was charged.",
            )
        else:
            yield UnsupportedValue(
                f"{mistake.written} in the prompt is not a value that {label(offer, catalog)} takes "
                f"(allowed: {mistake.allowed}).",
                next_step="Correct the prompt and call again; nothing was charged.",
            )


def _image_violations(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    given, taken = len(request.given_images), offer.images
    if request.tool == "imagine" and offer.is_edit_only and not given:
        yield EditOnlyModel(
            f"{label(offer, catalog)} only edits images; imagine makes new ones.",
            next_step=f"Call edit_image with model={offer.model!r} and an image, or choose another model.",
        )
    elif given and not taken.is_taken:
        unstated = " as far as its provider states" if taken.support == "unstated" else ""
        yield ImageNotTaken(
            f"{label(offer, catalog)} takes no image{unstated}.",
            next_step="Leave the image out (imagine), or choose one of: "
            f"{', '.join(catalog.offers_for('edit_image'))}.",
        )
    elif request.tool == "edit_image" and not given:
        yield ImageRequired(
            "edit_image needs the image to edit.",
            next_step="Give image: the id of an earlier image (tsk_….2) or a public URL.",
        )
    elif given > taken.maximum and taken.is_taken:
        yield TooManyImages(
            f"{label(offer, catalog)} takes at most {taken.maximum} image(s); {given} were given.",
            next_step=f"Give {taken.maximum} and describe the rest in the prompt.",
        )
    elif 0 < given < taken.minimum:
        yield ImageRequired(
            f"{label(offer, catalog)} needs at least {taken.minimum} images; {given} was given.",
            next_step="Add reference_images, or choose another model.",
        )
    if request.mask is not None and taken.mask_field is None:
        yield _ignored(request, offer, "mask", "…", catalog)


def _option_violations(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    given_options = request.options
    for name, value in given_options.items():
        parameter = offer.parameters.get(name)
        if parameter is None:
            yield _ignored(request, offer, name, value, catalog)
        elif problem := _problem(name, value, parameter, request):
            # the other side too, so that the caller corrects both at once
            other = offer.parameters.get("height") if name == "width" and request.height is not None else None
            both = (
                f" and height={request.height}" if other and _problem("height", request.height, other, request) else ""
            )
            yield UnsupportedValue(
                f"{label(offer, catalog)} does not take {name}={_shortened(value)}{both}. It takes {problem}.",
                next_step=_advice("width and height" if both else name, value, offer),
            )
    for names in offer.exclusive:
        given = [name for name in names if name in given_options]
        if len(given) > 1:
            yield UnsupportedOption(
                f"{label(offer, catalog)} takes only one of {' and '.join(given)}.",
                next_step=f"Leave out all of them but one: {', '.join(given)}.",
            )


def _size_violations(request: ImageRequest, offer: Offer, catalog: Catalog) -> Iterator[InvalidRequest]:
    width, height = request.width, request.height
    if (width is None) != (height is None):
        yield UnsupportedOption(
            f"{label(offer, catalog)} takes width and height together; one was given.",
            next_step="Give both, or neither.",
        )
    if width is None or height is None:
        return
    low, high = offer.min_pixels or 0, offer.max_pixels or width * height
    if not low <= width * height <= high:
        yield UnsupportedValue(
            f"{label(offer, catalog)} does not take {width}x{height}, which is {width * height} pixels. "
            f"It takes {low} to {high}.",
            next_step="Change width and height.",
        )


def _ignored(request: ImageRequest, offer: Offer, name: str, value: Any, catalog: Catalog) -> UnsupportedOption:
    supporting = [
        model
        for model, offers in catalog.offers_for(request.tool).items()
        if any(name in o.parameters or (name == "mask" and o.images.mask_field) for o in offers)
    ]
    sides = {side: given for side in ("width", "height") if (given := request.options.get(side))}
    ignored = sides if name in sides else {name: value}
    it, its = ("them", "their") if len(ignored) > 1 else ("it", "its")
    instead = (
        f", give {words} in {its} place" if name in sides and (words := _size_alternatives(request, offer)) else ""
    )
    return UnsupportedOption(
        f"{label(offer, catalog)} would ignore {' and '.join(f'{n}={_shortened(v)}' for n, v in ignored.items())}.",
        next_step=f"Leave {' and '.join(ignored)} out{instead}"
        + (
            f", or choose a model that takes {it}: {', '.join(supporting)}."
            if supporting
            else f"; no configured model takes {it}."
        ),
    )


def _problem(name: str, value: Any, parameter: Parameter, request: ImageRequest) -> str | None:
    if name == "aspect_ratio" and parameter.values is None and AspectRatio.parse(value) is None:
        return "W:H, such as 16:9"
    return value_problem(value, parameter, has_images=bool(request.given_images))


def value_problem(value: Any, parameter: Parameter, *, has_images: bool) -> str | None:
    """Return which values are allowed, if this one is not; `None` if it is."""
    if parameter.values is not None:
        return None if value in parameter.values else ", ".join(parameter.values)
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if parameter.max_length is not None and len(value) > parameter.max_length:
            return f"at most {parameter.max_length} characters; {len(value)} were given"
        return _ratio_problem(value, parameter)
    return _number_problem(value, parameter, has_images=has_images)


def _ratio_problem(value: str, parameter: Parameter) -> str | None:
    low, high = (AspectRatio.parse(str(bound)) for bound in (parameter.minimum, parameter.maximum))
    if low is None or high is None:
        return None
    ratio = AspectRatio.parse(value)
    return None if ratio and low <= ratio <= high else f"W:H from {low} to {high}"


def _number_problem(value: float, parameter: Parameter, *, has_images: bool) -> str | None:
    maximum = parameter.maximum
    if has_images and parameter.maximum_with_images is not None:
        maximum = parameter.maximum_with_images
    low = float(parameter.minimum) if parameter.minimum is not None else float("-inf")
    high = float(maximum) if maximum is not None else float("inf")
    step = parameter.multiple_of
    if low <= value <= high and not (step and value % step):
        return None
    multiple = f", in steps of {step}" if step else ""
    return f"numbers {_range(low, high)}{multiple}"


def _range(low: float, high: float) -> str:
    return f"from {low:g} to {high:g}" if high != float("inf") else f"from {low:g}"


def _advice(name: str, value: Any, offer: Offer) -> str:
    ratio = AspectRatio.parse(str(value)) if name == "aspect_ratio" else None
    if ratio and offer.ratio_switch:
        return f"Change {name}, or leave it out and end the prompt with --ar {value}."
    known = sizes.ratios_of(offer.parameters[name]) if ratio else []
    near = f" ({min(known, key=ratio.distance)} is the nearest)" if ratio and known else ""
    return f"Change {name}{near}, leave {'them' if ' and ' in name else 'it'} out, or choose another model."


def _size_alternatives(request: ImageRequest, offer: Offer) -> str:
    """Return the arguments in place of width and height: the nearest aspect ratio, and a size class if supported."""
    parameter = offer.parameters.get("aspect_ratio")
    known = sizes.ratios_of(parameter) if parameter else []
    words = ["aspect_ratio"] if parameter else []
    if known and request.width and request.height:
        words = [f"aspect_ratio={min(known, key=AspectRatio(request.width, request.height).distance)}"]
    if (classes := offer.parameters.get("resolution")) and classes.values:
        words.append(f"resolution ({', '.join(classes.values)})")
    return " and ".join(words)


def _providers(offers: Iterable[Offer]) -> str:
    names = [offer.provider for offer in offers]
    return " or ".join(names) if len(names) <= 2 else f"{', '.join(names[:-1])} or {names[-1]}"  # noqa: PLR2004  # a pair


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"
