"""The order of a queue, as tables: who is served when, and at which position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.engine.fair_order import FairOrder, Rank, RemoteEntry


def joined(order: FairOrder, *entries: str) -> list[Rank]:
    """Add entries named by principal and number, such as `a0`, one second apart, and return their ranks."""
    ranks = []
    for since, name in enumerate(entries):
        ranks.append(order.rank(name, name[0], float(since)))
        order.join(ranks[-1])
    return ranks


def served(order: FairOrder) -> list[str]:
    """Serve all entries, one after another, and return them in that order."""
    names = []
    while head := order.head:
        names.append(head.task_id)
        order.leave(head)
    return names


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("", ""),
        ("a0 a1 a2", "a0 a1 a2"),
        ("a0 a1 a2 b0 b1 c0", "a0 b0 c0 a1 b1 a2"),
        ("a0 b0 b1 a1", "a0 b0 b1 a1"),
        ("a0 a1 b0 a2 c0", "a0 b0 c0 a1 a2"),
    ],
)
def test_rounds_are_fair_between_principals(entries: str, expected: str) -> None:
    """Within a round, and for one principal, the entry that was created first is served first."""
    order = FairOrder()
    joined(order, *entries.split())
    assert served(order) == expected.split()


def test_an_entry_joins_the_round_that_is_being_served() -> None:
    """Its principal has none that waits, so it does not wait for a round of the past or the future."""
    order = FairOrder()
    first, _, _ = joined(order, "a0", "a1", "a2")
    order.leave(first)
    rank = order.rank("b0", "b", 9.0)
    assert rank.fairness_round == 1
    order.join(rank)
    assert served(order) == ["a1", "b0", "a2"]


def test_an_entry_that_was_created_earlier_joins_before_later_ones_of_its_principal() -> None:
    """In their first round."""
    order = FairOrder()
    joined(order, "a1", "a2", "b0")
    rank = order.rank("a0", "a", -1.0)
    assert rank.fairness_round == 0
    order.join(rank)
    assert served(order) == ["a0", "a1", "b0", "a2"]


def test_entries_of_other_workers_count() -> None:
    """For the round that a new entry gets, for the positions, and for what is next."""
    order = FairOrder()
    order.refresh([RemoteEntry(Rank(0, 5.0, "a9", "a"), "other", is_refused=False)])
    a0 = order.rank("a0", "a", 6.0)
    b0 = order.rank("b0", "b", 7.0)
    order.join(a0)
    order.join(b0)
    assert (a0.fairness_round, b0.fairness_round) == (1, 0)
    assert (order.position(a0), order.position(b0)) == (3, 2)
    assert (order.head, order.is_next(b0)) == (b0, False)
    order.refresh([])
    assert (order.is_next(b0), order.is_next(a0), order.position(b0)) == (True, False, 1)


def test_a_worker_that_waits_for_the_provider_keeps_no_other_from_trying() -> None:
    """None of its entries counts."""
    order = FairOrder()
    (mine,) = joined(order, "a0")
    order.refresh(
        [
            RemoteEntry(Rank(-1, 0.0, "b0", "b"), "paused", is_refused=True),
            RemoteEntry(Rank(-1, 1.0, "c0", "c"), "paused", is_refused=False),
        ]
    )
    assert (order.is_next(mine), order.position(mine)) == (True, 1)
    order.refresh([RemoteEntry(Rank(-1, 1.0, "c0", "c"), "other", is_refused=False)])
    assert (order.is_next(mine), order.position(mine)) == (False, 2)


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_no_principal_is_served_twice_before_another_that_waits(principals: list[str]) -> None:
    """Whatever the mix: among those that wait from the start, counts of served entries differ by one at most."""
    order = FairOrder()
    joined(order, *(f"{principal}{number}" for number, principal in enumerate(principals)))
    left = {name: principals.count(name) for name in set(principals)}
    taken = dict.fromkeys(left, 0)
    for name in served(order):
        taken[name[0]] += 1
        left[name[0]] -= 1
        assert all(taken[name[0]] <= taken[other] + 1 for other, count in left.items() if count)
