"""Argument names in other spellings, and corrections for unknown names."""

from typing import Any

import pytest
from support import SERVICES

from journey_mcp import registry
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import CancelTask, EditImage, FetchTask, Imagine, RefineImage, ViewImage, parse
from journey_mcp.tools.defaults import Defaults

DEFAULTS = Defaults(imagine="midjourney", edit_image="flux-kontext-pro", wait_s=25, keep_days=30)
JOURNEYAPI = ToolContext(catalog=registry.load().catalog(["journeyapi"]), defaults=DEFAULTS)
EVERYTHING = ToolContext(catalog=registry.load().catalog(list(SERVICES)), defaults=DEFAULTS)
BFL = ToolContext(
    catalog=registry.load().catalog(["bfl"]),
    defaults=Defaults(imagine="flux-2-pro", edit_image="flux-kontext-pro", wait_s=25, keep_days=30),
)
KKIAI = ToolContext(
    catalog=registry.load().catalog(["kkiai"]),
    defaults=Defaults(imagine="imagen-4", edit_image="flux-kontext-pro", wait_s=25, keep_days=30),
)
KINDS: dict[str, type[Imagine | RefineImage | FetchTask | CancelTask | ViewImage]] = {
    "imagine": Imagine,
    "edit_image": EditImage,
    "refine_image": RefineImage,
    "fetch_task": FetchTask,
    "cancel_task": CancelTask,
    "view_image": ViewImage,
}
NEEDED: dict[str, dict[str, Any]] = {
    "imagine": {"prompt": "a kite"},
    "edit_image": {"prompt": "a kite", "image": "https://example.test/a.png"},
    "refine_image": {"image": "tsk_AAAAAAAAAAAAAAAAAAAAAA.2", "action": "vary"},
    "fetch_task": {},
    "cancel_task": {"task_ids": ["tsk_a"]},
    "view_image": {"image_ids": ["tsk_a.1"]},
}


def error_of(tool: str, given: dict[str, Any], context: ToolContext = JOURNEYAPI) -> str:
    """Return the error of a call with these arguments and the required ones."""
    with pytest.raises(InvalidArguments) as raised:
        parse(KINDS[tool], tool, {**NEEDED[tool], **given}, context)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("aspectRatio", "aspect_ratio"),
        ("aspect-ratio", "aspect_ratio"),
        ("Aspect Ratio", "aspect_ratio"),
        ("ASPECT_RATIO", "aspect_ratio"),
        ("aspectratio", "aspect_ratio"),
    ],
)
def test_known_names_may_have_any_spelling(name: str, ours: str) -> None:
    """Any case, with hyphens, with blanks or joined."""
    asked = parse(Imagine, "imagine", {"prompt": "a kite", name: "16:9"}, JOURNEYAPI)
    assert asked == parse(Imagine, "imagine", {"prompt": "a kite", ours: "16:9"}, JOURNEYAPI)


def test_an_argument_in_two_spellings_counts_once() -> None:
    """Unless the values differ."""
    given = {"prompt": "a kite", "aspect_ratio": "16:9"}
    assert parse(Imagine, "imagine", {**given, "aspectRatio": "16:9"}, JOURNEYAPI).aspect_ratio == "16:9"
    assert "aspect_ratio is given twice, with different values" in error_of("imagine", {**given, "aspectRatio": "1:1"})


@pytest.mark.parametrize(
    ("tool", "given", "context", "says"),
    [
        (
            "imagine",
            {"num_images": 2, "model": "Z-Image"},
            JOURNEYAPI,
            "another image, each costs 2 credits; midjourney makes four candidates at once",
        ),
        (
            "edit_image",
            {"batch_size": 2},
            JOURNEYAPI,
            "call again with fresh=true for another image, each costs 4 credits)",
        ),
        ("imagine", {"n": 2}, BFL, "call again with fresh=true for another image, each costs at least 0.03 USD)"),
        (
            "edit_image",
            {"count": 2, "model": "flux-kontext-pro", "provider": "BFL"},
            EVERYTHING,
            "call again with fresh=true for another image, each costs 0.04 USD)",
        ),
        ("imagine", {"numOutputs": 2, "model": "kling-v2"}, EVERYTHING, "for another image; midjourney makes four"),
        ("imagine", {"n": 2, "model": 7}, JOURNEYAPI, "each costs 4 credits"),
        ("imagine", {"size": "1792x1024"}, JOURNEYAPI, "(use aspect_ratio=16:9; resolution is the size class)"),
        (
            "imagine",
            {"image_size": "landscape_4_3"},
            JOURNEYAPI,
            "(use aspect_ratio=4:3; resolution is the size class)",
        ),
        ("imagine", {"size": {"w": 1}}, JOURNEYAPI, "(use aspect_ratio; resolution is the size class)"),
        ("imagine", {"size": "2000x900"}, BFL, "(use aspect_ratio=20:9, or width and height)"),
        ("imagine", {"quality": "hd"}, BFL, "(choose another model)"),
        ("imagine", {"style": "vivid"}, JOURNEYAPI, "(describe it in the prompt)"),
        ("imagine", {"response_format": "url"}, JOURNEYAPI, "(leave it out: the result has the URL of each image)"),
        ("imagine", {"text": "a kite"}, JOURNEYAPI, "(use prompt)"),
        ("imagine", {"ratio": "1:1"}, JOURNEYAPI, "(use aspect_ratio)"),
        ("imagine", {"format": "png"}, JOURNEYAPI, "(use output_format)"),
        ("imagine", {"timeout": 9}, JOURNEYAPI, "(use wait_s)"),
        ("imagine", {"guidance_scale": 7}, JOURNEYAPI, "guidance_scale (leave it out: there is no equivalent)"),
        ("imagine", {"guidance_scale": 7}, EVERYTHING, "guidance_scale (use guidance)"),
        ("imagine", {"num_inference_steps": 7}, EVERYTHING, "num_inference_steps (use steps)"),
        ("imagine", {"mask": "a"}, EVERYTHING, "no argument mask (leave it out: there is no equivalent)"),
        (
            "imagine",
            {"image": "a"},
            JOURNEYAPI,
            "(use reference_images or call edit_image with image to edit an image)",
        ),
        ("imagine", {"images": ["a"]}, JOURNEYAPI, "(use reference_images or call edit_image with image"),
        ("edit_image", {"image_url": "a"}, JOURNEYAPI, "no argument image_url (use image)"),
        ("edit_image", {"inputImage": "a"}, JOURNEYAPI, "no argument inputImage (use image)"),
        ("edit_image", {"image_path": "a"}, JOURNEYAPI, "no argument image_path (use image)"),
        ("edit_image", {"img": "a"}, JOURNEYAPI, "no argument img (use image)"),
        ("edit_image", {"images": ["a", "b"]}, KKIAI, "no argument images (use image)"),
        (
            "edit_image",
            {"images": ["a", "b"]},
            EVERYTHING,
            "(use image for the one to edit, and reference_images for",
        ),
        ("edit_image", {"style_image": "a"}, KKIAI, "(leave it out: only image is accepted)"),
        ("edit_image", {"style_image": "a"}, EVERYTHING, "(use reference_images)"),
        ("edit_image", {"mask_url": "a"}, EVERYTHING, "(use mask)"),
        ("imagine", {"promt": "a"}, JOURNEYAPI, "no argument promt (did you mean prompt?)"),
        ("imagine", {"chaos": 10}, JOURNEYAPI, "(midjourney takes --chaos 10 at the end of the prompt)"),
        ("imagine", {"version": [7]}, JOURNEYAPI, "(midjourney takes --v at the end of the prompt)"),
        ("imagine", {"tile": True}, JOURNEYAPI, "(midjourney takes --tile at the end of the prompt)"),
        ("imagine", {"chaos": 10}, BFL, "no argument chaos. imagine takes"),
        ("imagine", {"thoughtful": "a"}, EVERYTHING, "no argument thoughtful. imagine takes"),
        ("imagine", {"xyzzy": "a"}, JOURNEYAPI, "no argument xyzzy. imagine takes: prompt, model,"),
        ("imagine", {"task_id": "a"}, JOURNEYAPI, "no argument task_id. imagine takes"),
        ("fetch_task", {"taskId": "tsk_a"}, JOURNEYAPI, "(use task_ids=['tsk_a'])"),
        (
            "fetch_task",
            {"id": "tsk_a"},
            JOURNEYAPI,
            "(use task_ids=['tsk_a']). fetch_task takes: task_ids, query, before, wait_for, wait_s",
        ),
        ("fetch_task", {"ids": ["tsk_a"]}, JOURNEYAPI, "no argument ids (use task_ids)"),
        ("fetch_task", {"limit": 5}, JOURNEYAPI, "(leave it out: without task_ids the newest 20 tasks are listed"),
        ("fetch_task", {"cursor": "tsk_a"}, JOURNEYAPI, "(use before)"),
        ("fetch_task", {"search": "kite"}, JOURNEYAPI, "(use query)"),
        ("fetch_task", {"prompt": "kite"}, JOURNEYAPI, "(use query)"),
        ("imagine", {"search": "kite"}, JOURNEYAPI, "no argument search. imagine takes"),
        ("cancel_task", {"search": "kite"}, JOURNEYAPI, "no argument search. cancel_task takes"),
        ("fetch_task", {"timeout": 5}, JOURNEYAPI, "(use wait_s)"),
        ("cancel_task", {"task_id": "tsk_b"}, JOURNEYAPI, "(use task_ids=['tsk_b']). cancel_task takes: task_ids."),
        ("cancel_task", {"limit": 5}, JOURNEYAPI, "no argument limit. cancel_task takes: task_ids."),
    ],
)
def test_an_unknown_name_gets_a_correction(tool: str, given: dict[str, Any], context: ToolContext, says: str) -> None:
    """With names from the schema of this configuration."""
    assert says in error_of(tool, given, context)


@pytest.mark.parametrize("tool", KINDS)
def test_an_error_names_only_arguments_of_the_schema(tool: str) -> None:
    """JourneyAPI has no seed, so its errors do not name one."""
    said = error_of(tool, {"xyzzy": 1, "n": 2, "size": 3, "cfg": 4, "random_seed": 5, "mask_image": 6, "num_steps": 7})
    hidden = (
        set(EditImage.model_fields)
        - set(JOURNEYAPI.properties("edit_image"))
        - set(JOURNEYAPI.properties(tool))
        - {"mask"}
    )
    words = set(said.replace(",", " ").replace("(", " ").replace(")", " ").replace(".", " ").split())
    assert not hidden & words


def test_one_error_names_every_mistake_of_a_call() -> None:
    """Missing and unknown arguments; only the first of very many."""
    with pytest.raises(InvalidArguments) as raised:
        parse(EditImage, "edit_image", {"image_url": "a", "wait_s": "soon", "text": "b"}, JOURNEYAPI)
    for says in (
        "prompt is missing",
        "image is missing",
        "wait_s='soon'",
        "image_url (use image)",
        "text (use prompt)",
    ):
        assert says in str(raised.value)
    many = error_of("imagine", {f"x{number}": number for number in range(1_000)} | {"y" * 1_000_000: 1})
    assert len(many) < 1_000


def test_a_tool_that_is_left_out_is_not_recommended() -> None:
    """A server whose providers cannot edit has no edit_image."""
    only = ToolContext(
        catalog=registry.load().catalog(["kkiai"]),
        defaults=Defaults(imagine="imagen-4", edit_image="", wait_s=25, keep_days=30),
    )
    assert "edit_image" not in error_of("imagine", {"image": "a"}, only)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image_id": "tsk_a.2"}, "there is no argument image_id (use image_ids=['tsk_a.2'])"),
        ({"task_ids": ["tsk_a"]}, "there is no argument task_ids (use image_ids)"),
        ({"images": ["tsk_a"]}, "there is no argument images (use image_ids)"),
        ({"width": 512}, "there is no argument width (use size)"),
        ({"layuot": "each"}, "there is no argument layuot (did you mean layout?)"),
        ({"style": "dark"}, "there is no argument style. view_image takes: image_ids, size, layout"),
    ],
)
def test_corrections_of_names_for_a_view(given: dict[str, Any], says: str) -> None:
    """A call is free, so the model repeats it with the right names."""
    assert says in error_of("view_image", given)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("image_id", "use image"),
        ("task_id", "use image"),
        ("parent_task_id", "refine_image takes: image, action"),
        ("index", "give the number with the image: tsk_….2 is image 2"),
        ("direction", "use action"),
        ("type", "use action"),
        ("instructions", "use prompt"),
        ("aspect_ratio", "leave it out: there is no equivalent"),
        ("webhook", "use webhook_url"),
        ("wait_seconds", "use wait_s"),
    ],
)
def test_arguments_of_refine_image(name: str, advice: str) -> None:
    """An image is named with its number, and what is to be done is the action."""
    assert advice in error_of("refine_image", {name: "2"})


def test_an_action_is_an_argument_of_refine_image_only() -> None:
    """Some clients add one to every call."""
    assert parse(Imagine, "imagine", {"prompt": "a kite", "action": "x"}, JOURNEYAPI).prompt == "a kite"
    given = {"image": ["tsk_AAAAAAAAAAAAAAAAAAAAAA.2"], "Action": "Vary (Strong)", "prompt": "null", "fresh": "true"}
    asked = parse(RefineImage, "refine_image", given, JOURNEYAPI)
    assert (asked.image, asked.action, asked.prompt) == ("tsk_AAAAAAAAAAAAAAAAAAAAAA.2", "Vary (Strong)", None)
    assert asked.fresh
