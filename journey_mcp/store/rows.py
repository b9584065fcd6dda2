"""Conversion between tasks and rows."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from journey_mcp.core.errors import Failure
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.money import Charges, Cost, Unit
from journey_mcp.core.notices import from_plain, to_plain
from journey_mcp.core.plain import compact_json, without_empty
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import DuplicatePolicy, Submission, Task
from journey_mcp.core.text import searchable
from journey_mcp.core.urls import webhook_host
from journey_mcp.store.schema import tasks

_COST = {"cost_unit", "cost_source"}
_QUEUE = {"queue_state", "queue_round", "queue_since"}
_NOT_READ = {
    "final",
    "lease_worker",
    "lease_until",
    "model",
    "outbox_due",
    "outbox_tries",
    "outbox_host",
    "search",
    "parent",
    *_COST,
} | _QUEUE
NEW = [column for column in tasks.c if column.name not in _QUEUE]
"""The columns that a new row sets."""
READ = [column for column in tasks.c if column.name not in _NOT_READ]
"""The columns from which a task is read."""
_REQUEST_READ = 2_000
LISTED = [
    *(column for column in READ if column is not tasks.c.request),
    *(tasks.c.model, sa.func.substr(tasks.c.request, 1, _REQUEST_READ).label(tasks.c.request.name)),
]
"""The same for a listing, which reads only the beginning of a long prompt."""
_CUT_REQUEST = re.compile(r'\{"tool":"(\w+)",(?:"action":"(\w+)",)?"prompt":"((?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])*)')
CHANGING = (
    *("provider", "base_url", "updated_at", "status", "final", "submission", "prediction_id", "outcome"),
    *("micro_credits", "micro_usd", "cost_unit", "cost_source", "duplicate_policy", "sealed_key"),
)
"""The columns that a change of a task sets."""
_IMAGE = [field.name for field in fields(OutputImage) if field.name not in {"saved_to", "is_stored", "public_link"}]
_FAILURE = [field.name for field in fields(Failure)]
MICRO = 1_000_000
"""Money is stored in whole millionths, so that a database adds it without rounding."""
_NOTHING = Decimal(0)

_log = logging.getLogger(__name__)


def micro(amount: Decimal) -> int:
    """Return the amount in millionths."""
    return int(amount * MICRO)


def to_row(task: Task) -> dict[str, Any]:
    """Return all columns of a new task but its lease."""
    return {
        "id": task.id,
        "principal": task.principal,
        "created_at": task.created_at,
        "request": compact_json(task.request.as_plain()),
        "model": task.request.model,
        # no database searches behind U+0000
        "search": searchable(f"{task.request.prompt}\n{task.request.model}").replace("\0", " "),
        "deduplication_key": task.deduplication_key,
        "outbox_due": None if task.request.webhook_url is None else 0.0,
        "outbox_tries": 0,
        "outbox_host": None if task.request.webhook_url is None else webhook_host(task.request.webhook_url),
        "parent": _parent(task.request),
        **changing(task),
    }


def _parent(request: ImageRequest) -> str | None:
    is_refined = request.action is not None and request.image is not None and ImageId.parse(request.image)
    return request.image if is_refined else None


def changing(task: Task) -> dict[str, Any]:
    """Return the columns that a change of the task sets."""
    return {
        "provider": task.provider,
        "base_url": task.base_url,
        "updated_at": task.updated_at,
        "status": task.status.value,
        "final": task.status.is_final,
        "submission": task.submission.value,
        "prediction_id": task.prediction_id,
        "outcome": compact_json(_outcome(task)),
        "micro_credits": micro(task.charges.get("credits", _NOTHING)),
        "micro_usd": micro(task.charges.get("usd", _NOTHING)),
        "cost_unit": task.cost and task.cost.unit,
        "cost_source": task.cost and task.cost.source,
        "duplicate_policy": task.duplicate_policy and task.duplicate_policy.value,
        # nothing is asked about a final task any more
        "sealed_key": "" if task.has_own_key and task.status.is_final else task.sealed_key,
    }


def _outcome(task: Task) -> dict[str, Any]:
    """Return the result so far, without what is not known."""
    plain = {
        "poll_url": task.poll_url,
        "webhook_secret": task.webhook_secret,
        "callback_deadline": task.callback_deadline,
        "progress": task.progress,
        "images": [_known(image, _IMAGE) for image in task.images],
        "grid_url": task.grid_url,
        "seed": task.seed,
        "cost": task.cost and {"amount": str(task.cost.amount), "unit": task.cost.unit, "source": task.cost.source},
        "notices": [to_plain(notice) for notice in task.notices],
        "transient_notices": [to_plain(notice) for notice in task.transient_notices],
        "failure": task.failure and _known(task.failure, _FAILURE),
    }
    return without_empty(plain)


def readable(row: Mapping[Any, Any]) -> Task | None:
    """Return the task of a row; `None` for one that cannot be read, which a newer version may have written."""
    if not row["request"]:
        return None  # deleted; only its cost is left
    try:
        return _from_row(row)
    except (ValueError, TypeError, KeyError):
        _log.exception("task %s in the store cannot be read", row["id"])
        return None


def listed(row: Mapping[Any, Any]) -> Task | None:
    """Return the task of a row of `LISTED`; of a long request, it has the tool, model and beginning of the prompt."""
    if len(row["request"]) == _REQUEST_READ and (cut := _CUT_REQUEST.match(row["request"])):
        return readable({**row, "request": f'{cut[0]}","model":{json.dumps(row["model"])}}}'})
    return readable(row)


def _from_row(row: Mapping[Any, Any]) -> Task:
    outcome = json.loads(row["outcome"])
    cost, failure = outcome.get("cost"), outcome.get("failure")
    return Task(
        id=row["id"],
        principal=Principal(row["principal"]),
        request=ImageRequest.from_plain(json.loads(row["request"])),
        provider=row["provider"],
        base_url=row["base_url"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        status=Status(row["status"]),
        submission=Submission(row["submission"]),
        prediction_id=row["prediction_id"],
        poll_url=outcome.get("poll_url"),
        webhook_secret=outcome.get("webhook_secret"),
        callback_deadline=outcome.get("callback_deadline"),
        progress=outcome.get("progress"),
        images=tuple(OutputImage(**image) for image in outcome.get("images", ())),
        grid_url=outcome.get("grid_url"),
        seed=outcome.get("seed"),
        cost=Cost(**{**cost, "amount": Decimal(cost["amount"])}) if cost else None,
        notices=tuple(map(from_plain, outcome.get("notices", ()))),
        transient_notices=tuple(map(from_plain, outcome.get("transient_notices", ()))),
        failure=Failure(**failure) if failure else None,
        charges=read_charges(row),
        deduplication_key=row["deduplication_key"],
        duplicate_policy=DuplicatePolicy(row["duplicate_policy"]) if row["duplicate_policy"] else None,
        sealed_key=row["sealed_key"],
    )


def read_charges(row: Mapping[Any, Any]) -> Charges:
    """Return what a row counts, in the units in which it counts anything."""
    millionths: dict[Unit, int] = {"credits": row["micro_credits"], "usd": row["micro_usd"]}
    return {unit: Decimal(count) / MICRO for unit, count in millionths.items() if count}


def _known(value: OutputImage | Failure, names: Sequence[str]) -> dict[str, Any]:
    """Return the fields that are known, without the copies that `asdict` makes: a task is stored several times."""
    return without_empty({name: getattr(value, name) for name in names})
