"""The calendar of polls: a poll is when it is wanted, or as soon afterwards as there is room."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from journey_mcp.engine.poll_calendar import REQUESTS_PER_S, PollCalendar


def test_a_poll_is_when_it_is_wanted() -> None:
    """Unless it would be the sixth in its tenth of a second."""
    calendar = PollCalendar(batch_limit=1)
    assert [calendar.book(100.25) for _ in range(5)] == [100.25] * 5
    assert calendar.book(100.25) == 100.3


def test_a_provider_that_takes_batches_gets_as_many_requests_for_more_tasks() -> None:
    """A batch counts as one request."""
    calendar = PollCalendar(batch_limit=20)
    booked = [calendar.book(7.0) for _ in range(1000)]
    assert (booked.count(7.0), max(booked)) == (100, 7.9)


def test_a_time_that_is_given_back_is_booked_again() -> None:
    """Also one that was not the wanted one."""
    calendar = PollCalendar(batch_limit=1)
    booked = [calendar.book(3.0) for _ in range(11)]
    for at in (booked[10], booked[9]):
        calendar.release(at)
    assert [calendar.book(3.0), calendar.book(3.0)] == [3.1, 3.2]


@given(st.lists(st.floats(0, 20), max_size=300))
def test_no_second_has_more_polls_than_there_is_room_for(wanted: list[float]) -> None:
    """And none is early."""
    calendar = PollCalendar(batch_limit=1)
    booked = [calendar.book(at) for at in wanted]
    assert all(at >= early for at, early in zip(booked, wanted, strict=True))
    per_second = [sum(second <= at < second + 1 for at in booked) for second in range(30)]
    assert max(per_second) <= REQUESTS_PER_S


@settings(max_examples=25)
@given(st.lists(st.one_of(st.sampled_from([0.0, 9.9, 10.0, 19.95, 30.0]), st.integers(0, 5000)), max_size=60))
def test_the_first_time_with_room_is_found_beyond_full_blocks(steps: list[float | int]) -> None:
    """As a search slot by slot finds it; an integer gives back the booking of that number."""
    calendar, room = PollCalendar(batch_limit=1), REQUESTS_PER_S // 10
    booked = [calendar.book(0.0) for _ in range(2_600)]
    assert booked == [number // room / 10 for number in range(2_600)]
    slots = Counter(int(at * 10) for at in booked)
    for step in steps:
        if isinstance(step, int):
            at = booked.pop(step % len(booked))
            calendar.release(at)
            slots[int(at * 10)] -= 1
            continue
        free = next(slot for slot in itertools.count(int(step * 10)) if slots[slot] < room)
        booked.append(calendar.book(step))
        slots[free] += 1
        assert booked[-1] == (step if free == int(step * 10) else free / 10)
