"""Validation of parameters: a table of problems and their messages."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from typing import Any

import pytest

from journey_mcp.sandbox.parameters import Parameter, Problem, images_in, problems, read_ratio

SIDE = Parameter(kind="integer", minimum=64, maximum=1440, multiple_of=32, also=(0,))
RATIO = Parameter(kind="ratio", widest=(21, 9))
LIST = Parameter(kind="images", fewest=2, most=3)
OBJECTS = Parameter(kind="image objects", most=2)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter(), {"any": ["thing"]}),
        (Parameter(kind="text"), ""),
        (Parameter(kind="text", is_required=True), "ü"),
        (Parameter(kind="text"), None),
        (Parameter(kind="text", allowed=("jpeg", "png")), "png"),
        (Parameter(kind="text", pattern="a+"), "aaa"),
        (SIDE, 64),
        (SIDE, 0),
        (SIDE, 1440),
        (Parameter(kind="integer"), -1),
        (Parameter(kind="number", minimum=1.5, maximum=5), 2.5),
        (Parameter(kind="digits", maximum=6), "6"),
        (Parameter(kind="digits", maximum=6), 6),
        (Parameter(kind="flag"), False),
        (RATIO, "21:9"),
        (RATIO, "9:21"),
        (Parameter(kind="image"), "AAAA"),
        (Parameter(kind="image", forms=("url",)), "https://a.test/b.png"),
        (LIST, ["AAAA", "data:image/png;base64,AAAA"]),
        (Parameter(kind="image or images"), "AAAA"),
        (Parameter(kind="image or images"), ["AAAA"]),
        (OBJECTS, [{"image": "AAAA"}]),
    ],
)
def test_a_valid_value_is_not_a_problem(parameter: Parameter, value: Any) -> None:
    assert problems({"it": value}, {"it": parameter}) == []


@pytest.mark.parametrize(
    ("parameter", "value", "kind", "message"),
    [
        (Parameter(kind="text", is_required=True), None, "missing", "Field required"),
        (Parameter(kind="text"), 7, "string_type", "Input should be a valid string"),
        (Parameter(kind="text", allowed=("a", "b")), "c", "literal_error", "Input should be 'a' or 'b'"),
        (Parameter(kind="text", shortest=1), "", "string_too_short", "String should have at least 1 characters"),
        (Parameter(kind="text", longest=2), "abc", "string_too_long", "String should have at most 2 characters"),
        (Parameter(kind="text", pattern="a+"), "b", "string_pattern_mismatch", "String should match pattern 'a+'"),
        (SIDE, "64", "int_type", "Input should be a valid integer"),
        (SIDE, True, "int_type", "Input should be a valid integer"),
        (SIDE, 64.5, "int_type", "Input should be a valid integer"),
        (SIDE, 32, "greater_than_equal", "Input should be greater than or equal to 64"),
        (SIDE, 1441, "less_than_equal", "Input should be less than or equal to 1440"),
        (SIDE, 65, "multiple_of", "Input should be a multiple of 32"),
        (Parameter(kind="number"), "1", "float_type", "Input should be a valid number"),
        (Parameter(kind="number"), False, "float_type", "Input should be a valid number"),
        (Parameter(kind="digits"), "x", "int_type", "Input should be a valid integer"),
        (Parameter(kind="digits", maximum=6), "7", "less_than_equal", "Input should be less than or equal to 6"),
        (Parameter(kind="flag"), "true", "bool_type", "Input should be a valid boolean"),
        (RATIO, "wide", "value_error", "Value error, aspect_ratio should read W:H"),
        (RATIO, 1.5, "value_error", "Value error, aspect_ratio should read W:H"),
        (RATIO, "22:9", "value_error", "Value error, aspect_ratio should be between 21:9 and 9:21"),
        (RATIO, "9:22", "value_error", "Value error, aspect_ratio should be between 21:9 and 9:21"),
        (Parameter(kind="image"), "", "string_type", "Input should be a valid string"),
        (Parameter(kind="image", forms=("url",)), "AAAA", "value_error", "Value error, an image comes as url"),
        (LIST, "AAAA", "list_type", "Input should be a valid list"),
        (LIST, ["AAAA"], "too_short", "List should have at least 2 items, not 1"),
        (LIST, ["AAAA"] * 4, "too_long", "List should have at most 3 items, not 4"),
        (LIST, ["AAAA", 7], "string_type", "Input should be a valid string"),
        (OBJECTS, ["AAAA"], "string_type", "Input should be a valid string"),
        (OBJECTS, {"image": "AAAA"}, "list_type", "Input should be a valid list"),
    ],
)
def test_an_invalid_value_is_a_problem(parameter: Parameter, value: Any, kind: str, message: str) -> None:
    assert problems({"it": value}, {"it": parameter}) == [Problem(name="it", type=kind, message=message)]


def test_an_unknown_parameter_is_reported_after_the_others() -> None:
    found = problems({"stray": 1}, {"it": Parameter(is_required=True)})
    assert [(problem.name, problem.type) for problem in found] == [("it", "missing"), ("stray", "extra_forbidden")]


@pytest.mark.parametrize(
    ("parameter", "value", "images"),
    [
        (Parameter(kind="image"), "A", ["A"]),
        (LIST, ["A", "B"], ["A", "B"]),
        (OBJECTS, [{"image": "A"}], ["A"]),
        (Parameter(kind="image"), None, []),
        (Parameter(kind="text"), "A", []),
    ],
)
def test_images_are_found_in_every_kind_of_parameter(parameter: Parameter, value: Any, images: list[str]) -> None:
    assert images_in(value, parameter) == images


@pytest.mark.parametrize(("text", "ratio"), [("16:9", (16, 9)), ("0:9", None), ("16/9", None), ("", None)])
def test_a_ratio_is_parsed(text: str, ratio: tuple[int, int] | None) -> None:
    assert read_ratio(text) == ratio
