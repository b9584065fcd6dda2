"""Callback URLs: where each provider reports a task, and until when it may report one whose request has no answer.

Such a webhook replaces an answer to a creating request that was lost, and makes frequent polls unnecessary.
"""

import hashlib
from dataclasses import dataclass

from journey_mcp.core.errors import Failure
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import Webhook
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.text import timestamp
from journey_mcp.providers.base import Account
from journey_mcp.providers.http import SUBMIT_TIMEOUT_S

_TOKEN_LENGTH = 32


@dataclass(frozen=True, slots=True)
class CallbackUrls:
    """The URLs at which providers report tasks; none if this process does not listen."""

    public_url: str | None = None
    """The address under which providers reach the listener."""

    def of(self, task: Task, account: Account) -> Webhook | None:
        """Return the webhook that the provider is given for this task; `None` if it calls no webhooks."""
        secret = task.callback_secret
        if self.public_url is None or secret is None or "webhook" not in account.features:
            return None
        return Webhook(url=f"{self.public_url}/{task.id}/{token_of(secret)}", secret=secret)

    def callback_deadline(self, task: Task, account: Account, now: float) -> float | None:
        """Return until when a request that is sent now may be reported by webhook.

        That is as long as the request may run at the provider, plus as long as the provider tries to deliver.
        """
        if self.of(task, account) is None:
            return None
        return now + (account.longest_run_s or SUBMIT_TIMEOUT_S) + (account.webhook_retries_s or 0.0)


def token_of(secret: str) -> str:
    """Return the part of a task's callback URL that is secret.

    One provider signs for the whole account: without this, its report on one task could be replayed for another.
    """
    return hashlib.sha256(secret.encode()).hexdigest()[:_TOKEN_LENGTH]


def unconfirmed(task: Task, failure: Failure, now: float) -> Task:
    """Return a task whose request was sent and has no answer: it waits for its webhook, or ends with `failure`."""
    if task.submission is Submission.ACCEPTED:
        return task  # its webhook arrived first
    if task.callback_deadline is None or now >= task.callback_deadline:
        return task.failed(failure.advising(_where_to_look(task)), now)
    until = timestamp(task.callback_deadline)
    notice = Notice.of("webhook_awaited", reason=failure.message, provider=task.provider, until=until)
    return task.noticed_transiently(notice, now)


def _where_to_look(task: Task) -> NextStep:
    sent_at = timestamp(task.updated_at)
    return "Do not simply repeat the call. " + ask_person(
        f"Look into the account at {task.provider} for a task of {task.request.label} made at about {sent_at}: "
        "if it is there, it was paid."
    )
