"""Reading single values of upstreams' bodies: whatever makes no sense counts as not told."""

import re
from decimal import Decimal
from typing import Any

from journey_mcp.errors import Failure, GenerationFailed, cleaned, quoted

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{0,30})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
"""Narrower than `Decimal`, which also takes blanks, underscores and the digits of other scripts."""
_MOST = Decimal(1_000_000_000)
_PLACES = 9
"""No provider bills finer; more would only make a message long."""
_LONGEST_WAIT_S = 3600.0
_LONGEST_SEED = 80


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
    """A seed as text."""
    is_seed = isinstance(value, int | str) and not isinstance(value, bool)
    return cleaned(str(value), _LONGEST_SEED) or None if is_seed else None


def generation_failure(reason: Any) -> Failure:
    """That the provider accepted the task and failed it, in its own words if it has any."""
    if not reason:
        return GenerationFailed("The provider could not make the picture and gave no reason.").failure
    return GenerationFailed(f"The provider could not make the picture: {quoted(reason)}.").failure
