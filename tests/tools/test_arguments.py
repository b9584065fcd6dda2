"""Arguments as clients and models write them: placeholders, extra names, several ids in one text."""

import logging
from typing import Any

import pytest
from support import SERVICES

from journey_mcp import registry
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.requests import OPTIONS, ModelTool
from journey_mcp.tools import arguments
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import ArgumentsT, CancelTask, EditImage, FetchTask, Imagine, ViewImage, image_request
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


def parse(kind: type[ArgumentsT], tool: str, given: Any, context: ToolContext = JOURNEYAPI) -> ArgumentsT:
    """Parse the arguments of a call to a server with a key for JourneyAPI."""
    return arguments.parse(kind, tool, given, context)


VALUES: dict[str, Any] = {"string": "rain", "boolean": True, "integer": 5, "number": 5.0}
"""Values of options without a list of allowed ones, by type."""


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_in_the_schema_and_reaches_the_request(option: str) -> None:
    """An option that one of the tables or mappings omits would be accepted and dropped."""
    tools: dict[ModelTool, tuple[type[Imagine], dict[str, Any]]] = {
        "edit_image": (EditImage, GIVEN),
        "imagine": (Imagine, {"prompt": "a kite"}),
    }
    taking = [tool for tool in tools if option in EVERYTHING.properties(tool)]
    assert taking, f"no tool shows {option}: is it in _OPTIONS of tools/definitions.py, and in an offer?"
    for tool in taking:
        kind, given = tools[tool]
        schema = EVERYTHING.properties(tool)[option]
        value = schema.get("enum", [VALUES[schema["type"]]])[0]
        parsed = parse(kind, tool, {**given, option: value}, EVERYTHING)
        assert image_request(tool, parsed, DEFAULTS).options == {option: value}


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_placeholder_for_an_optional_argument_counts_as_omitted(name: str, placeholder: Any) -> None:
    """Strict schemas require every argument. The ratio `auto` is kept, because some models support it."""
    expected = parse(EditImage, "edit_image", GIVEN)
    if (name, placeholder) == ("aspect_ratio", "auto"):
        expected = expected.model_copy(update={"aspect_ratio": "auto"})
    assert parse(EditImage, "edit_image", {**GIVEN, name: placeholder}) == expected


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
def test_an_unknown_argument_without_a_value_is_dropped(placeholder: Any) -> None:
    """Models that know other tools leave those arguments empty."""
    asked = parse(Imagine, "imagine", {"prompt": "a kite", "image_url": placeholder, "style": placeholder})
    assert asked == parse(Imagine, "imagine", {"prompt": "a kite"})


@pytest.mark.parametrize("name", ["width", "height"])
def test_a_side_of_zero_counts_as_omitted(name: str) -> None:
    """A strict schema requires a number."""
    assert parse(EditImage, "edit_image", {**GIVEN, name: 0}) == parse(EditImage, "edit_image", GIVEN)


def test_placeholders_among_items_are_dropped() -> None:
    """The other items stay."""
    images = ["null", "https://example.test/b.png", None]
    asked = parse(EditImage, "edit_image", {**GIVEN, "reference_images": images})
    assert asked.reference_images == ["https://example.test/b.png"]


def test_a_list_in_a_text_is_parsed_before_its_items() -> None:
    """The text of other arguments is not parsed."""
    asked = parse(EditImage, "edit_image", {**GIVEN, "reference_images": '["null", "https://example.test/b.png"]'})
    assert asked.reference_images == ["https://example.test/b.png"]
    assert parse(EditImage, "edit_image", {**GIVEN, "reference_images": '["null"]'}).reference_images is None
    assert parse(EditImage, "edit_image", {**GIVEN, "negative_prompt": '["blur"]'}).negative_prompt == '["blur"]'


def test_a_model_that_takes_no_prompt_needs_none() -> None:
    """The schema requires one: it is the same for all models of the tool."""
    images = {"image": ONE + ".1", "reference_images": [ONE + ".2"]}
    assert not parse(EditImage, "edit_image", {**images, "model": "midjourney-blend"}).prompt
    for model in ({}, {"model": "flux-kontext-pro"}, {"model": ["a"]}):
        with pytest.raises(InvalidArguments, match="prompt is missing"):
            parse(EditImage, "edit_image", {**images, **model})


def test_a_required_argument_is_never_a_placeholder() -> None:
    """A prompt may be such a word; an image that is not one is an error later, which names it."""
    assert parse(EditImage, "edit_image", {"prompt": "none", "image": "null"}).prompt == "none"
    with pytest.raises(InvalidArguments, match="prompt is missing"):
        parse(Imagine, "imagine", {"model": "z-image"})


@pytest.mark.parametrize(
    "name",
    [
        *("toolCallId", "tool_call_id", "wait_for_previous", "task_progress", "sessionId", "action", "chatInput"),
        *("random_string", "_meta", "_anything", "threadId", "conversation_id", "user", "explanation", "thought"),
        *("security_risk", "requires_approval", "toolSummary", "waitForPreviousTools", "run_manager", "progressToken"),
    ],
)
def test_arguments_that_clients_add_are_dropped(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Only the log shows it."""
    caplog.set_level(logging.DEBUG, "journey_mcp")
    assert parse(Imagine, "imagine", {"prompt": "a kite", name: {"a": 1}}) == parse(
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
def test_text_that_is_too_long_is_rejected_before_it_is_parsed(given: dict[str, Any], says: str) -> None:
    """The message quotes only its start."""
    with pytest.raises(InvalidArguments) as raised:
        parse(EditImage, "edit_image", {**GIVEN, **given})
    assert says in str(raised.value)
    assert len(str(raised.value)) < 700


def test_a_long_prompt_is_accepted() -> None:
    """Up to its limit; an image may be data, and its parser limits it."""
    prompt, image = "x" * 32_000, "data:image/png;base64," + "A" * 1_000_000
    asked = parse(EditImage, "edit_image", {"prompt": prompt, "image": image, "negative_prompt": "y" * 4_000})
    assert (asked.prompt, asked.image) == (prompt, image)


@pytest.mark.parametrize(
    "value", [{"a": "x" * 1_000_000}, ["x" * 1_000_000], [["x"] * 50] * 50], ids=["object", "list", "nested"]
)
def test_a_wrong_value_is_quoted_cut(value: Any) -> None:
    """For every type."""
    with pytest.raises(InvalidArguments, match="prompt") as raised:
        parse(Imagine, "imagine", {"prompt": value})
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("name", ["prompt", "reference_images", "image"])
@pytest.mark.parametrize("character", ["\0", "\ud800"], ids=ascii)
def test_invalid_characters_are_rejected_in_every_argument(name: str, character: str) -> None:
    """Also among the items of an array."""
    text = f"é{character}"
    with pytest.raises(InvalidArguments, match=f"{name} has characters that are not text"):
        parse(EditImage, "edit_image", {**GIVEN, name: [text] if name == "reference_images" else text})


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
def test_values_are_parsed_as_models_write_them(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """Numbers and booleans as text, units, formats by file ending and media type, size classes in pixels."""
    request = image_request("edit_image", parse(EditImage, "edit_image", {**GIVEN, **given}), DEFAULTS)
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
def test_numbers_and_lists_are_parsed_as_models_write_them(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """Separators, words, one value in a list, two sides for a ratio."""
    request = image_request("edit_image", parse(EditImage, "edit_image", {**GIVEN, **given}), DEFAULTS)
    assert request.options == meant


@pytest.mark.parametrize(
    "given",
    [{"seed": "7 or 8"}, {"seed": "1.2.3"}, {"steps": "many"}, {"aspect_ratio": [1, 2, 3]}, {"model": ["a", "b"]}],
)
def test_an_ambiguous_value_is_rejected(given: dict[str, Any]) -> None:
    """With the argument's name."""
    with pytest.raises(InvalidArguments, match=next(iter(given))):
        parse(EditImage, "edit_image", {**GIVEN, **given})


def test_a_negative_prompt_of_very_many_words_is_not_joined() -> None:
    """It has a limit."""
    with pytest.raises(InvalidArguments, match="negative_prompt"):
        parse(EditImage, "edit_image", {**GIVEN, "negative_prompt": ["x" * 3_000] * 2})


@pytest.mark.parametrize("name", ["input", "arguments", "params", "kwargs", "tool_input"])
def test_a_wrapper_around_all_arguments_is_removed(name: str) -> None:
    """One name, whose value is an object with our names."""
    assert parse(EditImage, "edit_image", {name: GIVEN}) == parse(EditImage, "edit_image", GIVEN)
    with pytest.raises(InvalidArguments, match="prompt is missing"):
        parse(Imagine, "imagine", {name: {"a": 1}})


@pytest.mark.parametrize("value", [7, True, {"a": 1}, {"type": "Buffer", "data": [1, 2]}, [], [["a"], ["b"]]])
def test_an_image_that_is_not_text_is_an_error(value: Any) -> None:
    """With the accepted forms."""
    with pytest.raises(InvalidArguments, match="is not text: give the id of an earlier image, a URL or a data URI"):
        parse(EditImage, "edit_image", {**GIVEN, "image": value})


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
def test_a_provider_may_be_written_as_people_write_it(text: str, provider: str) -> None:
    """An unknown name stays unchanged, for an error that names it."""
    assert parse(Imagine, "imagine", {"prompt": "a kite", "provider": text}, EVERYTHING).provider == provider


def test_wait_for_may_have_any_case() -> None:
    """Like every word."""
    assert parse(FetchTask, "fetch_task", {"wait_for": "ANY"}).wait_for == "any"


def test_seconds_may_have_a_unit() -> None:
    """A word without a number is an error."""
    assert parse(FetchTask, "fetch_task", {"wait_s": "30s"}).wait_s == 30
    assert parse(FetchTask, "fetch_task", {"wait_s": "5 seconds"}).wait_s == 5
    with pytest.raises(InvalidArguments, match="wait_s='soon'"):
        parse(FetchTask, "fetch_task", {"wait_s": "soon"})


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
def test_ids_are_parsed_as_models_write_them(given: Any, ids: list[str] | None) -> None:
    """One text may hold several ids."""
    assert parse(FetchTask, "fetch_task", {"task_ids": given}).task_ids == ids


@pytest.mark.parametrize("given", ["[" * 100_000, "[" * 3_000, ["t" * 5_000], 7, {"a": 1}, ",", [[]]])
def test_invalid_ids_are_an_error_of_the_arguments(given: Any) -> None:
    """Never an internal error."""
    with pytest.raises(InvalidArguments, match="task_ids"):
        parse(CancelTask, "cancel_task", {"task_ids": given})


FIRST, SECOND, UPLOAD = f"{ONE}.1", f"{TWO}.2", f"up_{'u' * 22}"


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ([FIRST, SECOND], [FIRST, SECOND]),
        (FIRST, [FIRST]),
        (f"{FIRST}, {SECOND} and {UPLOAD}", [FIRST, SECOND, UPLOAD]),
        (f'["{FIRST}", "{UPLOAD}"]', [FIRST, UPLOAD]),
        ([f"`{FIRST}`", f"![kite]({SECOND})"], [FIRST, SECOND]),
        ({"image_ids": [FIRST]}, [FIRST]),
        ([{"id": FIRST}, {"image_id": SECOND}], [FIRST, SECOND]),
        ([FIRST, FIRST, ONE], [FIRST, ONE]),
        (f"/data/pictures/{FIRST}.png", [FIRST]),
        ("the kite", ["the kite"]),
    ],
)
def test_images_to_view_are_found_in_any_form(given: Any, ids: list[str]) -> None:
    """A text without an id stays, for the error that names it."""
    assert parse(ViewImage, "view_image", {"image_ids": given}).image_ids == ids


@pytest.mark.parametrize("given", [[], None, "", 7, [7], [["a"], "b"], {"url": "x"}])
def test_an_image_to_view_is_needed(given: Any) -> None:
    """As text."""
    with pytest.raises(InvalidArguments, match="image_ids"):
        parse(ViewImage, "view_image", {"image_ids": given})


@pytest.mark.parametrize(
    ("given", "size"),
    [
        *((320, 320), (512, 512), (1024, 1024), (1, 320), (416, 320), (417, 512), (700, 512), (4096, 1024)),
        *(("512", 512), ("1024px", 1024), ("1,024", 1024), ("512x512", 512), ("1024 x 768 px", 1024), (512.0, 512)),
        *(("small", 320), ("Medium", 512), ("LARGE", 1024), ("three hundred twenty", 320), (None, 512), ("auto", 512)),
        *((0, 512), ("0", 512)),
    ],
)
def test_the_size_of_a_view_is_the_nearest(given: Any, size: int) -> None:
    """From a number or a word in any form."""
    assert parse(ViewImage, "view_image", {"image_ids": [FIRST], "size": given}).size == size


@pytest.mark.parametrize("given", ["huge", True, {"width": 5}, "0x0x0"])
def test_other_sizes_are_refused(given: Any) -> None:
    """The error names the value."""
    with pytest.raises(InvalidArguments, match="size"):
        parse(ViewImage, "view_image", {"image_ids": [FIRST], "size": given})


def test_the_layout_of_a_view_may_be_in_any_case() -> None:
    """And is a sheet by default."""
    assert parse(ViewImage, "view_image", {"image_ids": FIRST}).layout == "sheet"
    assert parse(ViewImage, "view_image", {"image_ids": FIRST, "layout": "EACH"}).layout == "each"
