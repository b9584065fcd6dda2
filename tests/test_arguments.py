"""What clients and models send beside what is meant: placeholders, names of their own, several ids in one text."""

import logging
from typing import Any

import pytest

from journey_mcp.errors import InvalidArguments
from journey_mcp.server.arguments import CancelTask, EditImage, FetchTask, Imagine, read

GIVEN = {"prompt": "a kite", "image": "https://example.test/a.png"}
OPTIONAL = [name for name, field in EditImage.model_fields.items() if not field.is_required()]
PLACEHOLDERS = [None, "", "null", "none", "undefined", "auto", "default", " NULL ", "None", [], ["null"], ["", None]]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_placeholder_for_an_optional_argument_counts_as_not_given(name: str, placeholder: Any) -> None:
    """Strict schemas make a model give every argument. A ratio `auto` is kept: some models take it."""
    expected = read(EditImage, "edit_image", GIVEN)
    if (name, placeholder) == ("aspect_ratio", "auto"):
        expected = expected.model_copy(update={"aspect_ratio": "auto"})
    assert read(EditImage, "edit_image", {**GIVEN, name: placeholder}) == expected


def test_placeholders_among_real_items_are_left_out() -> None:
    """The others stay."""
    images = ["null", "https://example.test/b.png", None]
    asked = read(EditImage, "edit_image", {**GIVEN, "reference_images": images})
    assert asked.reference_images == ["https://example.test/b.png"]


def test_a_list_that_is_written_as_text_is_read_before_its_items_are() -> None:
    """But the text of another argument is its text."""
    asked = read(EditImage, "edit_image", {**GIVEN, "reference_images": '["null", "https://example.test/b.png"]'})
    assert asked.reference_images == ["https://example.test/b.png"]
    assert read(EditImage, "edit_image", {**GIVEN, "reference_images": '["null"]'}).reference_images is None
    assert read(EditImage, "edit_image", {**GIVEN, "negative_prompt": '["null"]'}).negative_prompt == '["null"]'


def test_what_is_required_is_taken_as_it_is() -> None:
    """A prompt may be one of these words; an image that is none is an error later, which names it."""
    assert read(EditImage, "edit_image", {"prompt": "none", "image": "null"}).prompt == "none"
    with pytest.raises(InvalidArguments, match="prompt is missing"):
        read(Imagine, "imagine", {"model": "z-image"})


@pytest.mark.parametrize(
    "name",
    [
        *("toolCallId", "tool_call_id", "wait_for_previous", "task_progress", "sessionId", "action", "chatInput"),
        *("random_string", "_meta", "_anything"),
    ],
)
def test_arguments_that_clients_add_are_dropped(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Only the log says so."""
    caplog.set_level(logging.DEBUG, "journey_mcp")
    assert read(Imagine, "imagine", {"prompt": "a kite", name: {"a": 1}}) == read(
        Imagine, "imagine", {"prompt": "a kite"}
    )
    assert f"the argument {name} of the client is dropped" in caplog.text


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("tsk_a", ["tsk_a"]),
        ("tsk_a,tsk_b", ["tsk_a", "tsk_b"]),
        (" tsk_a, tsk_b ,", ["tsk_a", "tsk_b"]),
        (["tsk_a,tsk_b", "tsk_c"], ["tsk_a", "tsk_b", "tsk_c"]),
        ('["tsk_a", "tsk_b"]', ["tsk_a", "tsk_b"]),
        ("null", None),
        (["null"], None),
        ('["null"]', None),
        ("[]", None),
    ],
)
def test_ids_are_read_as_models_write_them(given: Any, ids: list[str] | None) -> None:
    """Several in one text are several."""
    assert read(FetchTask, "fetch_task", {"task_ids": given}).task_ids == ids


@pytest.mark.parametrize("given", ["[" * 100_000, 7, {"a": 1}, ",", [[]]])
def test_ids_that_are_none_are_an_error_of_the_arguments(given: Any) -> None:
    """Never one of the server."""
    with pytest.raises(InvalidArguments, match="task_ids"):
        read(CancelTask, "cancel_task", {"task_ids": given})
