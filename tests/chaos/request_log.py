"""The request log of a sandbox, as the audit compares it with the journal."""

import json
from collections.abc import Mapping
from typing import Literal

from chaos.audit import Entry
from journey_mcp import sandbox
from journey_mcp.sandbox.request_log import Submission


def entries_of(
    upstream: sandbox.Running, public_url: str | None, tries: Mapping[str, int], *, mark: str = ""
) -> tuple[Entry, ...]:
    """Return the creating requests, each with the image URLs and the webhook's state of its task.

    `public_url` is the address for webhooks, and `tries` says for each service how often it posts one at most. With a
    mark, return only the requests of this call.
    """
    made = []
    for entry in upstream.sandbox.request_log.submissions:
        body = json.dumps(entry.request)
        if mark not in body:
            continue
        task = upstream.sandbox.tasks.find(entry.task_id or "")
        made.append(
            Entry(
                service=entry.service,
                outcome=entry.outcome,
                task_id=entry.task_id,
                body=body,
                urls=frozenset(task.image_urls_of if task else ()),
                webhook=_webhook(entry, upstream, tries) if task and public_url and public_url in body else None,
            )
        )
    return tuple(made)


def _webhook(
    entry: Submission, upstream: sandbox.Running, tries: Mapping[str, int]
) -> Literal["pending", "delivered", "given up"]:
    tried = [one.outcome for one in upstream.sandbox.request_log.deliveries if one.task_id == entry.task_id]
    if any(outcome.startswith("2") for outcome in tried):
        return "delivered"
    return "given up" if len(tried) >= tries[entry.service] else "pending"
