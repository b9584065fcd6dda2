"""Submissions in flight: tasks that this process stores and sends, although their calls may be cancelled."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from journey_mcp.core.errors import InternalError, SubmissionUnconfirmed
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.callbacks import unconfirmed
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.poller import Poller
from journey_mcp.engine.queue import Queues
from journey_mcp.engine.submitter import Submitter

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class InFlight:
    """What is being submitted now; hands accepted tasks to the poller.

    A creating request is not cancelled with the call that asked for it: its answer may be paid for. The asyncio tasks
    here are outside of every cancel scope; `cancel_all` ends them.
    """

    def __init__(self, journal: Journal, queues: Queues, poller: Poller) -> None:
        self._journal = journal
        self._queues = queues
        self._poller = poller
        self._submissions: dict[str, asyncio.Task[None]] = {}
        self._starting: set[asyncio.Task[Any]] = set()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._submissions

    async def complete(self, start: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `start`, which stores a task; it completes though its caller is cancelled."""
        starting = asyncio.create_task(start)
        self._starting.add(starting)
        starting.add_done_callback(self._has_started)
        return await asyncio.shield(starting)

    def submit(self, task_id: str, submitter: Submitter) -> None:
        """Begin to submit a stored task."""
        self._submissions[task_id] = asyncio.create_task(self._submit(task_id, submitter))

    def resume_polling(self, task: Task) -> None:
        """Poll a leased task; one whose request has no answer yet is polled once it has."""
        if task.id not in self._submissions:
            self._poller.add(task)

    def close_queues(self) -> None:
        """End queued tasks, free of charge, and queue none any more."""
        self._queues.close()

    async def wait_for_answers(self, seconds: float) -> None:
        """Wait, at most so long, for the answers to requests that were sent.

        Queued tasks end, free of charge: their answers would come too late.
        """
        queued = self._queues.close()
        sent = {task for id_, task in self._submissions.items() if id_ in queued or self._is_sent(id_)}
        if sent:
            await asyncio.wait(sent, timeout=seconds)

    async def cancel_all(self) -> None:
        """Cancel the submissions that are left; the journal keeps their tasks as they are."""
        left = [*self._starting, *self._submissions.values()]
        for submission in left:
            submission.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _has_started(self, starting: asyncio.Task[Any]) -> None:
        self._starting.discard(starting)
        if not starting.cancelled():
            starting.exception()  # when the caller was cancelled, nobody else retrieves it

    def _is_sent(self, task_id: str) -> bool:
        task = self._journal.get(task_id)
        return task is not None and task.submission is Submission.SENT

    async def _submit(self, task_id: str, submitter: Submitter) -> None:
        try:
            task, offer = await submitter.run()
        except Exception:  # noqa: BLE001  # the outermost boundary of background work
            report_id = secrets.token_hex(4)
            _log.exception("submission of task %s failed in our own code (report %s)", task_id, report_id)
            await self._end_after_fault(task_id, report_id)
        else:
            if task and task.handle and not task.status.is_final:
                # a synchronous model that answers with an id only has finished by then (C2), and one that has an
                # image while its status is still "processing" is about to
                self._poller.add(task, now=offer.synchronous or bool(task.images))
        finally:
            self._submissions.pop(task_id, None)

    async def _end_after_fault(self, task_id: str, report_id: str) -> None:
        """End a task after a fault in our code as unsent or unconfirmed; poll it if the provider has accepted it."""
        task = self._journal.get(task_id)
        if task is not None and task.submission is Submission.ACCEPTED:
            self._poller.add(task)
            return
        fault = InternalError(f"journey-mcp failed before anything was sent (report id {report_id}).")
        unclear = SubmissionUnconfirmed(
            f"journey-mcp failed while sending (report id {report_id}); the task may have been created."
        )

        def end(task: Task, now: float) -> Task:
            is_unsent = task.submission is Submission.PREPARED
            return task.refused(fault.failure, now) if is_unsent else unconfirmed(task, unclear.failure, now)

        await self._journal.change(task_id, end)
