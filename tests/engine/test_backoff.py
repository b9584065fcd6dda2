"""Gaps between questions, and progress bars."""

from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.engine.backoff import Heartbeat, poll_delay, submit_delay


def test_polls_start_at_two_seconds_and_grow_by_half_to_ten() -> None:
    """With a tenth of jitter."""
    delays = [poll_delay(number, age_s=10, usual_s=(30, 90)) for number in range(8)]
    for delay, expected in zip(delays, [2, 3, 4.5, 6.75, 10, 10, 10, 10], strict=True):
        assert abs(delay - expected) <= expected * 0.1001


def test_a_late_task_is_asked_for_less_often() -> None:
    """The gap follows the lateness, to five minutes."""
    assert poll_delay(30, age_s=90 + 600, usual_s=(30, 90)) > 50
    assert poll_delay(30, age_s=86400, usual_s=(30, 90)) <= 330


def test_the_upstream_may_ask_for_patience() -> None:
    """Never sooner than told."""
    assert poll_delay(0, age_s=0, usual_s=None, retry_after_s=40) >= 40
    assert submit_delay(0, retry_after_s=40) >= 40


def test_tries_to_submit_grow_apart_to_half_a_minute() -> None:
    """From half a second."""
    assert 0.4 < submit_delay(0) < 0.6
    assert submit_delay(99) <= 33


@given(st.lists(st.tuples(st.floats(0, 3600), st.none() | st.floats(0, 1)), max_size=200))
def test_progress_strictly_increases_and_never_arrives(moments: list[tuple[float, float | None]]) -> None:
    """Whatever time and the provider tell."""
    heartbeat, last = Heartbeat(None), 0.0
    for elapsed_s, told in moments:
        shown = heartbeat.next(elapsed_s, told)
        assert last < shown < 1
        last = shown
