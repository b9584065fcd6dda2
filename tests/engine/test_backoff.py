"""Delays of polls and retries, and progress bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.errors import RateLimited, Unreachable
from journey_mcp.engine.backoff import Heartbeat, poll_delay, poll_slack, retry_delay, submit_delay


def test_polls_start_at_two_seconds_and_grow_by_half_to_ten() -> None:
    """With a tenth of jitter."""
    delays = [poll_delay(number, age_s=10, usual_s=(30, 90)) for number in range(8)]
    for delay, expected in zip(delays, [2, 3, 4.5, 6.75, 10, 10, 10, 10], strict=True):
        assert abs(delay - expected) <= expected * 0.1001


def test_a_late_task_is_polled_less_often() -> None:
    """The delay grows with the excess, to five minutes."""
    assert poll_delay(30, age_s=90 + 600, usual_s=(30, 90)) > 50
    assert poll_delay(30, age_s=86400, usual_s=(30, 90)) <= 330


def test_a_retry_after_is_the_least_delay() -> None:
    """Of polls and of retries."""
    assert poll_delay(0, age_s=0, usual_s=None, retry_after_s=40) >= 40
    assert submit_delay(0, retry_after_s=40) >= 40


@pytest.mark.parametrize(
    ("delay_s", "retry_after_s", "is_backup", "expected"),
    [
        (0.0, None, False, 0.0),
        (0.5, None, False, 0.5),
        (2.0, None, False, 1.0),
        (10.0, None, False, 2.5),
        (300.0, None, False, 75.0),
        (40.0, 40.0, False, 0.0),
        (10.0, 8.0, False, 2.0),
        (10.0, 1.0, False, 2.5),
        (88.0, None, True, 1.0),
        (30.0, 30.0, True, 0.0),
    ],
)
def test_a_poll_may_be_early_by_a_quarter_of_its_delay(
    delay_s: float, retry_after_s: float | None, is_backup: bool, expected: float
) -> None:
    """By a second at least; as a backup, by no more. Never before the end of a retry-after, or in the past."""
    assert poll_slack(delay_s, retry_after_s=retry_after_s, is_backup=is_backup) == expected


def test_polls_of_tasks_that_were_polled_together_can_be_together_again() -> None:
    """The slack of the last one reaches back to the first one, in spite of jitter."""
    for number in range(8):
        delays = [poll_delay(number, age_s=10, usual_s=(30, 90)) for _ in range(200)]
        assert max(delay - poll_slack(delay) for delay in delays) <= min(delays)


def test_the_delay_of_retries_grows_to_half_a_minute() -> None:
    """From half a second."""
    assert 0.4 < submit_delay(0) < 0.6
    assert submit_delay(99) <= 33


@pytest.mark.parametrize(
    ("tries", "has_alternative", "is_retried"),
    [(0, False, True), (2, False, True), (3, False, False), (0, True, False)],
)
def test_without_a_connection_the_only_provider_is_tried_three_times_more(
    tries: int, has_alternative: bool, is_retried: bool
) -> None:
    """If there is another one, it is tried at once."""
    delay_s = retry_delay(Unreachable("no route"), tries, 0.0, has_alternative=has_alternative)
    assert (delay_s is not None) is is_retried


@pytest.mark.parametrize(
    ("retry_after_s", "refused_s", "has_alternative", "expected"),
    [
        (None, 0, False, (0.45, 0.55)),
        (30, 0, False, (30, 30)),
        (30, 0, True, None),
        (9, 0, True, (9, 9)),
        (9, 2, True, None),
        (None, 9.9, True, (0.09, 0.11)),
        (None, 10, True, None),
        (None, 599.9, False, (0.09, 0.11)),
        (None, 600, False, None),
        (601, 0, False, None),
    ],
)
def test_at_its_limit_a_provider_is_tried_until_the_longest_wait_ends(
    retry_after_s: float | None, refused_s: float, has_alternative: bool, expected: tuple[float, float] | None
) -> None:
    """Ten minutes, or ten seconds if there is another provider; the last try is at the end of that time."""
    error = RateLimited("full", retry_after_s=retry_after_s)
    delay_s = retry_delay(error, 0, refused_s, has_alternative=has_alternative)
    if expected is None:
        assert delay_s is None
    else:
        assert delay_s is not None
        assert expected[0] <= delay_s <= expected[1]


@given(st.lists(st.tuples(st.floats(0, 3600), st.none() | st.floats(0, 1)), max_size=200))
def test_progress_strictly_increases_and_never_reaches_one(moments: list[tuple[float, float | None]]) -> None:
    """For any time and any reported progress."""
    heartbeat, last = Heartbeat(None), 0.0
    for elapsed_s, reported in moments:
        shown = heartbeat.next(elapsed_s, reported)
        assert last < shown < 1
        last = shown
