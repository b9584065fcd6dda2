"""Credits and dollars: a limit counts what is charged in its unit, and credits as dollars only at a price."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import (
    SERVICES,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
)

from journey_mcp.core.errors import JourneyError, NotConfirmed, OverBudget
from journey_mcp.core.predictions import Status
from journey_mcp.engine.budget import reaches
from journey_mcp.registry import load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.settings import Settings, read_settings
from journey_mcp.store import open_store

ROOT = Path(__file__).parents[2]
TWO = ("journeyapi", "bfl")
BOTH: dict[str, Any] = {"model": "flux-2-max", "prompt": "a kite"}
"""4 credits at JourneyAPI, 0.07 dollars at Black Forest Labs."""
FREE_MODEL = """
[[model]]
id = "mine"
maker = "me"
family = "mine"
best_at = "tests"
sources = ["https://example.test"]
checked = 2026-11-28

[[offer]]
model = "mine"
provider = "{provider}"
wire_id = "z-image"
synchronous = true
images = {{ support = "none" }}
sources = ["https://example.test"]
checked = 2026-11-28
"""
"""A model without a price."""


def configured(*services: str, **more: str) -> Settings:
    """Return settings with keys for these providers."""
    return read_settings({**{SERVICES[name][0]: "k" for name in services}, **more})


async def test_a_limit_in_dollars_does_not_limit_credits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For any amount; the start warns that nothing is limited."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="0.10usd/day,0.01usd/call") as here:
        for number in range(3):
            assert (await here.made(model="midjourney", prompt=f"kite {number}")).status is Status.SUCCEEDED
    warning = "JOURNEY_MCP_BUDGET: 0.10usd/day covers none of the configured offers: journeyapi charges in credits. "
    assert (
        warning + "Write it in credits in JOURNEY_MCP_BUDGET, or say what a credit costs: JOURNEY_MCP_" in caplog.text
    )


@pytest.mark.parametrize("budget", ["1credits/day", "1credits/call", "1credits/total@bfl"])
async def test_a_limit_in_credits_does_not_limit_dollars(tmp_path: Path, budget: str) -> None:
    """Also if a price is unknown: it is charged as unknown ones are in dollars."""
    async with make_wide_environment_without_copies(tmp_path, services=("bfl",), JOURNEY_MCP_BUDGET=budget) as here:
        for model in ("flux-2-max", "flux-dev"):
            assert (await here.made(model=model)).status is Status.SUCCEEDED


async def test_a_used_up_limit_stops_only_what_is_charged_in_its_unit(tmp_path: Path) -> None:
    """Black Forest Labs has spent it; JourneyAPI continues."""
    async with make_wide_environment_without_copies(tmp_path, services=TWO, JOURNEY_MCP_BUDGET="0.10usd/day") as here:
        await here.made(**BOTH, provider="bfl")
        with pytest.raises(OverBudget, match=r"counts 0\.07 usd, 0\.07 are spent"):
            await created(here.studio, make_request(**{**BOTH, "prompt": "two"}, provider="bfl"))
        for prompt in ("three", "four"):
            assert (await here.made(**{**BOTH, "prompt": prompt}, provider="journeyapi")).status is Status.SUCCEEDED


async def test_an_unknown_price_counts_in_the_unit_of_its_provider(tmp_path: Path) -> None:
    """With the cautious amount: a dime at Black Forest Labs, eight credits for a local model at JourneyAPI."""
    file = tmp_path / "own.toml"
    file.write_text(FREE_MODEL.format(provider="journeyapi"), encoding="utf-8")
    more = {"JOURNEY_MCP_BUDGET": "0.15usd/day,12credits/day", "JOURNEY_MCP_REGISTRY": str(file)}
    async with make_wide_environment_without_copies(tmp_path, "bfl/submit:delay=60", services=TWO, **more) as here:
        await created(here.studio, make_request(model="flux-dev", provider="bfl"))
        with pytest.raises(OverBudget, match=r"0\.15usd/day is used up: flux-dev at bfl counts 0\.1 usd"):
            await created(here.studio, make_request(model="flux-dev", provider="bfl", prompt="two"))
        await here.accepted(model="mine")
        with pytest.raises(OverBudget, match="12credits/day is used up: mine at journeyapi counts 8 credits"):
            await created(here.studio, make_request(model="mine", prompt="two"))
        here.studio.begin_shutdown()


async def test_if_the_unit_is_unknown_the_amounts_of_both_count(tmp_path: Path) -> None:
    """Replicate states neither price nor unit: any limit applies."""
    for budget in ("7credits/call", "0.05usd/call"):
        more = {"JOURNEY_MCP_BUDGET": budget}
        async with make_wide_environment_without_copies(tmp_path / budget[:4], services=("replicate",), **more) as here:
            with pytest.raises(OverBudget, match=f"The budget {budget} is exceeded: flux-schnell at replicate"):
                await created(here.studio, make_request(model="flux-schnell"))


async def test_credits_count_as_dollars_at_their_price(tmp_path: Path) -> None:
    """Together with what is charged in dollars; the refusal states the credits behind the dollars."""
    more = {"JOURNEY_MCP_BUDGET": "0.12usd/day", "JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi"}
    async with make_wide_environment_without_copies(tmp_path, services=TWO, **more) as here:
        await here.made(**BOTH, provider="journeyapi")
        await here.made(**BOTH, provider="bfl")
        spent = r"counts 0\.04 usd \(4 credits\), 0\.11 are spent, 0\.01 are left"
        with pytest.raises(OverBudget, match=f"0.12usd/day is used up: flux-2-max at journeyapi {spent}"):
            await created(here.studio, make_request(**{**BOTH, "prompt": "two"}, provider="journeyapi"))
    async with running_studio(configured("journeyapi", JOURNEY_MCP_DATA_DIR=str(tmp_path), **more)) as studio:
        with pytest.raises(OverBudget, match=r"0\.12usd/day is used up"):
            await created(studio, make_request(**{**BOTH, "prompt": "three"}))


async def test_a_price_of_credits_applies_to_call_limits_and_confirmations(tmp_path: Path) -> None:
    """A call of four credits is one of eight cents."""
    price = {"JOURNEY_MCP_CREDIT_PRICE": "0.02usd@journeyapi"}
    async with make_environment_without_copies(tmp_path / "a", **price, JOURNEY_MCP_BUDGET="0.05usd/call") as here:
        with pytest.raises(OverBudget, match=r"exceeded: midjourney at journeyapi counts 0\.08 usd \(4 credits\), and"):
            await created(here.studio, make_request(model="midjourney"))
        await here.made(model="z-image")
    async with make_environment_without_copies(tmp_path / "b", **price, JOURNEY_MCP_CONFIRM_ABOVE="0.05usd") as here:
        with pytest.raises(NotConfirmed, match=r"at journeyapi for about 0\.08 usd \(4 credits\) is above JOURNEY"):
            await created(here.studio, make_request(model="midjourney"))
        await here.made(model="z-image")


async def test_without_a_price_credits_need_no_confirmation_in_dollars(tmp_path: Path) -> None:
    """Nor dollars in credits."""
    async with make_wide_environment_without_copies(
        tmp_path, services=TWO, JOURNEY_MCP_CONFIRM_ABOVE="0.05usd"
    ) as here:
        await here.made(**BOTH, provider="journeyapi")
        with pytest.raises(NotConfirmed, match=r"0\.07 usd is above"):
            await created(here.studio, make_request(**BOTH, provider="bfl"))
    async with make_wide_environment_without_copies(
        tmp_path, services=TWO, JOURNEY_MCP_CONFIRM_ABOVE="0credits"
    ) as here:
        await here.made(**BOTH, provider="bfl")


async def test_of_calls_at_once_credits_at_a_price_exceed_no_limit_in_dollars(tmp_path: Path) -> None:
    """In two processes, counted in the statement that stores the task."""
    more = {"JOURNEY_MCP_BUDGET": "0.20usd/day", "JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi"}
    async with (
        make_environment_without_copies(tmp_path, plan="enterprise", **more) as here,
        running_studio(here.studio.settings) as other,
    ):
        refused: list[JourneyError] = []

        async def call(number: int) -> None:
            try:
                await created(
                    (here.studio, other)[number % 2], make_request(model="midjourney", prompt=f"kite {number}")
                )
            except OverBudget as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(call, number)
    assert len(refused) == 15


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"JOURNEY_MCP_BUDGET": "0.06usd/day"}, r"0\.06usd/day is used up: flux-2-max at bfl counts 0\.07 usd"),
        ({"JOURNEY_MCP_BUDGET": "0.06usd/call"}, r"0\.06usd/call is exceeded: flux-2-max at bfl counts 0\.07 usd"),
        ({"JOURNEY_MCP_BUDGET": "8credits/day"}, None),
        ({"JOURNEY_MCP_CONFIRM_ABOVE": "0.05usd"}, r"0\.07 usd is above JOURNEY_MCP_CONFIRM_ABOVE"),
    ],
)
async def test_the_limits_of_the_new_unit_apply_to_a_call_that_moves(
    tmp_path: Path, more: dict[str, str], says: str | None
) -> None:
    """And not those of the unit that it leaves."""
    async with make_wide_environment_without_copies(
        tmp_path, "journeyapi/submit:status=402", services=TWO, **more
    ) as here:
        task = await here.made(**BOTH)
        if says is None:
            assert (task.provider, task.status, set(task.charges)) == ("bfl", Status.SUCCEEDED, {"usd"})
        else:
            assert task.failure is not None
            assert re.search(says, task.failure.message)
            assert here.sent_to("bfl") == []


async def test_a_charge_is_stored_in_its_unit(tmp_path: Path) -> None:
    """So that a price that is set later counts what was spent before."""
    async with make_environment_without_copies(tmp_path) as here:
        await here.made(model="midjourney")
    price = {"JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi", "JOURNEY_MCP_BUDGET": "0.05usd/day"}
    async with make_environment_without_copies(tmp_path, **price) as here:
        with pytest.raises(OverBudget, match=r"0\.04 are spent"):
            await created(here.studio, make_request(model="midjourney"))
    async with open_store(here.studio.settings.resolved_database_url()) as store:
        assert [one.counted for one in await store.spend.since(0)] == [{"credits": Decimal(4)}]


@pytest.mark.parametrize(
    ("services", "more", "reported"),
    [
        (("journeyapi",), {"JOURNEY_MCP_BUDGET": "8credits/call,100credits/day"}, []),
        (("bfl", "vtrix"), {"JOURNEY_MCP_BUDGET": "2usd/day,1usd/day@bfl"}, []),
        (
            TWO,
            {"JOURNEY_MCP_BUDGET": "2usd/day", "JOURNEY_MCP_CONFIRM_ABOVE": "6credits"},
            [
                "2usd/day covers bfl only: journeyapi charges in credits",
                "6credits covers journeyapi only: bfl charges in usd",
            ],
        ),
        (TWO, {"JOURNEY_MCP_BUDGET": "2usd/day", "JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi"}, []),
        (
            ("bfl",),
            {"JOURNEY_MCP_BUDGET": "2credits/day,2credits/day@journeyapi"},
            [
                "2credits/day covers none of the configured offers: bfl charges in usd",
                "2credits/day@journeyapi covers none of the configured offers: journeyapi is not used",
            ],
        ),
        (("replicate",), {"JOURNEY_MCP_BUDGET": "2usd/day,9credits/day"}, []),
    ],
)
def test_a_limit_that_does_not_cover_every_offer_is_reported(
    services: tuple[str, ...], more: dict[str, str], reported: list[str]
) -> None:
    """By provider, with what each charges in."""
    settings = configured(*services, **more)
    found = reaches(settings, catalog_of(settings, load()))
    assert [str(reach) for reach in found if reach.missed or not reach.covered] == reported


@pytest.mark.parametrize(
    ("own", "unit"), [("credits = 3", "credits"), ("usd = 0.02", "usd"), ('notes = ["none"]', None)]
)
def test_a_local_provider_charges_in_the_unit_of_its_prices(tmp_path: Path, own: str, unit: str | None) -> None:
    """If its facts do not state one; without any price it is unknown."""
    provider = """
        provider = { id = "own", title = "Own", wire = "bfl", base_url = "https://x.test", key_variable = "OWN_API_KEY",
            base_url_variable = "OWN_BASE_URL", sources = ["https://x.test"], checked = 2026-11-28 }
    """
    priced = (
        FREE_MODEL.format(provider="own").replace('"mine"', '"other"').replace("synchronous", f"{own}\nsynchronous")
    )
    file = tmp_path / "own.toml"
    text = " ".join(provider.split()) + FREE_MODEL.format(provider="own") + priced
    file.write_text(text, encoding="utf-8")
    catalog = load((file,)).catalog(["own"])
    assert catalog.unit_of(catalog.offers["mine"][0]) == unit


def test_the_examples_in_the_documents_cover_the_default_provider() -> None:
    """A copied example limits something."""
    description = Settings.model_fields["budget"].description or ""
    examples = re.findall(r"JOURNEY_MCP_BUDGET=(\S+)", (ROOT / "docs" / "spending.md").read_text(encoding="utf-8"))
    examples += re.findall(r": `(\S+/\S+)`\. ", description)
    assert len(examples) >= 2
    for example in examples:
        settings = configured("journeyapi", JOURNEY_MCP_BUDGET=example)
        assert all(reach.covered for reach in reaches(settings, catalog_of(settings, load())))
