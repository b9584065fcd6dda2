"""What clients and models send beside what is meant: placeholders, names of their own, several ids in one text."""

import logging
from typing import Any

import pytest
from support import SERVICES

from journey_mcp import registry
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.tools import arguments
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import ArgumentsT, CancelTask, EditImage, FetchTask, Imagine, image_request
from journey_mcp.tools.defaults import Defaults

GIVEN = {"prompt": "a kite", "image": "https://example.test/a.png"}
DEFAULTS = Defaults(imagine="midjourney", edit_image="flux-kontext-pro", wait_s=25, keep_days=30)
OPTIONAL = [name for name, field in EditImage.model_fields.items() if not field.is_required()]
JOURNEYAPI = ToolContext(catalog=registry.load().catalog(["journeyapi"]), defaults=DEFAULTS)
EVERYTHING = ToolContext(catalog=registry.load().catalog(list(SERVICES)), defaults=DEFAULTS)
ONE, TWO = f"tsk_{'A' * 22}", f"tsk_{'-b' * 11}"
PLACEHOLDERS: list[Any] = [
    *(None, "", "null", "none", "undefined", "auto", "default", " NULL ", "None", [], ["null"], ["", None]),
    *("n/a", "N/A", "nil", "unspecified", "-", "...", '"null"', "<none>", "[null]", "{}", {}),
]


def read(kind: type[ArgumentsT], tool: str, given: Any, context: ToolContext = JOURNEYAPI) -> ArgumentsT:
    """The arguments of a call to a server with a key for JourneyAPI."""
    return arguments.parse(kind, tool, given, context)


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_placeholder_for_an_optional_argument_counts_as_not_given(name: str, placeholder: Any) -> None:
    """Strict schemas make a model give every argument. A ratio `auto` is kept: some models take it."""
    expected = read(EditImage, "edit_image", GIVEN)
    if (name, placeholder) == ("aspect_ratio", "auto"):
        expected = expected.model_copy(update={"aspect_ratio": "auto"})
    assert read(EditImage, "edit_image", {**GIVEN, name: placeholder}) == expected


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
def test_an_unknown_argument_without_a_value_asks_for_nothing(placeholder: Any) -> None:
    """Models that know other tools leave theirs empty."""
    asked = read(Imagine, "imagine", {"prompt": "a kite", "image_url": placeholder, "style": placeholder})
    assert asked == read(Imagine, "imagine", {"prompt": "a kite"})


@pytest.mark.parametrize("name", ["width", "height"])
def test_a_side_of_zero_counts_as_not_given(name: str) -> None:
    """A strict schema made the model give a number."""
    assert read(EditImage, "edit_image", {**GIVEN, name: 0}) == read(EditImage, "edit_image", GIVEN)


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
    assert read(EditImage, "edit_image", {**GIVEN, "negative_prompt": '["blur"]'}).negative_prompt == '["blur"]'


def test_what_is_required_is_taken_as_it_is() -> None:
    """A prompt may be one of these words; an image that is none is an error later, which names it."""
    assert read(EditImage, "edit_image", {"prompt": "none", "image": "null"}).prompt == "none"
    with pytest.raises(InvalidArguments, match="prompt is missing"):
        read(Imagine, "imagine", {"model": "z-image"})


@pytest.mark.parametrize(
    "name",
    [
        *("toolCallId", "tool_call_id", "wait_for_previous", "task_progress", "sessionId", "action", "chatInput"),
        *("random_string", "_meta", "_anything", "threadId", "conversation_id", "user", "explanation", "thought"),
        *("security_risk", "requires_approval", "toolSummary", "waitForPreviousTools", "run_manager", "progressToken"),
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
    ("given", "says"),
    [
        ({"prompt": "x" * 32_001}, "prompt='" + "x" * 80 + "'… has 32,001 characters (at most 32,000 are accepted)"),
        ({"prompt": "\u200b" * 10_000_000}, "has 10,000,000 characters"),
        ({"negative_prompt": "y" * 4_001}, "at most 4,000 are accepted"),
        ({"webhook_url": "https://example.test/" + "z" * 3_000}, "at most 2,083 are accepted"),
        ({"model": "m" * 201}, "at most 200 are accepted"),
        ({"seed": "7" * 1_000}, "at most 200 are accepted"),
        ({"reference_images": ["https://example.test/a.png"] * 101}, "reference_images has 101 items"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_text_that_is_too_long_is_refused_before_anything_reads_it(given: dict[str, Any], says: str) -> None:
    """The message shows its beginning only."""
    with pytest.raises(InvalidArguments) as raised:
        read(EditImage, "edit_image", {**GIVEN, **given})
    assert says in str(raised.value)
    assert len(str(raised.value)) < 700


def test_a_long_prompt_is_taken() -> None:
    """Up to its limit; an image may be data, and is bounded where it is read."""
    prompt, image = "x" * 32_000, "data:image/png;base64," + "A" * 1_000_000
    asked = read(EditImage, "edit_image", {"prompt": prompt, "image": image, "negative_prompt": "y" * 4_000})
    assert (asked.prompt, asked.image) == (prompt, image)


@pytest.mark.parametrize(
    "value", [{"a": "x" * 1_000_000}, ["x" * 1_000_000], [["x"] * 50] * 50], ids=["object", "list", "nested"]
)
def test_a_wrong_value_of_any_size_is_shown_cut(value: Any) -> None:
    """Whatever its type."""
    with pytest.raises(InvalidArguments, match="prompt") as raised:
        read(Imagine, "imagine", {"prompt": value})
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("name", ["prompt", "reference_images", "image"])
@pytest.mark.parametrize("character", ["\0", "\ud800"], ids=ascii)
def test_what_is_no_text_is_refused_everywhere(name: str, character: str) -> None:
    """Also among the items of an array."""
    text = f"é{character}"
    with pytest.raises(InvalidArguments, match=f"{name} has characters that are not text"):
        read(EditImage, "edit_image", {**GIVEN, name: [text] if name == "reference_images" else text})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"resolution": "1k"}, {"resolution": "1K"}),
        ({"resolution": "2 K"}, {"resolution": "2K"}),
        ({"resolution": 1024}, {"resolution": "1K"}),
        ({"resolution": "4096px"}, {"resolution": "4K"}),
        ({"resolution": "2048x1152"}, {"resolution": "2K"}),
        ({"resolution": "1080P"}, {"resolution": "1080p"}),
        ({"resolution": "1300"}, {"resolution": "1300"}),
        ({"output_format": "JPG"}, {"output_format": "jpeg"}),
        ({"output_format": ".png"}, {"output_format": "png"}),
        ({"output_format": "image/webp"}, {"output_format": "webp"}),
        ({"aspect_ratio": 1.5}, {"aspect_ratio": "1.5"}),
        ({"seed": " 42 "}, {"seed": 42}),
        ({"seed": "42.0"}, {"seed": 42}),
        ({"width": "1024px", "height": "768 pixels"}, {"width": 1024, "height": 768}),
        ({"guidance": "3.5"}, {"guidance": 3.5}),
        ({"prompt_upsampling": " True "}, {"prompt_upsampling": True}),
        ({"prompt_upsampling": "yes"}, {"prompt_upsampling": True}),
        ({"prompt_upsampling": "no"}, {"prompt_upsampling": False}),
    ],
)
def test_values_are_read_as_models_write_them(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """Numbers and yes or no as text, units, formats by ending and type, size classes in pixels."""
    request = image_request("edit_image", read(EditImage, "edit_image", {**GIVEN, **given}), DEFAULTS)
    assert request.options == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"width": "1,024", "height": "1 024"}, {"width": 1024, "height": 1024}),
        ({"steps": "28 steps"}, {"steps": 28}),
        ({"steps": "twenty-eight"}, {"steps": 28}),
        ({"guidance": "3,5"}, {"guidance": 3.5}),
        ({"seed": "-1"}, {"seed": -1}),
        ({"seed": [7], "output_format": ["png"]}, {"seed": 7, "output_format": "png"}),
        ({"aspect_ratio": [16, 9]}, {"aspect_ratio": "16:9"}),
        ({"aspect_ratio": {"width": 1920, "height": 1080}}, {"aspect_ratio": "1920:1080"}),
        ({"negative_prompt": ["fog", "rain"]}, {"negative_prompt": "fog, rain"}),
    ],
)
def test_numbers_and_lists_are_read_as_models_write_them(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """Separators, words, one value in a list, two sides for a ratio."""
    request = image_request("edit_image", read(EditImage, "edit_image", {**GIVEN, **given}), DEFAULTS)
    assert request.options == meant


@pytest.mark.parametrize(
    "given",
    [{"seed": "7 or 8"}, {"seed": "1.2.3"}, {"steps": "many"}, {"aspect_ratio": [1, 2, 3]}, {"model": ["a", "b"]}],
)
def test_what_says_no_one_value_is_refused(given: dict[str, Any]) -> None:
    """With its name."""
    with pytest.raises(InvalidArguments, match=next(iter(given))):
        read(EditImage, "edit_image", {**GIVEN, **given})


def test_a_negative_prompt_of_very_many_words_is_not_joined() -> None:
    """It has its limit."""
    with pytest.raises(InvalidArguments, match="negative_prompt"):
        read(EditImage, "edit_image", {**GIVEN, "negative_prompt": ["x" * 3_000] * 2})


@pytest.mark.parametrize("name", ["input", "arguments", "params", "kwargs", "tool_input"])
def test_what_a_framework_puts_around_all_arguments_is_taken_off(name: str) -> None:
    """One name, with an object that has ours."""
    assert read(EditImage, "edit_image", {name: GIVEN}) == read(EditImage, "edit_image", GIVEN)
    with pytest.raises(InvalidArguments, match="prompt is missing"):
        read(Imagine, "imagine", {name: {"a": 1}})


@pytest.mark.parametrize("value", [7, True, {"a": 1}, {"type": "Buffer", "data": [1, 2]}, [], [["a"], ["b"]]])
def test_what_is_no_text_where_an_image_is_taken_is_told_so(value: Any) -> None:
    """With what is taken."""
    with pytest.raises(InvalidArguments, match="is not text: give the id of an earlier image, a URL or a data URI"):
        read(EditImage, "edit_image", {**GIVEN, "image": value})


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("BFL", "bfl"),
        ("Black Forest Labs", "bfl"),
        ("black-forest-labs", "bfl"),
        ("replicate.com", "replicate"),
        ("journey-api", "journeyapi"),
        ("Journey", "journeyapi"),
        ("openai", "openai"),
    ],
)
def test_a_provider_is_known_by_its_name_as_people_write_it(text: str, provider: str) -> None:
    """Another one stays as it is, for an error that names it."""
    assert read(Imagine, "imagine", {"prompt": "a kite", "provider": text}, EVERYTHING).provider == provider


def test_what_to_wait_for_is_read_in_any_case() -> None:
    """As every word."""
    assert read(FetchTask, "fetch_task", {"wait_for": "ANY"}).wait_for == "any"


def test_seconds_may_have_their_unit() -> None:
    """But a word is none."""
    assert read(FetchTask, "fetch_task", {"wait_s": "30s"}).wait_s == 30
    assert read(FetchTask, "fetch_task", {"wait_s": "5 seconds"}).wait_s == 5
    with pytest.raises(InvalidArguments, match="wait_s='soon'"):
        read(FetchTask, "fetch_task", {"wait_s": "soon"})


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("tsk_a", ["tsk_a"]),
        ("tsk_a,tsk_b", ["tsk_a", "tsk_b"]),
        (" tsk_a, tsk_b ,", ["tsk_a", "tsk_b"]),
        (["tsk_a,tsk_b", "tsk_c"], ["tsk_a", "tsk_b", "tsk_c"]),
        ('["tsk_a", "tsk_b"]', ["tsk_a", "tsk_b"]),
        ("tsk_a;tsk_b|tsk_a", ["tsk_a", "tsk_b"]),
        *(
            (form.format(ONE, TWO), [ONE, TWO])
            for form in ("{} and {}", "['{}', '{}']", "[{},{}]", "tasks: {}/{}.", "`{}` ({})")
        ),
        (ONE.replace("tsk", "TSK"), [ONE]),
        ([f"{ONE}.2"], [f"{ONE}.2"]),
        ({"task_ids": [ONE, TWO]}, [ONE, TWO]),
        ([{"task_id": ONE}, {"id": TWO}], [ONE, TWO]),
        ([ONE] * 30, [ONE]),
        ([[ONE, TWO]], [ONE, TWO]),
        ("null", None),
        (["null"], None),
        ('["null"]', None),
        ("[]", None),
    ],
)
def test_ids_are_read_as_models_write_them(given: Any, ids: list[str] | None) -> None:
    """Several in one text are several."""
    assert read(FetchTask, "fetch_task", {"task_ids": given}).task_ids == ids


@pytest.mark.parametrize("given", ["[" * 100_000, "[" * 3_000, ["t" * 5_000], 7, {"a": 1}, ",", [[]]])
def test_ids_that_are_none_are_an_error_of_the_arguments(given: Any) -> None:
    """Never one of the server."""
    with pytest.raises(InvalidArguments, match="task_ids"):
        read(CancelTask, "cancel_task", {"task_ids": given})
