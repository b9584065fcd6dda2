"""The order of a queue: fair between principals, first come, first served within each. No clock, store or tasks."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple


class Rank(NamedTuple):
    """Where an entry is in its queue: of two, the entry with the lower rank is served first."""

    fairness_round: int
    since: float
    """When the entry was created, in seconds of the Unix epoch."""
    task_id: str
    principal: str


class RemoteEntry(NamedTuple):
    """An entry of another worker, as last read from the store."""

    rank: Rank
    worker_id: str
    is_refused: bool
    """The provider refused it: its worker waits for the provider, and not only for room."""


class FairOrder:
    """The entries that wait, of this worker and of others.

    An entry is ranked when it joins: in the fairness round after its principal's last entry that waits, or in the
    round that is being served. Rounds follow each other; within a round, the entry that was created first is first.
    """

    def __init__(self) -> None:
        self._local: list[Rank] = []
        self._remote: list[Rank] = []

    def rank(self, task_id: str, principal: str, since: float) -> Rank:
        """Return the rank of an entry that joins now: before later entries of its principal."""
        waiting = [*self._local, *self._remote]
        same = [rank for rank in waiting if rank.principal == principal]
        if later := [rank.fairness_round for rank in same if rank.since > since]:
            return Rank(min(later), since, task_id, principal)
        current = min((rank.fairness_round for rank in waiting), default=0)
        following = max((rank.fairness_round + 1 for rank in same), default=0)
        return Rank(max(current, following), since, task_id, principal)

    def join(self, rank: Rank) -> None:
        """Add an entry of this worker."""
        insort(self._local, rank)

    def leave(self, rank: Rank) -> None:
        """Remove an entry of this worker."""
        self._local.remove(rank)

    def refresh(self, remote: Iterable[RemoteEntry]) -> None:
        """Replace the entries of other workers.

        A worker of which an entry was refused waits for the provider itself: none of its entries is counted, so that
        it keeps no other worker from trying.
        """
        entries = list(remote)
        refused = {entry.worker_id for entry in entries if entry.is_refused}
        self._remote = [entry.rank for entry in entries if entry.worker_id not in refused]

    @property
    def head(self) -> Rank | None:
        """The first entry of this worker."""
        return self._local[0] if self._local else None

    def is_next(self, rank: Rank) -> bool:
        """Return whether no entry of any worker comes before this one of ours."""
        return rank == self.head and not any(other < rank for other in self._remote)

    def position(self, rank: Rank) -> int:
        """Return the position of an entry of this worker among all, from 1."""
        return 1 + bisect_left(self._local, rank) + sum(other < rank for other in self._remote)
