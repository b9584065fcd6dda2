"""The registry's facts about an offer, as text."""

from collections.abc import Iterator

from journey_mcp.cli.cooldowns import describe
from journey_mcp.cli.phrasing import COMMANDS, option
from journey_mcp.registry import ImageInput, Model, Offer, Parameter, can_serve
from journey_mcp.store.cooldowns import Cooldown

YES_NO: dict[bool | None, str] = {True: "yes", False: "no", None: "not stated"}
IMAGE = {"none": "none", "optional": "may be given", "required": "needed", "unstated": "not stated"}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def cost(offer: Offer) -> str | None:
    """Return the list price of an image; `None` if it is not stated."""
    if offer.credits is not None:
        return f"{offer.credits:f} credits"
    return f"{offer.usd:f} usd" if offer.usd is not None else None


def offer_lines(offer: Offer, cooldown: Cooldown | None) -> Iterator[str]:
    """Describe an offer, without the details of its wire format."""
    yield f"At {offer.provider} as {offer.wire_id}"
    yield from (f"  {line}" for line in _lines(offer, cooldown))


def source_lines(facts: Model | Offer) -> Iterator[str]:
    """Name the sources, and when they were checked."""
    for source in facts.sources:
        yield f"Source: {source} ({facts.checked})"


def _lines(offer: Offer, cooldown: Cooldown | None) -> Iterator[str]:
    if cooldown is not None:
        yield f"Tried last: {describe(cooldown)}"
    yield f"Commands: {', '.join(name for tool, name in COMMANDS.items() if can_serve(offer, tool))}"
    more = f", plus {offer.further_megapixel:f} for each megapixel beyond the first" if offer.further_megapixel else ""
    yield f"Cost: {cost(offer) or 'not stated'}{more}"
    yield f"Result: {'four images and a contact sheet' if offer.result == 'grid' else 'one image'}"
    yield f"English only: {YES_NO[offer.english_only]}"
    if offer.prompt_max_length is not None:
        yield f"Prompts: at most {offer.prompt_max_length:,} characters"
    yield f"Image: {_image(offer.images)}"
    if offer.usual_duration_s:
        yield "Usual duration: {} to {} s".format(*offer.usual_duration_s)
    if offer.expires_after_s:
        yield f"Links expire after: {_duration(offer.expires_after_s)}"
    yield from _option_lines(offer)
    for notice in offer.notices:
        yield f"Notice: {notice}"
    for note in offer.notes:
        yield f"Note: {note}"
    yield from source_lines(offer)


def _option_lines(offer: Offer) -> Iterator[str]:
    if offer.ratio_switch:
        yield "--ar W:H in the prompt sets any aspect ratio"
    for name, parameter in offer.parameters.items():
        off = f", {option(f'no_{name}')}" if name == "prompt_upsampling" else ""
        yield f"{option(name)}{off}: {_parameter(parameter)}"
    if offer.ratio_pixels is not None:
        yield f"--aspect-ratio is sent as width and height, about {offer.ratio_pixels:,} pixels in total"
    if offer.size_field is not None:
        yield "--width and --height must be given together"
    if offer.min_pixels is not None or offer.max_pixels is not None:
        yield f"--width times --height: {_range(_with_commas(offer.min_pixels), _with_commas(offer.max_pixels))} pixels"
    for names in offer.exclusive:
        yield f"Only one of {', '.join(map(option, names))}"


def _image(taken: ImageInput) -> str:
    parts = [IMAGE[taken.support]]
    if taken.is_taken:
        count = f"{taken.minimum} to {taken.maximum}" if taken.minimum > 1 else f"at most {taken.maximum}"
        mask = ", with a mask" if taken.mask_field else ""
        parts[0] += f", {count}{mask}"
        parts += [_encodings(taken), *_limits(taken)]
    return "; ".join(parts)


def _encodings(taken: ImageInput) -> str:
    has_url, has_data = "url" in taken.encodings, set(taken.encodings) != {"url"}
    if has_url and has_data:
        return "sent as URL or as data"
    return "sent as URL" if has_url else "sent as data"


def _limits(taken: ImageInput) -> Iterator[str]:
    if taken.formats is not None:
        yield ", ".join(taken.formats)
    if taken.max_bytes is not None:
        yield f"at most {taken.max_bytes:,} bytes"
    if taken.max_pixels is not None:
        yield f"at most {taken.max_pixels:,} pixels"
    if taken.min_side is not None:
        yield f"each side at least {taken.min_side} pixels"


def _parameter(parameter: Parameter) -> str:
    parts = []
    if parameter.values:
        parts.append(", ".join(parameter.values))
    if parameter.minimum is not None or parameter.maximum is not None:
        parts.append(_range(parameter.minimum, parameter.maximum))
    if parameter.maximum_with_images is not None:
        parts.append(f"at most {parameter.maximum_with_images} with an image")
    if parameter.multiple_of is not None:
        parts.append(f"a multiple of {parameter.multiple_of}")
    if parameter.max_length is not None:
        parts.append(f"at most {parameter.max_length} characters")
    if parameter.default is not None:
        parts.append(f"default {_on_off(parameter.default)}")
    if parameter.notice:
        parts.append(f"notice: {parameter.notice}")
    return "; ".join(parts) or "any value"


def _range(low: object, high: object) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _on_off(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _with_commas(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _duration(seconds: int) -> str:
    """Return the duration in the largest unit that fits."""
    name, size = next((unit for unit in _UNITS if seconds >= unit[1]), ("second", 1))
    count = seconds / size
    return f"{count:g} {name}{'' if count == 1 else 's'}"
