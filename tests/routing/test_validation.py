"""Validation of requests before anything is paid."""

from dataclasses import replace

import pytest
from support import make_request

from journey_mcp import registry
from journey_mcp.core.errors import EmptyPrompt, ImageRequired, InvalidRequest, TooManyImages, UnreadablePrompt
from journey_mcp.core.urls import check_webhook_url
from journey_mcp.registry import Offer
from journey_mcp.routing import validation

CATALOG = registry.load().catalog(["journeyapi"])
URL = "https://example.test/a.png"


def offer(model: str) -> Offer:
    """Return JourneyAPI's offer of a model."""
    return CATALOG.offers[model][0]


@pytest.mark.parametrize(
    ("given", "code", "says", "next_step"),
    [
        ({"model": "flux-kontext-pro"}, "edit_only_model", "only edits", "edit_image with model='flux-kontext-pro'"),
        (
            {"tool": "edit_image", "model": "flux-pro", "image": URL},
            "image_not_taken",
            "takes no image",
            "flux-kontext-pro",
        ),
        ({"model": "midjourney", "reference_images": (URL,)}, "image_not_taken", "takes no image", "nano-banana-2"),
        ({"model": "flux-2-flex", "reference_images": (URL,)}, "image_not_taken", "as far as its provider states", ""),
        ({"tool": "edit_image", "model": "seededit"}, "image_required", "needs the image", "tsk_"),
        (
            {"tool": "edit_image", "model": "nano-banana-2", "image": URL, "reference_images": (URL,)},
            "too_many_images",
            "at most 1 image(s); 2 were given",
            "Give 1",
        ),
        (
            {"model": "nano-banana-2", "resolution": "8K"},
            "unsupported_value",
            "resolution=8K. It takes 1K, 2K, 4K",
            "Change ",
        ),
        ({"model": "midjourney", "aspect_ratio": "21:9"}, "unsupported_value", "aspect_ratio=21:9", "--ar 21:9"),
        ({"model": "midjourney", "aspect_ratio": "banana"}, "unsupported_value", "banana", "leave it out"),
        (
            {"model": "z-image", "aspect_ratio": "21x9"},
            "unsupported_value",
            "21x9. It takes 1:1, 16:9",
            "another model",
        ),
        ({"model": "z-image", "aspect_ratio": "4:5"}, "unsupported_value", "aspect_ratio=4:5", "(3:4 is the nearest)"),
        (
            {"model": "z-image", "width": 1920, "height": 1080},
            "unsupported_option",
            "would ignore width=1920 and height=1080",
            "Leave width and height out, give aspect_ratio=16:9 in their place; no configured model takes them.",
        ),
        (
            {"model": "nano-banana-2", "width": 2048},
            "unsupported_option",
            "would ignore width=2048.",
            "Leave width out, give aspect_ratio and resolution (1K, 2K, 4K) in its place; no",
        ),
        ({"model": "z-image", "aspect_ratio": "21:9"}, "unsupported_value", "1:1, 16:9", "another model"),
        (
            {"model": "midjourney", "output_format": "png"},
            "unsupported_option",
            "would ignore",
            "Leave output_format out",
        ),
        ({"model": "flux-pro", "output_format": "webp"}, "unsupported_value", "png, jpeg", "Change "),
        (
            {"model": "z-image", "negative_prompt": "dogs"},
            "unsupported_option",
            "would ignore negative_prompt=dogs",
            "flux-pro, flux-schnell",
        ),
        ({"model": "z-image", "seed": 7}, "unsupported_option", "ignore seed=7", "Leave seed out; no configured model"),
        (
            {"model": "flux-pro", "negative_prompt": "x" * 4001},
            "unsupported_value",
            "at most 4000 characters; 4001 were given",
            "",
        ),
        (
            {"tool": "edit_image", "model": "ideogram-v3-edit", "image": URL, "mask": URL},
            "unsupported_option",
            "mask",
            "Leave mask out; no configured model takes it.",
        ),
    ],
)
def test_a_violation_names_the_value_the_allowed_values_and_the_next_step(
    given: dict[str, object], code: str, says: str, next_step: str
) -> None:
    """So the model corrects itself in one attempt."""
    request = make_request(**given)
    with pytest.raises(InvalidRequest) as raised:
        validation.validate(request, offer(request.model), CATALOG)
    failure = raised.value.failure
    assert failure.code == code
    assert says in failure.message
    assert request.model in failure.message or code == "image_required"
    assert next_step in (failure.next_step or "")


@pytest.mark.parametrize("model", list(CATALOG.offers_for("imagine")))
def test_every_model_takes_a_plain_request(model: str) -> None:
    """A prompt and a common aspect ratio."""
    request = make_request(model=model, aspect_ratio="16:9")
    assert validation.validate(request, offer(model), CATALOG)[0] == request


@pytest.mark.parametrize("model", list(CATALOG.offers_for("edit_image")))
def test_every_editing_model_takes_an_image(model: str) -> None:
    """A URL, and as many more as it needs."""
    more = (URL,) * (offer(model).images.minimum - 1)
    request = make_request(tool="edit_image", model=model, image=URL, reference_images=more)
    assert validation.validate(request, offer(model), CATALOG)[0] == request


def test_a_model_that_takes_no_prompt() -> None:
    """An empty one is accepted; any other one causes a notice, because the schema requires one."""
    request = make_request(tool="edit_image", model="midjourney-blend", image=URL, reference_images=(URL,))
    _, notices = validation.validate(request, offer("midjourney-blend"), CATALOG)
    assert [str(notice) for notice in notices] == ["The prompt was not sent: midjourney-blend takes none."]
    empty = replace(request, prompt="")
    assert validation.offers_of(empty, CATALOG)
    assert validation.validate(empty, offer("midjourney-blend"), CATALOG)[1] == ()


@pytest.mark.parametrize(("count", "error"), [(1, ImageRequired), (6, TooManyImages)])
def test_a_blend_takes_two_to_five_images(count: int, error: type[InvalidRequest]) -> None:
    """As documented."""
    more = (URL,) * (count - 1)
    request = make_request(tool="edit_image", model="midjourney-blend", image=URL, reference_images=more)
    with pytest.raises(error):
        validation.validate(request, offer("midjourney-blend"), CATALOG)


@pytest.mark.parametrize(
    "prompt",
    ["", "   ", "\n\t", "\u200b", " \u3164\u2800 ", "\ufe0f\U000e0041", "\u00ad", "...", "-", "\u2014 ?!", "\u3002"],
    ids=ascii,
)
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    """Before the model is checked; punctuation alone counts as empty too."""
    with pytest.raises(EmptyPrompt):
        validation.offers_of(make_request(prompt=prompt, model="none"), CATALOG)


@pytest.mark.parametrize("prompt", ["7", "\U0001f408", "$", "\u732b", "a."])
def test_one_character_may_be_a_prompt(prompt: str) -> None:
    """A digit, an emoji, a symbol, a letter."""
    assert validation.offers_of(make_request(prompt=prompt), CATALOG)


def test_width_and_height_are_corrected_at_once() -> None:
    """A caller who corrects one would be refused for the other."""
    request = make_request(model="flux-2-pro", width=1023, height=777)
    catalog = registry.load().catalog(["bfl"])
    with pytest.raises(InvalidRequest, match="does not take width=1023 and height=777") as found:
        validation.validate(request, catalog.offers["flux-2-pro"][0], catalog)
    assert (found.value.failure.next_step or "").startswith("Change width and height, leave them out")


@pytest.mark.parametrize(
    ("prompt", "ratio", "sent", "notices"),
    [
        ("a kite", "16:9", "16:9", 0),
        ("a kite --ar 4:5", None, None, 0),
        ("a kite --ar 4:5", "16:9", None, 1),
        ("a kite --aspect 4:5 --v 7", "16:9", None, 1),
        ("a kite --ar=4:5", "16:9", None, 1),
        ("a kite --pan 4:5", "16:9", "16:9", 1),
        ("a kite--ar 4:5", "16:9", "16:9", 0),
    ],
)
def test_a_switch_in_the_prompt_overrides_the_aspect_ratio(
    prompt: str, ratio: str | None, sent: str | None, notices: int
) -> None:
    """With a notice when both are given."""
    request = make_request(model="midjourney", prompt=prompt, aspect_ratio=ratio)
    prepared, found = validation.validate(request, offer("midjourney"), CATALOG)
    assert (prepared.aspect_ratio, len(found)) == (sent, notices)
    assert prepared.prompt == prompt


@pytest.mark.parametrize(
    ("model", "given", "taken", "says"),
    [
        ("z-image", "16x9", "16:9", "aspect_ratio='16x9' was read as 16:9."),
        ("z-image", "1792x1024", "16:9", "aspect_ratio='1792x1024' was read as 16:9."),
        ("z-image", "1920:1080", "16:9", "aspect_ratio='1920:1080' was read as 16:9."),
        ("z-image", "1216x832", "3:2", "aspect_ratio='1216x832' was read as 3:2, the nearest that z-image takes."),
        ("z-image", "1.91:1", "16:9", "aspect_ratio='1.91:1' was read as 16:9, the nearest that z-image takes."),
        ("midjourney", "landscape", "3:2", "aspect_ratio='landscape' was read as 3:2."),
    ],
)
def test_a_ratio_in_another_notation_is_read_as_the_nearest_allowed(
    model: str, given: str, taken: str, says: str
) -> None:
    """With a notice; a ratio far from all is an error."""
    prepared, found = validation.validate(make_request(model=model, aspect_ratio=given), offer(model), CATALOG)
    assert (prepared.aspect_ratio, list(map(str, found))) == (taken, [says])


def test_a_value_that_an_offer_takes_stays() -> None:
    """Words of the offer, and any ratio between two bounds; other notations are parsed too."""
    catalog = registry.load().catalog(["replicate", "bfl"])
    replicate, bfl = catalog.offers["flux-kontext-pro"]
    for given, its, taken in (
        ("match_input_image", replicate, "match_input_image"),
        ("1920:1080", bfl, "1920:1080"),
        ("4x5", bfl, "4:5"),
        ("landscape", replicate, "3:2"),
    ):
        request = make_request(tool="edit_image", image=URL, model="flux-kontext-pro", aspect_ratio=given)
        assert validation.validate(request, its, catalog)[0].aspect_ratio == taken


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "flux-2-max", "negative_prompt": "dogs"}, "it may be ignored"),
        ({"model": "flux-pro", "resolution": "2K"}, "it may be ignored"),
        ({"tool": "edit_image", "model": "ideogram-v3-edit", "image": URL}, "no way to send one"),
    ],
)
def test_contradictions_of_the_documents_get_a_notice(given: dict[str, object], says: str) -> None:
    """A parameter that may be ignored is sent with a notice."""
    request = make_request(**given)
    assert any(says in str(notice) for notice in validation.validate(request, offer(request.model), CATALOG)[1])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.test/hook",
        "ftp://example.test",
        "example.test/hook",
        "https://",
        "https://a b/",
        "https://x:99999/",
    ],
)
def test_a_webhook_must_be_an_https_url(url: str) -> None:
    """Anything else is refused with its value."""
    with pytest.raises(InvalidRequest) as raised:
        check_webhook_url(url)
    assert raised.value.failure.code == "invalid_webhook"
    assert url in str(raised.value)


def test_ranges_of_other_providers_are_kept() -> None:
    """Numbers with steps, lower limits with images, ratios between two bounds."""
    seed = registry.Parameter(minimum=0, maximum=6, maximum_with_images=2)
    size = registry.Parameter(minimum=64, maximum=1440, multiple_of=32)
    ratio = registry.Parameter(minimum="9:21", maximum="21:9")
    problem = validation.value_problem
    assert problem(3, seed, has_images=False) is None
    assert problem(3, seed, has_images=True) == "numbers from 0 to 2"
    assert problem(-1, seed, has_images=False) == "numbers from 0 to 6"
    assert problem(96, size, has_images=False) is None
    assert problem(100, size, has_images=False) == "numbers from 64 to 1440, in steps of 32"
    assert problem("21:9", ratio, has_images=False) is None
    assert problem("22:9", ratio, has_images=False) == "W:H from 9:21 to 21:9"
    assert problem("wide", ratio, has_images=False) == "W:H from 9:21 to 21:9"
    assert problem("anything", registry.Parameter(), has_images=False) is None


def test_a_character_that_is_newer_than_this_python_is_visible() -> None:
    """An emoji of Unicode 15 is a prompt, with tables of any version."""
    assert validation.offers_of(make_request(prompt="\U0001fa77", model="z-image"), CATALOG)
    assert validation.offers_of(make_request(prompt="\U00031350", model="z-image"), CATALOG)


def test_a_prompt_with_lost_characters_is_refused() -> None:
    """Bytes that are not text were replaced before; the message shows where."""
    with pytest.raises(UnreadablePrompt, match="U\\+FFFD") as raised:
        validation.offers_of(make_request(prompt="un caf\ufffd au soleil", model="z-image"), CATALOG)
    assert "un caf" in str(raised.value)


def test_a_prompt_longer_than_an_offer_takes_is_refused() -> None:
    """As its provider states; other offers have the general limit."""
    vtrix = registry.load().catalog(["vtrix"])
    limits = {model: offers[0].prompt_max_length for model, offers in vtrix.offers.items()}
    stated = {"vtrix-transform": 800, "kling-v2": 2500, "kling-o1": 2500, "vidu-q2": 2000}
    assert {model: limit for model, limit in limits.items() if limit} == stated
    with pytest.raises(InvalidRequest, match="kling-v2 takes prompts of at most 2500 characters; 2501 were given"):
        validation.validate(make_request(model="kling-v2", prompt="x" * 2501), vtrix.offers["kling-v2"][0], vtrix)
    validation.validate(make_request(model="kling-v2", prompt="x" * 2500), vtrix.offers["kling-v2"][0], vtrix)


def test_false_and_zero_for_an_unsupported_option_have_no_effect() -> None:
    """A strict schema made the model send them; a number gets a notice, since it may be intended."""
    request = make_request(model="midjourney", prompt_upsampling=False, seed=0, safety_tolerance=0)
    fit, notices = validation.validate(request, offer("midjourney"), CATALOG)
    assert (fit.prompt_upsampling, fit.seed, fit.safety_tolerance) == (None, None, None)
    found = [str(notice) for notice in notices]
    assert found[-2:] == [
        "seed=0 was not sent: midjourney has no seed.",
        "safety_tolerance=0 was not sent: midjourney has no safety_tolerance.",
    ]
    with pytest.raises(InvalidRequest, match="would ignore seed=1"):
        validation.validate(make_request(model="midjourney", seed=1), offer("midjourney"), CATALOG)
