"""Times as people read them."""

import pytest

from journey_mcp.clock import duration, timestamp


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (3590.0, "1 h"),
        (3601.0, "1 h 1 min"),
        (86399.0, "24 h"),
        (172799.0, "2 days"),
        (172801.0, "3 days"),
    ],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """Rounded up: whoever waits so long has waited long enough."""
    assert duration(seconds) == said


def test_a_moment_is_said_in_utc() -> None:
    """To the second."""
    assert timestamp(0.9) == "1970-01-01T00:00:00Z"
