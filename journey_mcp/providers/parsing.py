"""Reading single values of upstreams' bodies: whatever makes no sense counts as not told."""

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
"""Narrower than `Decimal`, which also takes blanks, underscores and the digits of other scripts."""
_MOST = Decimal(1_000_000_000)
_PLACES = 9
"""No provider bills finer; more would only make a message long."""
_LONGEST_WAIT_S = 3600.0
_SEED = re.compile(r"-?[0-9]{1,40}")
_MOST_IMAGES = 64
"""Far more than any model makes; each is stored, shown, and copied if its link dies soon."""
_MOST_READ = 4 * _MOST_IMAGES
"""So many URLs of an answer are looked at, whatever becomes of them."""


class Images(NamedTuple):
    """The images of one answer."""

    kept: tuple[OutputImage, ...]
    notices: tuple[Notice, ...]
    """What the caller should know of those that are not kept."""


def read_images(urls: Iterable[Any]) -> Images:
    """The first 64 images among these, each a URL; what is no text is not taken for an image."""
    told = [url for url in urls if isinstance(url, str) and url]
    usable = filter(None, map(read_url, islice(told, _MOST_READ)))
    kept = tuple(OutputImage(url=url) for url in islice(usable, _MOST_IMAGES))
    if len(kept) == len(told) or not kept:
        return Images(kept, ())
    code = "images_left_out" if len(kept) == _MOST_IMAGES else "images_unusable"
    return Images(kept, (Notice.of(code, returned=len(told), kept=len(kept)),))


def read_amount(value: Any) -> Decimal | None:
    """Money or credits, from a number or its text; not negative."""
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        return None
    amount = Decimal(str(value))
    if amount >= _MOST:
        return None
    is_fine = int(amount.as_tuple().exponent) >= -_PLACES
    return amount if is_fine else round(amount, _PLACES)


def read_seconds(value: Any) -> float | None:
    """How long to wait; never more than an hour."""
    seconds = read_amount(value)
    return None if seconds is None else min(float(seconds), _LONGEST_WAIT_S)


def read_share(value: Any) -> float | None:
    """A progress from 0.0 to 1.0: other scales cannot be told apart."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def read_seed(value: Any) -> str | None:
    """A seed as text: a whole number of at most 40 digits, given as a number or as its text."""
    is_seed = isinstance(value, int | str) and not isinstance(value, bool) and _SEED.fullmatch(str(value))
    return str(value) if is_seed else None


def generation_failure(reason: Any) -> Failure:
    """That the provider accepted the task and failed it, in its own words if it has any."""
    if not reason:
        return GenerationFailed("The provider could not make the picture and gave no reason.").failure
    return GenerationFailed(f"The provider could not make the picture: {quoted(reason)}.").failure
