"""Runs: several requests of one command, each of which is made once, however often the run is resumed."""

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.requests import ImageRequest

_ID = re.compile(r"run_(\d{8})_[0-9a-f]{8}_[0-9a-f]{8}")
_NOTHING_SENT = "Nothing was sent and nothing was charged."


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """The place of one request in a run; it is part of the request's deduplication key."""

    run_id: str
    index: int
    """From 1."""


def new_run_id(requests: Sequence[ImageRequest], now: float) -> str:
    """Return the id of a run that begins now: its day in UTC, 32 random bits, and a checksum of both and the requests.

    By the checksum, a mistyped id or other requests are noticed before anything is paid again.
    """
    beginning = f"run_{datetime.fromtimestamp(now, UTC):%Y%m%d}_{secrets.token_hex(4)}"
    return f"{beginning}_{_checksum(beginning, requests)}"


def check_run_id(run_id: str, requests: Sequence[ImageRequest], now: float, *, keep_days: int) -> None:
    """Check that the run with this id has exactly these requests, and that its tasks are still kept.

    Raises:
        InvalidArguments: it is no such id, the requests are others, or the run is too old.
    """
    match = _ID.fullmatch(run_id)
    if match is None:
        raise InvalidArguments(
            f"--run {run_id[:80]!r} is not the id of a run, such as run_20261129_1a2b3c4d_5e6f7a8b.",
            next_step=f"A run prints its id when it starts. {_NOTHING_SENT}",
        )
    beginning = run_id.rpartition("_")[0]
    if run_id != f"{beginning}_{_checksum(beginning, requests)}":
        raise InvalidArguments(
            f"--run {run_id}: the id is mistyped, or the run began with other requests or options than these.",
            next_step=f"Repeat the command that the run printed when it started, with the same prompts. "
            f"{_NOTHING_SENT}",
        )
    began = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC)
    if datetime.fromtimestamp(now, UTC) - began >= timedelta(days=keep_days):
        raise InvalidArguments(
            f"--run {run_id} began on {began:%Y-%m-%d}, and tasks are kept {keep_days} days: what it has paid for is "
            "not known any more.",
            next_step=f"Leave out --run to begin a new run, which is paid. {_NOTHING_SENT}",
        )


def _checksum(beginning: str, requests: Sequence[ImageRequest]) -> str:
    plain = [beginning, [request.as_plain() for request in requests]]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
