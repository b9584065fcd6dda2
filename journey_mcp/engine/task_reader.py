"""Reading tasks for callers: from memory those that ended a while ago, from the store, or while they are leased."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.text import timestamp
from journey_mcp.engine.final_tasks import FinalTasks
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.liveness import ANSWERED_WITHIN_S, Liveness
from journey_mcp.store import Store
from journey_mcp.store.notifications import Notifications

_REFRESH_S = 0.5
"""How often waiting callers read tasks that another process leases, while no news of them arrive."""
_REFRESH_WITH_NEWS_S = 5.0
"""The same while news arrive: some may be lost."""


class TaskReader:
    """Reader of tasks, which reads again when other processes notify it of changes."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        news: Notifications,
        liveness: Liveness,
        final: FinalTasks,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._news = news
        self._liveness = liveness
        self._final = final

    @property
    def is_notified(self) -> bool:
        """Whether news of other processes arrive."""
        return self._news.is_live

    @property
    def refresh_s(self) -> float:
        """After how many seconds a waiting caller reads tasks of other processes without news of them."""
        return _REFRESH_WITH_NEWS_S if self.is_notified else _REFRESH_S

    async def run(self) -> None:
        """Read again what has changed in other processes, for ever."""
        await self._news.run(self._on_task, self._on_gap)

    def kept(self, task_id: str, *, principal: Principal) -> Task | None:
        """Return the principal's task of this id if it has ended and is in memory."""
        return self._final.get(task_id, principal=principal)

    async def known(self, task_ids: Sequence[str], *, principal: Principal) -> dict[str, Task]:
        """Return the principal's tasks among these; while the store cannot be read, those that are leased or kept.

        Raises:
            StoreUnavailable: the store cannot be read, and some of them are neither leased nor kept.
        """
        kept = {id_: task for id_ in task_ids if (task := self._final.get(id_, principal=principal))}
        others = [id_ for id_ in task_ids if id_ not in kept]
        if not others:
            return kept
        try:
            return {**kept, **await self.stored(others, principal=principal)}
        except StoreUnavailable:
            leased = {id_: task for id_ in others if (task := self._journal.get(id_)) and task.principal == principal}
            if len(leased) < len(set(others)):
                raise
            return {**kept, **leased}

    async def stored(self, task_ids: Sequence[str], *, principal: Principal) -> dict[str, Task]:
        """Return the principal's tasks among these, from the store; those that have ended are kept for `known`.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        found = await self._store.tasks.get(task_ids, principal=principal)
        for task in found.values():
            self._final.add(task)
        return found

    async def positions(self, task_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the positions of tasks in the queues of other processes; none if they cannot be read."""
        return await self._store.queue.positions(task_ids, now=self._clock.now()) if task_ids else {}

    def _on_task(self, task_id: str) -> None:
        self._final.forget(task_id)
        self._journal.refresh(task_id)

    def _on_gap(self) -> None:
        self._final.clear()
        self._journal.refresh_all()

    async def with_lost_senders(self, tasks: Mapping[str, Task]) -> dict[str, Task]:
        """Return the tasks with a notice for each whose answer only a worker can receive that seems to be dead."""
        sent = {id_ for id_, task in tasks.items() if _awaits_answer(task) and id_ not in self._journal}
        if not sent:
            return dict(tasks)
        try:
            addresses = {(tasks[id_].provider, None) for id_ in sent}
            orphans = await self._store.leases.orphans(now=self._clock.now(), addresses=addresses)
            lost = {task.id: worker_id for task, worker_id in orphans if task.id in sent}
            running = await self._liveness.running(set(lost.values()))
        except StoreUnavailable:
            return dict(tasks)
        return {
            id_: _with_lost_sender(task) if id_ in lost and not running[lost[id_]] else task
            for id_, task in tasks.items()
        }


def _awaits_answer(task: Task) -> bool:
    return task.submission is Submission.SENT and not task.status.is_final and task.callback_deadline is None


def _with_lost_sender(task: Task) -> Task:
    until = timestamp(task.updated_at + ANSWERED_WITHIN_S)
    return replace(task, notices=(*task.notices, Notice.of("sender_lost", until=until)))
