"""Limits on spending: parsed, enforced over all processes, settled by what providers report."""

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import MCPError
from support import (
    Environment,
    client_of,
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    settings_for,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import Declined, JourneyError, NotConfirmed, OverBudget, SetupError, TooManyTasks
from journey_mcp.core.limits import Limit, parse_amounts, parse_limits
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal, principal_of_token
from journey_mcp.engine.budget import Confirm, ConfirmationRequest
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.registry import load
from journey_mcp.server.elicitation import supports_forms
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store

KITE: dict[str, Any] = {"model": "midjourney", "prompt": "a red kite"}
"""Four credits at JourneyAPI."""


def test_limits_are_parsed() -> None:
    """With their text, for messages."""
    call, day, usd = parse_limits("8credits/call, 100 Credits/day@JourneyAPI,2.5usd/total")
    assert (call.amount, call.unit, call.period, call.provider) == (Decimal(8), "credits", "call", None)
    assert (day.text, day.provider, day.since(100_000)) == ("100 Credits/day@JourneyAPI", "journeyapi", 13_600)
    assert (usd.amount, usd.unit, usd.since(5.0)) == (Decimal("2.5"), "usd", 0.0)
    assert parse_limits("") == ()
    assert parse_amounts("6credits,0.50usd") == {"credits": Decimal(6), "usd": Decimal("0.50")}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("JOURNEY_MCP_BUDGET", "lots", "'lots' must be AMOUNT UNIT/PERIOD"),
        ("JOURNEY_MCP_BUDGET", "5eur/day", "5eur/day"),
        ("JOURNEY_MCP_BUDGET", "5usd/week", "5usd/week"),
        ("JOURNEY_MCP_BUDGET", "-5usd/day", "-5usd/day"),
        ("JOURNEY_MCP_UNKNOWN_COST", "8", "'8' must be an amount and a unit"),
        ("JOURNEY_MCP_CONFIRM_ABOVE", "1usd,2usd", "each unit once"),
        ("JOURNEY_MCP_BUDGET", ",", "has an empty part"),
        ("JOURNEY_MCP_BUDGET", "5usd/day,", "has an empty part"),
        ("JOURNEY_MCP_CREDIT_PRICE", "0.01usd", "'0.01usd' must be AMOUNTusd@PROVIDER, such as 0.01usd@journeyapi"),
        ("JOURNEY_MCP_CREDIT_PRICE", "1credits@journeyapi", "'1credits@journeyapi' must be AMOUNTusd@PROVIDER"),
        ("JOURNEY_MCP_CREDIT_PRICE", "0.01@journeyapi", "must be AMOUNTusd@PROVIDER"),
        ("JOURNEY_MCP_CREDIT_PRICE", "1usd@a,2usd@A", "'2usd@A' must be AMOUNTusd@PROVIDER"),
        ("JOURNEY_MCP_CREDIT_PRICE", "1usd@a,", "has an empty part"),
    ],
)
def test_an_invalid_setting_stops_the_start_and_is_named(name: str, value: str, says: str) -> None:
    """Before anything is spent."""
    with pytest.raises(SetupError) as raised:
        read_settings({name: value})
    assert name in str(raised.value)
    assert says in str(raised.value)


async def refusal(here: Environment, **given: Any) -> JourneyError:
    """Return why a call is refused."""
    before = len(here.sent)
    with pytest.raises(OverBudget) as raised:
        await created(here.studio, make_request(**{**KITE, **given}))
    assert len(here.sent) == before
    return raised.value


async def test_a_call_that_exceeds_the_call_limit_is_refused(tmp_path: Path) -> None:
    """With the limit as it was written."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="3credits/call") as here:
        error = await refusal(here)
        assert "The budget 3credits/call is exceeded: midjourney at journeyapi counts 4 credits" in str(error)
        assert (await here.made(model="z-image")).status is Status.SUCCEEDED


async def test_a_period_is_a_sliding_window(tmp_path: Path) -> None:
    """The error states what is left and when there is room again."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="9credits/hour") as here:
        await here.made(**KITE)
        await here.made(**{**KITE, "prompt": "another"})
        error = await refusal(here, prompt="a third")
        assert "9credits/hour is used up" in str(error)
        assert re.search(r"8 are spent, 1 are left\. There is room again in (\d\d min|1 h), at 20", str(error))
        assert error.failure.retry_after_s is not None
        assert 3000 < error.failure.retry_after_s <= 3600
        here.clock.shift_calendar(3601)
        assert (await here.made(**{**KITE, "prompt": "a third"})).status is Status.SUCCEEDED


async def test_principals_have_budgets_of_their_own(tmp_path: Path) -> None:
    """And the one of the whole service counts them all."""
    ana, ben = principal_of_token("ana"), principal_of_token("ben")
    budget = "6credits/day@each,4credits/day@principal:ben,9credits/day"
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET=budget) as here:
        await created(here.studio, make_request(**KITE), ana)
        with pytest.raises(OverBudget, match="6credits/day@each is used up") as raised:
            await created(here.studio, make_request(**KITE), ana)
        assert "4 are spent, 2 are left" in str(raised.value)
        await created(here.studio, make_request(**KITE), ben)
        with pytest.raises(OverBudget, match="4credits/day@principal:ben is used up"):
            await created(here.studio, make_request(model="z-image"), ben)
        with pytest.raises(OverBudget, match="The budget 9credits/day is used up"):
            await created(here.studio, make_request(**KITE), principal_of_token("eve"))


class TokenLimits:
    """The limits of token ana."""

    def limits_of(self, principal: Principal) -> Sequence[Limit]:
        """Return a limit in dollars."""
        own = [
            replace(limit, principal="ana", source="the budget of token ana") for limit in parse_limits("0.04usd/day")
        ]
        return own if principal == principal_of_token("ana") else ()

    def max_unfinished(self, principal: Principal) -> int | None:
        """Return 1 for ana."""
        return 1 if principal == principal_of_token("ana") else None


async def test_a_principal_has_limits_that_are_not_in_the_settings(tmp_path: Path) -> None:
    """In dollars they count credits by their price; the error says where to raise them."""
    ana = principal_of_token("ana")
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_CREDIT_PRICE="0.01usd@journeyapi")
        async with running_studio(settings, principals=TokenLimits()) as studio:
            await studio.wait_for_new(await created(studio, make_request(**KITE), ana), 900)
            with pytest.raises(OverBudget, match=r"The budget 0\.04usd/day is used up") as raised:
                await created(studio, make_request(**KITE), ana)
            assert "to raise the budget of token ana" in str(raised.value.failure.next_step)
            await created(studio, make_request(**KITE))


async def test_a_principal_has_a_limited_number_of_unfinished_tasks(tmp_path: Path) -> None:
    """The next call is rejected, a duplicate call joins all the same, and others are not limited."""
    async with make_environment_without_copies(
        tmp_path, "submit:hang,times=always", JOURNEY_MCP_RUNNING_TASKS=2
    ) as here:
        ana = principal_of_token("ana")
        first = await created(here.studio, make_request(prompt="one"), ana, fresh=False)
        await created(here.studio, make_request(prompt="two"), ana, fresh=False)
        with pytest.raises(TooManyTasks, match="You have 2 unfinished tasks, as many as you may have at once"):
            await created(here.studio, make_request(prompt="three"), ana, fresh=False)
        assert (await created(here.studio, make_request(prompt="one"), ana, fresh=False)).id == first.id
        await created(here.studio, make_request(prompt="three"), LOCAL, fresh=False)


async def test_a_total_never_frees_up(tmp_path: Path) -> None:
    """The error promises nothing."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="4credits/total") as here:
        await here.made(**KITE)
        here.clock.shift_calendar(1e7)
        error = await refusal(here, prompt="another")
        assert error.failure.retry_after_s is None
        assert "room again" not in str(error)
        assert "Waiting does not change that." in str(error)


async def test_the_charge_of_a_free_task_is_returned(tmp_path: Path) -> None:
    """A refusal costs nothing."""
    async with make_environment_without_copies(
        tmp_path, "submit:status=400", JOURNEY_MCP_BUDGET="4credits/day"
    ) as here:
        assert (await here.made(**KITE)).status is Status.FAILED
        assert (await here.made(**KITE)).status is Status.SUCCEEDED


async def test_a_task_that_may_have_been_paid_counts(tmp_path: Path) -> None:
    """Until more is known."""
    async with make_environment_without_copies(
        tmp_path, "submit:reset_after", JOURNEY_MCP_BUDGET="4credits/day"
    ) as here:
        await here.made(**KITE)
        await refusal(here, prompt="another")


async def test_the_cost_that_a_provider_reports_settles_the_reservation(tmp_path: Path) -> None:
    """Vtrix states no price, so 0.10 USD are reserved; then it reports 0.04."""
    given = {"model": "seedream-5", "prompt": "a kite"}
    async with make_wide_environment_without_copies(
        tmp_path, services=["vtrix"], JOURNEY_MCP_BUDGET="0.13usd/day"
    ) as here:
        task = await here.made(**given)
        assert task.cost is not None
        assert task.charges == {"usd": task.cost.amount}
        assert task.cost.amount < Decimal("0.10")


async def test_a_limit_in_credits_counts_per_provider(tmp_path: Path) -> None:
    """Credits of two providers are not the same money; dollars are."""
    services = ("journeyapi", "bfl")
    async with make_wide_environment_without_copies(
        tmp_path, services=services, JOURNEY_MCP_BUDGET="8credits/day"
    ) as here:
        await here.made(model="flux-2-max", prompt="one", provider="journeyapi")
        await here.made(model="flux-2-max", prompt="two", provider="bfl")
        await here.made(model="flux-2-max", prompt="three", provider="journeyapi")
        await refusal(here, model="flux-2-max", prompt="four", provider="journeyapi")


async def test_a_limit_for_one_provider_does_not_limit_others(tmp_path: Path) -> None:
    """Its name is after the @."""
    more = {"JOURNEY_MCP_BUDGET": "1credits/call@journeyapi"}
    async with make_wide_environment_without_copies(tmp_path, services=("journeyapi", "bfl"), **more) as here:
        await refusal(here, model="flux-2-max", provider="journeyapi")
        assert (await here.made(model="flux-2-max", prompt="two", provider="bfl")).status is Status.SUCCEEDED


async def test_of_calls_at_once_only_as_many_are_made_as_there_is_room_for(tmp_path: Path) -> None:
    """In two processes: the limit is checked and the task is stored in one statement."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="20credits/day", plan="enterprise") as here:
        outcomes: list[str] = []

        async with running_studio(here.studio.settings, here.clock) as other:

            async def call(number: int) -> None:
                studio = other if number % 2 else here.studio
                try:
                    await created(studio, make_request(**{**KITE, "prompt": f"kite {number}"}))
                except OverBudget as error:
                    outcomes.append(error.code)
                else:
                    outcomes.append("made")

            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(call, number)
        assert (outcomes.count("made"), outcomes.count("over_budget")) == (5, 25)


async def test_the_budget_applies_to_the_next_provider_too(tmp_path: Path) -> None:
    """A call that moves there counts there."""
    more = {"JOURNEY_MCP_BUDGET": "0.01usd/total@bfl"}
    async with make_wide_environment_without_copies(
        tmp_path, "journeyapi/submit:status=402", services=("journeyapi", "bfl"), **more
    ) as here:
        task = await here.made(model="flux-2-max", prompt="one")
        assert task.failure is not None
        assert "0.01usd/total@bfl" in task.failure.message
        assert here.sent_to("bfl") == []


async def test_a_call_limit_applies_where_a_call_moves_to(tmp_path: Path) -> None:
    """It is not made if it is too expensive there."""
    more = {"JOURNEY_MCP_BUDGET": "0.05usd/call@bfl"}
    async with make_wide_environment_without_copies(
        tmp_path, "journeyapi/submit:status=402", services=("journeyapi", "bfl"), **more
    ) as here:
        task = await here.made(model="flux-2-max", prompt="one")
        assert task.failure is not None
        assert "The budget 0.05usd/call@bfl is exceeded: flux-2-max at bfl counts 0.07 usd" in task.failure.message
        assert here.sent_to("bfl") == []


async def test_no_call_moves_to_a_cost_that_was_not_confirmed(tmp_path: Path) -> None:
    """A person was not asked, or was asked about another cost, and cannot be asked any more."""
    more = {"JOURNEY_MCP_CONFIRM_ABOVE": "5credits,0.05usd"}
    async with make_wide_environment_without_copies(
        tmp_path, "journeyapi/submit:status=402", services=("journeyapi", "bfl"), **more
    ) as here:
        task = await here.made(model="flux-2-max", prompt="one")
        assert task.failure is not None
        assert "for about 0.07 usd is above JOURNEY_MCP_CONFIRM_ABOVE (0.05 usd)" in task.failure.message
        assert "and this cost was not confirmed" in task.failure.message
        assert here.sent_to("bfl") == []


async def test_a_provider_beyond_the_budget_is_not_an_alternative(tmp_path: Path) -> None:
    """A call that the person confirmed waits at the limit of its provider, because it cannot move."""
    faults = ("journeyapi/submit:status=429,times=5",)
    more = {"JOURNEY_MCP_CONFIRM_ABOVE": "3credits,0.05usd"}

    async def agree(_request: ConfirmationRequest) -> bool:
        return True

    async with make_wide_environment_without_copies(tmp_path, *faults, services=("journeyapi", "bfl"), **more) as here:
        task = await created(here.studio, make_request(model="flux-2-max"), confirm=Confirm(agree))
        task = await here.studio.wait_for_new(task, 900)
        assert (task.status, task.provider) == (Status.SUCCEEDED, "journeyapi")
        assert here.sent_to("bfl") == []


async def test_the_limit_that_applies_the_longest_states_when_there_is_room(tmp_path: Path) -> None:
    """Not the first one that is exceeded."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="5credits/hour,5credits/day") as here:
        await here.made(**KITE)
        error = await refusal(here, prompt="another")
        assert "The budget 5credits/day is used up" in str(error)
        assert error.failure.retry_after_s is not None
        assert error.failure.retry_after_s > 80_000


@pytest.mark.parametrize(
    ("name", "value"),
    [("JOURNEY_MCP_BUDGET", "4credits/day@jorneyapi"), ("JOURNEY_MCP_CREDIT_PRICE", "0.01usd@jorneyapi")],
)
def test_a_limit_for_an_unknown_provider_stops_the_start(name: str, value: str) -> None:
    """It would limit nothing."""
    settings = read_settings({name: value})
    with pytest.raises(SetupError, match=rf"{name}={value}: there is no provider 'jorneyapi'"):
        accounts_of(settings, load())


@pytest.mark.parametrize(
    ("unknown", "counted"),
    [
        ("5credits", {"credits": 5, "usd": Decimal("0.10")}),
        ("0usd", {"credits": 8, "usd": 0}),
        ("", {"credits": 8, "usd": Decimal("0.10")}),
    ],
)
def test_a_unit_that_is_not_named_keeps_its_default(unknown: str, counted: dict[str, Decimal]) -> None:
    """Naming one must not disable the limits in the other."""
    assert read_settings({"JOURNEY_MCP_UNKNOWN_COST": unknown}).unknown_cost == counted


async def test_a_known_price_is_confirmed_in_its_unit(tmp_path: Path) -> None:
    """An image for cents needs no confirmation because its price in credits is unknown."""
    bound = {"JOURNEY_MCP_CONFIRM_ABOVE": "6credits,0.05usd"}
    async with make_wide_environment_without_copies(tmp_path, services=("bfl",), **bound) as here:
        await here.studio.create(make_request(model="flux-2-klein-4b"), LOCAL)
        with pytest.raises(NotConfirmed, match=r"for about 0\.06 usd is above JOURNEY_MCP_CONFIRM_ABOVE \(0\.05 usd\)"):
            await here.studio.create(make_request(model="flux-1.1-pro-ultra"), LOCAL)


async def test_a_high_cost_needs_confirmation(tmp_path: Path) -> None:
    """Declining costs nothing; a client without confirmation learns how to raise the limit."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits") as here:
        asked: list[str] = []

        async def agree(question: ConfirmationRequest) -> bool:
            asked.append(str(question))
            return len(asked) > 1

        with pytest.raises(NotConfirmed) as raised:
            await here.studio.create(make_request(**KITE), LOCAL)
        assert "JOURNEY_MCP_CONFIRM_ABOVE" in (raised.value.failure.next_step or "")
        with pytest.raises(Declined):
            await here.studio.create(make_request(**KITE), LOCAL, confirm=Confirm(agree))
        assert here.sent == []
        await here.studio.create(make_request(**KITE), LOCAL, confirm=Confirm(agree))
        assert asked == ["midjourney at journeyapi for about 4 credits"] * 2
        await here.studio.create(make_request(model="z-image"), LOCAL)


async def test_a_person_who_is_always_asked_confirms_any_cost(tmp_path: Path) -> None:
    """One below every limit and one of unknown price; a running duplicate costs nothing, and nobody is asked."""
    asked: list[ConfirmationRequest] = []

    async def agree(question: ConfirmationRequest) -> bool:
        asked.append(question)
        return True

    confirm = Confirm(agree, is_asked_always=True)
    async with make_wide_environment_without_copies(tmp_path, services=("journeyapi", "replicate")) as here:
        await here.studio.create(make_request(**KITE), LOCAL, confirm=confirm)
        await here.studio.create(make_request(**KITE), LOCAL, confirm=confirm)
        await here.studio.create(make_request(model="flux-schnell", provider="replicate"), LOCAL, confirm=confirm)
    assert [(str(question), question.limit) for question in asked] == [
        ("midjourney at journeyapi for about 4 credits", None),
        ("flux-schnell at replicate whose price is not known (it counts as 8 credits)", None),
    ]


async def test_a_confirmation_of_every_cost_is_also_that_of_a_high_one(tmp_path: Path) -> None:
    """The person is asked once, and the budget is checked before."""
    asked: list[str | None] = []

    async def decline(question: ConfirmationRequest) -> bool:
        asked.append(question.limit)
        return False

    limits = {"JOURNEY_MCP_CONFIRM_ABOVE": "3credits", "JOURNEY_MCP_BUDGET": "4credits/call"}
    async with make_environment_without_copies(tmp_path, **limits) as here:
        confirm = Confirm(decline, is_asked_always=True)
        with pytest.raises(Declined):
            await here.studio.create(make_request(**KITE), LOCAL, confirm=confirm)
        with pytest.raises(OverBudget):
            await here.studio.create(make_request(model="ideogram-v3"), LOCAL, confirm=confirm)
        assert (asked, here.sent) == (["JOURNEY_MCP_CONFIRM_ABOVE (3 credits)"], [])


async def test_a_call_whose_every_cost_is_confirmed_does_not_move(tmp_path: Path) -> None:
    """Another provider has another cost, which nobody confirmed."""

    async def agree(_question: ConfirmationRequest) -> bool:
        return True

    fault, services = "journeyapi/submit:status=402", ("journeyapi", "bfl")
    async with make_wide_environment_without_copies(tmp_path, fault, services=services) as here:
        confirm = Confirm(agree, is_asked_always=True)
        task = await created(here.studio, make_request(model="flux-2-max"), confirm=confirm)
        task = await here.studio.wait_for_new(task, 900)
        assert (task.status, task.provider) == (Status.FAILED, "journeyapi")
        assert here.sent_to("bfl") == []


async def test_the_sandbox_is_free(tmp_path: Path) -> None:
    """Without a key no limit applies."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path), "JOURNEY_MCP_BUDGET": "1credits/total"})
    async with running_studio(settings) as studio:
        task = await studio.wait_for_new(await created(studio, make_request(**KITE)), 900)
        assert (task.status, task.charges) == (Status.SUCCEEDED, {})


async def test_what_was_spent_remains_when_a_task_is_deleted(tmp_path: Path) -> None:
    """Without its prompt."""
    async with make_environment_without_copies(tmp_path) as here:
        task = await here.made(**KITE)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            assert await store.tasks.delete_older(than=task.created_at + 1) == 1
            (spent,) = await store.spend.since(0)
        assert await here.studio.fetch([task.id], LOCAL) == {}
        assert (spent.model, spent.provider, spent.unit, spent.is_reported) == (
            "midjourney",
            "journeyapi",
            "credits",
            False,
        )
    assert spent.counted == {"credits": Decimal(4)}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (types.ElicitResult(action="accept", content={"agree": True}), "succeeded"),
        (types.ElicitResult(action="accept", content={"agree": False}), "declined"),
        (types.ElicitResult(action="decline"), "declined"),
        (types.ElicitResult(action="cancel"), "declined"),
    ],
    ids=str,
)
async def test_the_person_behind_a_client_is_asked_in_both_eras(
    tmp_path: Path, mode: str, answer: types.ElicitResult, outcome: str
) -> None:
    """With model, provider and cost; declining costs nothing."""
    asked: list[str] = []

    async def elicit(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return answer

    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits")
        async with client_of(settings, mode, elicitation_callback=elicit) as client:
            reported = (await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 300})).structured_content or {}
        assert asked == ["Make an image with midjourney at journeyapi for about 4 credits?"]
        assert outcome in {reported["status"], reported.get("error", {}).get("code")}
        assert len(upstream.sandbox.request_log.submissions) == (outcome == "succeeded")


async def test_an_answer_without_a_question_is_ignored(tmp_path: Path) -> None:
    """A client that brings its own question has not asked a person."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits")

        async def elicit(_context: Any, _params: Any) -> types.ElicitResult:
            raise AssertionError("nobody is asked")

        async with client_of(settings, elicitation_callback=elicit) as client:
            params = types.CallToolRequestParams(
                name="imagine",
                arguments={"prompt": "a kite"},
                input_responses={"cost": types.ElicitResult(action="accept", content={"agree": True})},
                request_state="midjourney at journeyapi for about 4 credits",
            )
            with pytest.raises(MCPError, match="requestState"):
                await client.session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
        assert not upstream.sandbox.request_log.submissions


@pytest.mark.parametrize(
    ("able", "is_asked"),
    [
        (types.ElicitationCapability(), True),
        (types.ElicitationCapability(form=types.FormElicitationCapability()), True),
        (types.ElicitationCapability(url=types.UrlElicitationCapability()), False),
        (None, False),
    ],
)
def test_only_clients_that_show_forms_are_asked(able: types.ElicitationCapability | None, *, is_asked: bool) -> None:
    """One that can only open URLs is not."""
    assert supports_forms(types.ClientCapabilities(elicitation=able)) is is_asked
    assert supports_forms(None) is False


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_cannot_ask_learns_how_to_continue(tmp_path: Path, mode: str) -> None:
    """Nothing is sent."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits")
        async with client_of(settings, mode) as client:
            reported = (await client.call_tool("imagine", {"prompt": "a kite"})).structured_content or {}
        assert reported["error"]["code"] == "not_confirmed"
        assert "JOURNEY_MCP_CONFIRM_ABOVE" in reported["next_step"]
        assert not upstream.sandbox.request_log.submissions
