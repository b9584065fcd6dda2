"""Submissions in flight: tasks that this process stores and sends, although their calls may be cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from journey_mcp.core.errors import InternalError, SubmissionUnconfirmed
from journey_mcp.core.reports import report
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.callbacks import unconfirmed
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.poller import Poller
from journey_mcp.engine.queue import Queues
from journey_mcp.engine.submitter import Submitter

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Started(Generic[_T]):
    """The result of storing a task."""

    result: _T
    submission: tuple[str, Submitter] | None = None
    """The id and the submitter of a new task; `None` if there is nothing to submit."""


class InFlight:
    """What is being submitted now; hands accepted tasks to the poller.

    A creating request is not cancelled with the call that asked for it: its answer may be paid for. The asyncio tasks
    here, one for each call, are outside of every cancel scope; `cancel_all` ends them.
    """

    def __init__(self, journal: Journal, queues: Queues, poller: Poller) -> None:
        self._journal = journal
        self._queues = queues
        self._poller = poller
        self._running: set[asyncio.Task[None]] = set()
        self._submissions: dict[str, asyncio.Task[None]] = {}
        """Those of them that submit a stored task."""

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._submissions

    async def start(self, store: Callable[[], Awaitable[Started[_T]]]) -> _T:
        """Return the result of `store`, and begin to submit the task that it stored.

        All of it completes though the caller is cancelled.
        """
        result: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(self._run(store, result))
        self._running.add(running)
        running.add_done_callback(partial(self._has_ended, result))
        return await result

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
        left = list(self._running)
        for running in left:
            running.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _has_ended(self, result: asyncio.Future[Any], running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if not result.done():
            result.cancel()

    def _is_sent(self, task_id: str) -> bool:
        task = self._journal.get(task_id)
        return task is not None and task.submission is Submission.SENT

    async def _run(self, store: Callable[[], Awaitable[Started[_T]]], result: asyncio.Future[_T]) -> None:
        try:
            started = await store()
        except Exception as error:  # noqa: BLE001  # the caller gets it, unless it was cancelled
            if not result.done():
                result.set_exception(error)
            return
        if not result.done():
            result.set_result(started.result)
        if started.submission is not None:
            await self._submit(*started.submission)

    async def _submit(self, task_id: str, submitter: Submitter) -> None:
        if running := asyncio.current_task():
            self._submissions[task_id] = running
        try:
            task, offer = await submitter.run()
        except Exception as error:  # noqa: BLE001  # the outermost boundary of background work
            await self._end_after_fault(task_id, report(f"submission of task {task_id} failed in our own code", error))
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
