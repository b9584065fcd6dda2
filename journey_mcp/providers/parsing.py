"""Parsing of single values in upstreams' bodies: an invalid value counts as absent."""

import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from journey_mcp.core.errors import Failure, GenerationFailed
from journey_mcp.core.images import OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.text import quoted
from journey_mcp.providers.http import read_url

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{0,30})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
"""Narrower than `Decimal`, which also accepts blanks, underscores and the digits of other scripts."""
_MAX_AMOUNT = Decimal(1_000_000_000)
_PLACES = 9
"""Decimal places. No provider bills finer; more would only make a message long."""
_MAX_WAIT_S = 3600.0
_SEED = re.compile(r"-?[0-9]{1,40}")
_MAX_IMAGES = 64
"""Far more than any model makes; each is stored, shown, and copied if its link expires soon."""
_MAX_URLS = 4 * _MAX_IMAGES
"""The URLs of one response that are parsed, valid or not."""


class Images(NamedTuple):
    """The images of one response."""

    kept: tuple[OutputImage, ...]
    notices: tuple[Notice, ...]
    """About the images that are not kept."""


def read_images(urls: Iterable[Any]) -> Images:
    """Return the first 64 images among these URLs; a value that is not a text does not count as an image."""
    given = [url for url in urls if isinstance(url, str) and url]
    usable = filter(None, map(read_url, islice(given, _MAX_URLS)))
    kept = tuple(OutputImage(url=url) for url in islice(usable, _MAX_IMAGES))
    if len(kept) == len(given) or not kept:
        return Images(kept, ())
    code = "images_left_out" if len(kept) == _MAX_IMAGES else "images_unusable"
    return Images(kept, (Notice.of(code, returned=len(given), kept=len(kept)),))


def read_amount(value: Any) -> Decimal | None:
    """Return money or credits, from a number or its text; not negative."""
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        return None
    amount = Decimal(str(value))
    if amount >= _MAX_AMOUNT:
        return None
    is_fine = int(amount.as_tuple().exponent) >= -_PLACES
    return amount if is_fine else round(amount, _PLACES)


def read_seconds(value: Any) -> float | None:
    """Return a time to wait; at most an hour."""
    seconds = read_amount(value)
    return None if seconds is None else min(float(seconds), _MAX_WAIT_S)


def read_share(value: Any) -> float | None:
    """Return a progress from 0.0 to 1.0; other scales are ambiguous."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def read_seed(value: Any) -> str | None:
    """Return a seed as text: an integer of at most 40 digits, given as a number or as text."""
    is_seed = isinstance(value, int | str) and not isinstance(value, bool) and _SEED.fullmatch(str(value))
    return str(value) if is_seed else None


def generation_failure(reason: Any) -> Failure:
    """Return the failure of a task that the provider accepted, with the provider's reason if it gave one."""
    if not reason:
        return GenerationFailed("The provider could not make the image and gave no reason.").failure
    return GenerationFailed(f"The provider could not make the image: {quoted(reason)}.").failure
