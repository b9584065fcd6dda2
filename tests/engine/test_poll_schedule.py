"""The schedule of the polls at one address: in which order, and in which batches."""

from dataclasses import dataclass

import pytest

from journey_mcp.engine.backoff import poll_delay, poll_slack
from journey_mcp.engine.poll_schedule import PollSchedule


def batch(schedule: PollSchedule[str], now: float) -> str:
    """Return the names of what is polled together at this time."""
    names = ""
    while len(names) < schedule.batch_limit and (name := schedule.pop(now, early=bool(names))):
        names += name
    return names


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ""),
        ({"a": (5.1, 0.0)}, ""),
        ({"a": (5.5, 1.0), "b": (5.6, 1.0)}, ""),
        ({"a": (5.0, 0.0), "b": (4.0, 0.0)}, "ba"),
        ({"a": (5.0, 0.0), "b": (5.9, 1.0), "c": (6.0, 1.0), "d": (6.1, 1.0)}, "abc"),
        ({"a": (5.0, 0.0), "b": (80.0, 75.0), "c": (7.5, 2.5)}, "acb"),
        ({"a": (5.0, 0.0), "b": (5.2, 0.0), "c": (5.3, 1.0)}, "a"),
        ({"a": (5.3, 1.0), "b": (5.1, 1.0), "c": (5.2, 1.0), "d": (4.9, 1.0), "e": (5.4, 1.0)}, "dbca"),
    ],
)
def test_a_batch_is_filled_with_what_is_due_next(wanted: dict[str, tuple[float, float]], expected: str) -> None:
    """At 5.0, if anything is due, up to the limit and up to the first whose slack does not reach."""
    schedule = PollSchedule[str](batch_limit=4)
    for name, (time, slack_s) in wanted.items():
        assert schedule.add(name, time, slack_s=slack_s) == time
    assert batch(schedule, 5.0) == expected


def test_a_poll_that_waits_for_room_may_fill_a_batch_from_when_it_was_wanted() -> None:
    """Its slack is that of the wanted time."""
    schedule = PollSchedule[str](batch_limit=1)
    assert [schedule.add(name, 2.0, slack_s=0.5) for name in "abcdef"] == [2.0] * 5 + [2.1]
    for _ in range(5):
        schedule.pop(2.0, early=False)
    assert [schedule.pop(now, early=True) for now in (1.4, 1.5)] == [None, "f"]


def test_the_next_poll_is_the_earliest() -> None:
    """Until nothing is scheduled."""
    schedule = PollSchedule[str](batch_limit=1)
    for name, time in (("b", 7.0), ("a", 3.0)):
        schedule.add(name, time, slack_s=0.0)
    seen = []
    while schedule:
        seen.append((schedule.next_due, schedule.pop(9.0, early=False)))
    assert seen == [(3.0, "a"), (7.0, "b")]
    assert schedule.next_due == float("inf")


def test_what_was_polled_leaves_its_room_to_others() -> None:
    """Five polls fit into a tenth of a second."""
    schedule = PollSchedule[str](batch_limit=1)
    assert [schedule.add(name, 2.0, slack_s=1.0) for name in "abcdef"] == [2.0] * 5 + [2.1]
    assert schedule.pop(2.0, early=False) == "a"
    assert schedule.add("g", 2.0, slack_s=1.0) == 2.0


@dataclass(eq=False)
class Running:
    """A task at the provider."""

    start: float
    end: float
    polls: int = 0


def polled_until_finished(tasks: list[Running], batch_limit: int) -> tuple[float, float, float]:
    """Poll these tasks; return requests and polls per task, and the mean time until an end is noticed."""
    schedule = PollSchedule[Running](batch_limit)
    started, requests, unnoticed_s = 0, 0, 0.0

    def add(task: Running, now: float) -> None:
        delay_s = poll_delay(task.polls, age_s=now - task.start, usual_s=(30, 90))
        schedule.add(task, now + delay_s, slack_s=poll_slack(delay_s))

    while schedule or started < len(tasks):
        if started < len(tasks) and tasks[started].start <= schedule.next_due:
            add(tasks[started], tasks[started].start)
            started += 1
            continue
        now, polled = schedule.next_due, list[Running]()
        while len(polled) < batch_limit and (task := schedule.pop(now, early=bool(polled))):
            polled.append(task)
        requests += 1
        for task in polled:
            task.polls += 1
            if task.end <= now:
                unnoticed_s += now - task.end
            else:
                add(task, now)
    return requests / len(tasks), sum(task.polls for task in tasks) / len(tasks), unnoticed_s / len(tasks)


@pytest.mark.parametrize(
    ("tasks", "per_second", "at_most"),
    [(20, 150.0, 0.9), (100, 150.0, 0.6), (2000, 150.0, 0.46), (600, 0.2, 2.8), (600, 1.0, 0.9), (600, 5.0, 0.49)],
)
def test_batches_spare_requests_and_delay_no_result(tasks: int, per_second: float, at_most: float) -> None:
    """Tasks take 30 to 90 s. One by one, without a limit, it is 8.9 polls of each, and 5 s until an end is noticed."""
    golden = (5**0.5 - 1) / 2  # its multiples fill the range evenly
    starts = [(number / per_second, 30 + 60 * (number * golden % 1)) for number in range(tasks)]
    running = [Running(start, start + duration_s) for start, duration_s in starts]
    requests, polls, unnoticed_s = polled_until_finished(running, batch_limit=20)
    assert requests <= at_most
    assert polls <= 9.8
    assert unnoticed_s <= 5.6
