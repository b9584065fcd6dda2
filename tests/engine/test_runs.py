"""Runs: each place in a run is paid once, however often it is asked for, and other calls know nothing of it."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import make_environment_without_copies, make_request, make_wide_environment_without_copies, running_studio

from journey_mcp.core.errors import NotConfirmed, OverBudget
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.runs import RunEntry
from journey_mcp.engine.budget import TotalConfirmationRequest

KITE: dict[str, Any] = {"model": "midjourney", "prompt": "a red kite over the dunes"}
FIRST, SECOND = RunEntry(run_id="run_1", index=1), RunEntry(run_id="run_1", index=2)
OTHER_RUN = RunEntry(run_id="run_2", index=1)


async def test_every_place_of_every_run_gets_a_task_of_its_own(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path) as here:
        calls = [await here.studio.create(make_request(**KITE), LOCAL, entry=e) for e in (FIRST, SECOND, OTHER_RUN)]
        calls.append(await here.studio.create(make_request(**KITE), LOCAL))
        assert len({call.task.id for call in calls}) == 4
        assert [call.notice for call in calls] == [None] * 4


async def test_a_place_keeps_its_task_after_the_result_was_received_and_long_after(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)
        done = await here.studio.wait_for_new(first.task, 900)
        here.studio.acknowledge([done])
        await here.clock.sleep(10)  # acknowledgements are stored by then
        here.clock.shift_calendar(86400)
        async with running_studio(here.studio.settings, here.clock) as other:
            again = await other.create(make_request(**KITE), LOCAL, entry=FIRST)
        assert (again.task.id, again.task.status) == (done.id, Status.SUCCEEDED)
        assert here.asked["imagine"] == 1


async def test_a_place_keeps_a_task_that_may_have_been_paid(tmp_path: Path) -> None:
    """One that failed at the provider, and one without an answer."""
    async with make_environment_without_copies(
        tmp_path, "submit:fail_task=Out of paint", "submit:reset_after,after=1"
    ) as here:
        for entry, code in ((FIRST, "generation_failed"), (SECOND, "submission_unconfirmed")):
            task = (await here.studio.create(make_request(**KITE), LOCAL, entry=entry)).task
            ended = await here.studio.wait_for_new(task, 900)
            assert ended.failure is not None
            assert ended.failure.code == code
            here.clock.shift_calendar(3600)
            assert (await here.studio.create(make_request(**KITE), LOCAL, entry=entry)).task.id == task.id
        assert here.asked["imagine"] == 2


async def test_a_place_gets_a_new_task_if_the_provider_created_nothing(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path, "submit:status=401") as here:
        task = (await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)).task
        assert (await here.studio.wait_for_new(task, 900)).status is Status.FAILED
        again = await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)
        assert (again.notice, again.task.id != task.id) == (None, True)


async def test_an_estimate_stores_and_sends_nothing(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path) as here:
        estimate = await here.studio.estimate(make_request(**KITE), LOCAL, entry=FIRST)
        assert (estimate.is_made, estimate.task.provider) == (False, "journeyapi")
        assert estimate.task.charges == {"credits": Decimal(4)}
        assert await here.studio.newest(LOCAL) == []
        made = (await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)).task
        again = await here.studio.estimate(make_request(**KITE), LOCAL, entry=FIRST)
        assert (again.is_made, again.task.id) == (True, made.id)
        assert here.asked["imagine"] <= 1


async def test_an_estimate_compares_with_the_limit_of_a_call(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="3credits/call") as here:
        with pytest.raises(OverBudget, match="3credits/call"):
            await here.studio.estimate(make_request(**KITE), LOCAL, entry=FIRST)


async def test_a_budget_that_is_used_up_does_not_refuse_what_the_run_has_made(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="4credits/day") as here:
        made = (await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)).task
        with pytest.raises(OverBudget):
            await here.studio.create(make_request(**KITE), LOCAL, entry=SECOND)
        assert (await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)).task.id == made.id


async def test_the_costs_of_several_tasks_are_confirmed_as_one_sum(tmp_path: Path) -> None:
    """Each of them is below the limit."""
    async with make_wide_environment_without_copies(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="7credits,1usd") as here:
        tasks = [
            (await here.studio.estimate(make_request(**{**KITE, "model": model}), LOCAL, entry=FIRST)).task
            for model in ("midjourney", "midjourney", "flux-2-max")
        ]
        assert here.studio.budget.total_confirmation_request(tasks[:1]) is None
        question = here.studio.budget.total_confirmation_request(tasks[:2])
        assert question == TotalConfirmationRequest(
            tasks=2, amount=Decimal(8), unit="credits", bound=Decimal(7), unknown=0
        )
        assert str(question) == "2 tasks for about 8 credits"
        assert question.limit == "JOURNEY_MCP_CONFIRM_ABOVE (7 credits)"


async def test_a_single_task_of_a_run_needs_its_confirmation_too(tmp_path: Path) -> None:
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits") as here:
        with pytest.raises(NotConfirmed):
            await here.studio.create(make_request(**KITE), LOCAL, entry=FIRST)
