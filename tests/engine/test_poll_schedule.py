"""The schedule of the polls at one address: in which order, and in which batches."""

import pytest

from journey_mcp.engine.poll_schedule import PollSchedule


def batch(schedule: PollSchedule[str], now: float) -> str:
    """Return the names of what is polled together at this time."""
    names = ""
    while len(names) < schedule.batch_limit and (name := schedule.pop(now, early=bool(names))):
        names += name
    return names


@pytest.mark.parametrize(
    ("wanted", "now", "expected"),
    [
        ({}, 5.0, ""),
        ({"a": 5.1}, 5.0, ""),
        ({"a": 5.0, "b": 4.0}, 5.0, "ba"),
        ({"a": 5.0, "b": 5.9, "c": 6.0, "d": 6.1}, 5.0, "abc"),
        ({"a": 5.5, "b": 5.6}, 5.0, ""),
        ({"a": 5.3, "b": 5.1, "c": 5.2, "d": 4.9, "e": 5.4}, 5.0, "dbca"),
    ],
)
def test_a_batch_is_filled_with_what_is_due_next(wanted: dict[str, float], now: float, expected: str) -> None:
    """If anything is due, up to the limit; what is due within a second is early then."""
    schedule = PollSchedule[str](batch_limit=4)
    for name, time in wanted.items():
        assert schedule.add(name, time) == time
    assert batch(schedule, now) == expected


def test_the_next_poll_is_the_earliest() -> None:
    """Until nothing is scheduled."""
    schedule = PollSchedule[str](batch_limit=1)
    for name, time in (("b", 7.0), ("a", 3.0)):
        schedule.add(name, time)
    seen = []
    while schedule:
        seen.append((schedule.next_due, schedule.pop(9.0, early=False)))
    assert seen == [(3.0, "a"), (7.0, "b")]
    assert schedule.next_due == float("inf")


def test_what_was_polled_leaves_its_room_to_others() -> None:
    """Five polls fit into a tenth of a second."""
    schedule = PollSchedule[str](batch_limit=1)
    assert [schedule.add(name, 2.0) for name in "abcdef"] == [2.0] * 5 + [2.1]
    assert schedule.pop(2.0, early=False) == "a"
    assert schedule.add("g", 2.0) == 2.0
