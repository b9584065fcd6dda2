"""Plain data."""

from journey_mcp.core.plain import without_empty


def test_entries_without_a_value_are_left_out() -> None:
    """Zero, false and an empty text are values."""
    given: dict[str, object] = {"a": None, "b": [], "c": (), "d": {}, "e": 0, "f": False, "g": "", "h": [None]}
    assert without_empty(given) == {"e": 0, "f": False, "g": "", "h": [None]}
