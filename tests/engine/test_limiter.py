"""What refusals mean for the tasks that wait, as tables: numbers in, numbers out."""

import pytest

from journey_mcp.engine.limiter import AdaptiveLimit, Limiter


def test_a_learned_limit_grows_back_one_by_one() -> None:
    """To the configured number; without one, until it is forgotten."""
    adaptive_limit = AdaptiveLimit(None)
    assert adaptive_limit.at(0) is None
    adaptive_limit.adapt(7, 100)
    adaptive_limit.adapt(5, 101)
    adaptive_limit.adapt(9, 102)
    assert [adaptive_limit.at(102 + age) for age in (0, 299, 300, 1500, 3599, 3600)] == [5, 5, 6, 10, 16, None]
    adaptive_limit.adapt(0, 9000)
    assert adaptive_limit.at(9000) == 1
    configured = AdaptiveLimit(7)
    configured.adapt(5, 0)
    assert [configured.at(age) for age in (0, 300, 600, 900, 9e9)] == [5, 6, 7, 7, 7]
    configured.adapt(30, 9e9)
    assert configured.at(9e9) == 7


def test_the_longest_pause_counts() -> None:
    """A shorter one does not end it."""
    limiter = Limiter(None)
    assert limiter.is_unlimited(0)
    limiter.pause(30, 10)
    limiter.pause(5, 11)
    assert [limiter.pause_left_s(now) for now in (11, 40, 41)] == [29, 0, -1]
    assert [limiter.is_unlimited(now) for now in (39, 40)] == [False, True]
    assert not Limiter(5).is_unlimited(0)


@pytest.mark.parametrize(
    ("joined_at", "full_s", "may_move", "expected"),
    [
        (0, 0, False, 50),
        (0, 0, True, 50),
        (120, 0, False, 30),
        (120, 0, True, 30),
        (0, 20, False, 30),
        (0, 20, True, 50),
    ],
)
def test_an_entry_is_kept_out_since_the_refusal_or_since_it_joined(
    joined_at: float, full_s: float, may_move: bool, expected: float
) -> None:
    """The time for which tasks of ours filled the provider counts only for an entry that may move."""
    limiter = Limiter(None)
    joined = limiter.instant(joined_at)
    assert limiter.refused_s(joined, 100, may_move=may_move) == 0
    limiter.refused(100)
    limiter.was_full(full_s)
    assert limiter.refused_s(joined, 150, may_move=may_move) == expected


def test_refusals_end_when_a_task_that_was_sent_after_the_first_is_accepted() -> None:
    """A task that was sent before says nothing of the limit that was reached since."""
    limiter = Limiter(None)
    joined = limiter.instant(0)
    assert [limiter.refused(now) for now in (10, 20)] == [True, False]
    limiter.accepted(10)
    assert limiter.refused_s(joined, 30, may_move=False) == 20
    limiter.accepted(11)
    assert limiter.refused_s(joined, 30, may_move=False) == 0
    assert limiter.refused(40)
