"""Gaps between questions, and progress bars."""

from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.engine.backoff import Heartbeat, poll_gap, submit_gap


def test_polls_start_at_two_seconds_and_grow_by_half_to_ten() -> None:
    """With a tenth of jitter."""
    gaps = [poll_gap(number, age_s=10, usual_s=(30, 90)) for number in range(8)]
    for gap, expected in zip(gaps, [2, 3, 4.5, 6.75, 10, 10, 10, 10], strict=True):
        assert abs(gap - expected) <= expected * 0.1001


def test_a_late_task_is_asked_for_less_often() -> None:
    """The gap follows the lateness, to five minutes."""
    assert poll_gap(30, age_s=90 + 600, usual_s=(30, 90)) > 50
    assert poll_gap(30, age_s=86400, usual_s=(30, 90)) <= 330


def test_the_upstream_may_ask_for_patience() -> None:
    """Never sooner than told."""
    assert poll_gap(0, age_s=0, usual_s=None, told_s=40) >= 40
    assert submit_gap(0, told_s=40) >= 40


def test_tries_to_submit_grow_apart_to_half_a_minute() -> None:
    """From half a second."""
    assert 0.4 < submit_gap(0) < 0.6
    assert submit_gap(99) <= 33


@given(st.lists(st.tuples(st.floats(0, 3600), st.none() | st.floats(0, 1)), max_size=200))
def test_progress_strictly_increases_and_never_arrives(moments: list[tuple[float, float | None]]) -> None:
    """Whatever time and the provider tell."""
    heartbeat, last = Heartbeat(None), 0.0
    for elapsed_s, told in moments:
        shown = heartbeat.next(elapsed_s, told)
        assert last < shown < 1
        last = shown
