"""Building blocks of the parameter lists of Vtrix's models."""

from collections.abc import Mapping

from journey_mcp.sandbox.parameters import Parameter

Parameters = Mapping[str, Parameter]

_SIZE_PATTERN = r"[1-9]\d{2,4}x[1-9]\d{2,4}"

PROMPT: Parameters = {"prompt": Parameter(kind="text", is_required=True)}
SEED: Parameters = {"seed": Parameter(kind="integer")}
FORMAT: Parameters = {"output_format": Parameter(kind="text", allowed=("jpeg", "png"))}
UPSAMPLING: Parameters = {"prompt_upsampling": Parameter(kind="flag")}
ANY = Parameter()


def short_prompt(longest: int) -> Parameters:
    """Return a prompt of at most `longest` characters."""
    return {"prompt": Parameter(kind="text", is_required=True, longest=longest)}


def input_images(count: int) -> Parameters:
    """Return input_image, input_image_2 and so on.

    They are base64 or a URL; whether a data prefix is required is not documented, so both are accepted.
    """
    names = ("input_image", *(f"input_image_{number}" for number in range(2, count + 1)))
    return {name: Parameter(kind="image") for name in names}


def safety(minimum: int) -> Parameters:
    """Return safety_tolerance from `minimum` to 6."""
    return {"safety_tolerance": Parameter(kind="integer", minimum=minimum, maximum=6)}


def sides(minimum: int, maximum: float, step: int | None = None) -> Parameters:
    """Return width and height."""
    side = Parameter(kind="integer", minimum=minimum, maximum=maximum, multiple_of=step)
    return {"width": side, "height": side}


def choice(*allowed: str) -> Parameter:
    """Return a text parameter with these allowed values."""
    return Parameter(kind="text", allowed=allowed)


def size(*names: str) -> Parameters:
    """Return a size parameter: one of these names, or WxH."""
    return {"size": Parameter(kind="text", pattern="|".join((*names, _SIZE_PATTERN)))}


def anything(*names: str) -> Parameters:
    """Return parameters whose values no source states."""
    return dict.fromkeys(names, ANY)
