"""Routing: the first provider whose offer takes the request, with providers on cooldown last."""

from decimal import Decimal
from typing import Any

import pytest
from support import make_request

from journey_mcp import registry
from journey_mcp.core.errors import DataNotTaken, InvalidRequest
from journey_mcp.routing import router
from journey_mcp.routing.language import Verdict

FIVE = ("journeyapi", "vtrix", "kkiai", "replicate", "bfl")
URL = "https://example.test/a.png"
LONG_URLS = tuple(f"https://example.test/{number}.png" for number in range(9))


def plan(
    *providers: str,
    verdict: Verdict | None = None,
    requires_upload: str | None = None,
    on_cooldown: dict[str, str] | None = None,
    **given: Any,
) -> router.Route:
    """Return the route of a Kontext edit, unless arguments say otherwise."""
    request = make_request(**{"tool": "edit_image", "model": "flux-kontext-pro", "image": URL, **given})
    catalog = registry.load().catalog(providers or FIVE)
    return router.plan(
        request, catalog, verdict=verdict, requires_upload=lambda _: requires_upload, on_cooldown=on_cooldown or {}
    )


def names(route: router.Route) -> list[str]:
    """Return the providers in the order of attempts."""
    return [candidate.offer.provider for candidate in route.candidates]


def notice_of(route: router.Route) -> str:
    """Return the notices when the first candidate runs it."""
    return " ".join(map(str, route.notices(route.candidates[0].offer, {})))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["journeyapi", "vtrix", "kkiai", "replicate", "bfl"]),
        ({"seed": 7}, ["vtrix", "kkiai", "replicate", "bfl"]),
        ({"reference_images": LONG_URLS[:1]}, ["vtrix", "bfl"]),
        ({"reference_images": LONG_URLS[:3]}, ["vtrix", "bfl"]),
        ({"requires_upload": "image='a.png' is a local file"}, ["vtrix", "kkiai", "replicate", "bfl"]),
        ({"verdict": Verdict.FOREIGN}, ["vtrix", "kkiai", "replicate", "bfl"]),
        ({"tool": "imagine", "image": None}, ["vtrix", "kkiai", "replicate", "bfl"]),
        ({"aspect_ratio": "match_input_image"}, ["kkiai", "replicate"]),
        ({"aspect_ratio": "5:4"}, ["vtrix", "kkiai", "replicate", "bfl"]),
        ({"safety_tolerance": 4}, ["vtrix", "bfl"]),
        ({"webhook_url": "https://example.test/hook"}, ["journeyapi", "vtrix", "kkiai", "replicate", "bfl"]),
        ({"provider": "bfl"}, ["bfl"]),
    ],
    ids=str,
)
def test_the_first_offer_that_takes_all_arguments_runs_it(given: dict[str, Any], expected: list[str]) -> None:
    """The others follow in the order of preference."""
    assert names(plan(**given)) == expected


def test_a_fifth_image_skips_providers_that_take_four() -> None:
    """FLUX.2 takes eight, Kontext four."""
    with pytest.raises(InvalidRequest) as raised:
        plan(reference_images=LONG_URLS[:4])
    assert raised.value.failure.code == "too_many_images"
    assert "flux-kontext-pro at bfl takes at most 4 image(s); 5 were given" in str(raised.value)
    assert names(plan(model="flux-2-pro", reference_images=LONG_URLS[:4])) == ["vtrix", "bfl"]


def test_the_order_of_preference_is_kept() -> None:
    """As the person wrote it."""
    assert names(plan("bfl", "journeyapi", "vtrix")) == ["bfl", "journeyapi", "vtrix"]


def test_a_notice_says_why_the_first_choice_was_skipped() -> None:
    """Without a skipped provider there is none."""
    assert notice_of(plan()) == ""
    notice = notice_of(plan(seed=7))
    assert notice.startswith("vtrix runs this. journeyapi was skipped: flux-kontext-pro at journeyapi would ignore")


def test_a_provider_on_cooldown_is_tried_last() -> None:
    """With the reason."""
    route = plan(on_cooldown={"journeyapi": "journeyapi has too little money.", "kkiai": "gone"})
    assert names(route) == ["vtrix", "replicate", "bfl", "journeyapi", "kkiai"]
    assert "journeyapi was skipped: it is on cooldown (journeyapi has too little money.)" in notice_of(route)
    assert names(plan(provider="kkiai", on_cooldown={"kkiai": "gone"})) == ["kkiai"]


def test_the_error_states_the_violation_of_every_offer() -> None:
    """So the model sees what to change."""
    with pytest.raises(InvalidRequest) as raised:
        plan("journeyapi", "kkiai", seed=7, reference_images=(URL,))
    failure = raised.value.failure
    assert failure.code == "too_many_images"
    for part in (
        "journeyapi: flux-kontext-pro at journeyapi takes at most 1",
        "kkiai: flux-kontext-pro at kkiai takes",
    ):
        assert part in failure.message
    assert failure.next_step


def test_different_violations_have_the_code_no_offer() -> None:
    """None of their codes fits all."""
    with pytest.raises(InvalidRequest) as raised:
        plan("journeyapi", "kkiai", aspect_ratio="11:10", seed=2**31)
    failure = raised.value.failure
    assert failure.code in {"no_offer", "unsupported_value"}
    assert "11:10" in failure.message


def test_a_violation_at_a_pinned_provider_names_providers_that_take_the_request() -> None:
    """A local file at JourneyAPI."""
    with pytest.raises(InvalidRequest) as raised:
        plan(provider="journeyapi", requires_upload="image='cat.png' is a local file")
    assert raised.value.failure.code == "data_not_taken"
    assert "cat.png" in str(raised.value)
    step = raised.value.failure.next_step or ""
    assert "vtrix" in step or "named" in step


@pytest.mark.parametrize(
    ("providers", "model", "steps"),
    [
        (["journeyapi", "vtrix", "bfl"], "flux-kontext-pro", ()),
        (["journeyapi", "bfl"], "seededit", ("Call again with model='flux-kontext-pro'", "image data at bfl")),
        (
            ["journeyapi"],
            "flux-kontext-pro",
            ("Give a public URL", "VTRIX_API_KEY or KKIAI_API_KEY or REPLICATE_API_TOKEN or BFL_API_KEY: "),
        ),
        (
            ["journeyapi"],
            "seededit",
            (
                "Give a public URL: no configured provider takes image data for this request. Or ask the person to set",
                "JOURNEY_MCP_STORE, JOURNEY_MCP_PUBLIC_URL with serve --webhooks, or over HTTP JOURNEY_MCP_SERVER_URL",
            ),
        ),
    ],
)
def test_an_image_without_a_url_has_a_next_step(providers: list[str], model: str, steps: tuple[str, ...]) -> None:
    """The call moves to a provider that takes data, else names a model, else a key of a provider that does."""
    problem = "image='cat.png' is a local file"
    if not steps:
        route = plan(*providers, model=model, requires_upload=problem)
        assert names(route) == ["vtrix", "bfl"]
        return
    with pytest.raises(DataNotTaken) as raised:
        plan(*providers, model=model, requires_upload=problem)
    assert all(step in (raised.value.failure.next_step or "") for step in steps)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"provider": "nobody"}, "provider='nobody' is not configured (allowed: journeyapi, vtrix"),
        ({"provider": "bfl", "model": "midjourney", "tool": "imagine", "image": None}, "does not offer midjourney"),
    ],
)
def test_an_unusable_pinned_provider_is_named(given: dict[str, Any], says: str) -> None:
    """With those that can."""
    with pytest.raises(InvalidRequest, match="provider=") as raised:
        plan(**given)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("model", "provider", "given", "amount", "unit"),
    [
        ("flux-kontext-pro", "journeyapi", {}, "4", "credits"),
        ("flux-kontext-pro", "bfl", {}, "0.04", "usd"),
        ("flux-2-pro", "bfl", {}, "0.03", "usd"),
        ("flux-2-pro", "bfl", {"width": 1024, "height": 1024}, "0.03", "usd"),
        ("flux-2-pro", "bfl", {"width": 2048, "height": 1024}, "0.045", "usd"),
        ("flux-2-pro", "bfl", {"width": 2048, "height": 2048}, "0.075", "usd"),
    ],
)
def test_the_cost_is_estimated_from_the_registry(
    model: str, provider: str, given: dict[str, Any], amount: str, unit: str
) -> None:
    """In the unit of the list price, with the surcharge for a larger image."""
    cost = plan(model=model, provider=provider, **given).candidates[0].cost
    assert cost is not None
    assert (cost.amount, cost.unit, cost.source) == (Decimal(amount), unit, "registry")


def test_an_unknown_price_is_not_estimated() -> None:
    """Vtrix states no prices."""
    assert plan(provider="vtrix").candidates[0].cost is None


@pytest.mark.parametrize(
    ("model", "provider", "ratio", "size"),
    [
        ("flux-2-pro", "bfl", "16:9", (1360, 768)),
        ("flux-2-pro", "bfl", "1:1", (1024, 1024)),
        ("flux-1.1-pro", "bfl", "3:2", (1248, 832)),
        ("seedream-4.5", "vtrix", "16:9", None),
    ],
)
def test_an_aspect_ratio_becomes_a_size_if_the_offer_has_no_ratio(
    model: str, provider: str, ratio: str, size: tuple[int, int] | None
) -> None:
    """The nearest that the offer takes, with a notice."""
    (candidate,) = plan(model=model, provider=provider, aspect_ratio=ratio, tool="imagine", image=None).candidates
    width, height = candidate.request.width, candidate.request.height
    assert width
    assert height
    assert candidate.request.aspect_ratio is None
    w, h = map(int, ratio.split(":"))
    assert width / height == pytest.approx(w / h, rel=0.02)
    if size:
        assert (width, height) == size
    assert any(f"sent as {width}x{height}" in str(notice) for notice in candidate.notices)
    low, high = candidate.offer.min_pixels or 0, candidate.offer.max_pixels or 10**9
    assert low <= width * height <= high


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ({"model": "flux-2-pro", "width": 1000, "height": 1024}, "unsupported_value", "width=1000"),
        ({"model": "flux-2-pro", "width": 4096, "height": 4096}, "unsupported_value", "4096x4096"),
        ({"model": "flux-2-pro", "width": 1024, "aspect_ratio": "1:1"}, "unsupported_option", "only one of"),
        ({"model": "flux-kontext-pro", "width": 1440, "height": 1088}, "unsupported_option", "would ignore width=1440"),
        ({"model": "flux-kontext-pro", "prompt_upsampling": True, "steps": 3}, "unsupported_option", "steps=3"),
    ],
)
def test_sizes_and_sets_are_checked(given: dict[str, Any], code: str, says: str) -> None:
    """With a single provider, its violation is the error."""
    with pytest.raises(InvalidRequest) as raised:
        plan("bfl", **given)
    assert raised.value.failure.code == code
    assert says in str(raised.value)


def test_the_nearest_ratio_is_suggested_for_unsupported_width_and_height() -> None:
    """JourneyAPI has seven ratios."""
    with pytest.raises(InvalidRequest) as raised:
        plan("journeyapi", width=1440, height=1088)
    assert "Leave width and height out, give aspect_ratio=4:3 in their place" in (raised.value.failure.next_step or "")


@pytest.mark.parametrize(("given", "says"), [({"width": 2048}, "together"), ({"width": 64, "height": 64}, "pixels")])
def test_a_size_in_one_field_needs_width_and_height(given: dict[str, Any], says: str) -> None:
    """Seedream takes WxH."""
    with pytest.raises(InvalidRequest, match=says):
        plan("vtrix", model="seedream-4", **given)


def test_fewer_images_than_an_offer_needs_are_refused() -> None:
    """A blend begins with two."""
    with pytest.raises(InvalidRequest, match="at least 2 images; 1 was given"):
        plan("vtrix", model="vtrix-blend-4.5")
    assert names(plan("vtrix", model="vtrix-blend-4.5", reference_images=(URL,))) == ["vtrix"]
