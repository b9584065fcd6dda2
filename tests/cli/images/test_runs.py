"""Several requests as one run, at a studio: what is asked, what is sent, and what a resumed run returns."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import (
    Environment,
    make_environment,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
)

from journey_mcp.cli.images.confirming import AskTotal
from journey_mcp.cli.images.interruption import Unfinished
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.images.runs import Outcome, Run, RunOptions, exit_code, make_run, run_of
from journey_mcp.core.errors import Declined, InvalidRequest, NotConfirmed, OverBudget
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.engine.budget import TotalConfirmationRequest

BOATS = [make_request(model="z-image", prompt=f"boat {number}") for number in range(6)]


def new_run(here: Environment, requests: Sequence[ImageRequest], **more: Any) -> Run:
    return run_of(requests, None, now=here.studio.now(), keep_days=30, **more)


async def made(here: Environment, run: Run, *, ask: AskTotal | None = None) -> tuple[list[Outcome], list[int]]:
    """Make a run, two requests at a time; return the outcomes, and the indices as they became known."""
    unfinished = Unfinished(output_options=OutputOptions(output=None, force=False, wait_s=None, as_json=False))
    known: list[int] = []

    async def finished(outcome: Outcome) -> None:
        known.append(outcome.index)

    options = RunOptions(ask=ask, at_once=2, seconds=math.inf)
    return await make_run(here.studio, run, options, unfinished, finished), known


async def test_the_outcomes_are_in_the_order_of_the_requests(tmp_path: Path) -> None:
    async with make_environment(tmp_path) as here:
        outcomes, known = await made(here, new_run(here, BOATS))
        assert [one.task and one.task.request.prompt for one in outcomes] == [one.prompt for one in BOATS]
        assert sorted(known) == [0, 1, 2, 3, 4, 5]
        assert exit_code(outcomes) == 0
        assert here.asked["imagine"] == 6


async def test_a_resumed_run_returns_what_it_has_and_makes_the_rest(tmp_path: Path) -> None:
    async with make_environment(tmp_path) as here:
        run = new_run(here, BOATS)
        there = [(await here.studio.create(BOATS[i], LOCAL, entry=run.entry(i))).task.id for i in (0, 3)]
        outcomes, _ = await made(here, run)
        assert [one.task.id for one in (outcomes[0], outcomes[3]) if one.task] == there
        assert here.asked["imagine"] == 6


async def test_an_invalid_request_is_named_by_its_place_and_nothing_is_sent(tmp_path: Path) -> None:
    async with make_environment(tmp_path) as here:
        requests = [BOATS[0], make_request(model="z-image", prompt="boat", seed=7)]
        with pytest.raises(InvalidRequest, match=r"^b\.txt, line 2: z-image would ignore seed=7"):
            await made(here, new_run(here, requests, places=["b.txt, line 1", "b.txt, line 2"]))
        assert here.sent == []


async def test_the_sum_is_asked_about_once(tmp_path: Path) -> None:
    async with make_environment(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="11credits") as here:
        asked: list[TotalConfirmationRequest] = []

        async def agree(question: TotalConfirmationRequest) -> bool:
            asked.append(question)
            return True

        async def decline(_question: TotalConfirmationRequest) -> bool:
            return False

        with pytest.raises(Declined):
            await made(here, new_run(here, BOATS), ask=decline)
        with pytest.raises(NotConfirmed):
            await made(here, new_run(here, BOATS))
        assert here.sent == []
        outcomes, _ = await made(here, new_run(here, BOATS), ask=agree)
        assert ([str(one) for one in asked], exit_code(outcomes)) == (["6 tasks for about 12 credits"], 0)


async def test_a_confirmed_sum_covers_each_task(tmp_path: Path) -> None:
    """Each of them is above the limit too, and nobody is asked again."""
    async with make_environment(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="1credits") as here:

        async def agree(_question: TotalConfirmationRequest) -> bool:
            return True

        outcomes, _ = await made(here, new_run(here, BOATS[:2]), ask=agree)
        assert exit_code(outcomes) == 0


async def test_a_confirmed_sum_does_not_cover_a_higher_cost_at_another_provider(tmp_path: Path) -> None:
    """The provider of the sum fails after the question, so that the next call takes the other one."""
    request = make_request(model="flux-2-max", prompt="boat")
    async with make_wide_environment_without_copies(
        tmp_path,
        "journeyapi/submit:status=402,times=always",
        services=("journeyapi", "bfl"),
        JOURNEY_MCP_CONFIRM_ABOVE="7credits,0.05usd",
    ) as here:

        async def agree_and_fail(_question: TotalConfirmationRequest) -> bool:
            assert (await here.made(model="flux-2-max", prompt="another")).failure
            return True

        outcomes, _ = await made(here, new_run(here, [request, request]), ask=agree_and_fail)
        assert [str(one.error) for one in outcomes] == [
            "flux-2-max at bfl for about 0.07 usd was not part of the sum."
        ] * 2
        assert here.sent_to("bfl") == []


async def test_what_the_budget_does_not_cover_is_not_sent(tmp_path: Path) -> None:
    async with make_environment(tmp_path, JOURNEY_MCP_BUDGET="5credits/day") as here:
        outcomes, _ = await made(here, new_run(here, BOATS))
        assert [one.task is not None for one in outcomes] == [True, True, False, False, False, False]
        assert all(isinstance(one.error, OverBudget) for one in outcomes[2:])
        assert exit_code(outcomes) == 3
        assert here.asked["imagine"] == 2


async def test_a_failed_task_is_one_of_the_outcomes(tmp_path: Path) -> None:
    async with make_environment(tmp_path, "submit:fail_task=Out of paint,times=always") as here:
        outcomes, _ = await made(here, new_run(here, BOATS[:2]))
        assert [one.has_failed for one in outcomes] == [True, True]
        assert exit_code(outcomes) == 1


async def test_what_an_earlier_process_had_not_sent_is_sent(tmp_path: Path) -> None:
    """It ended with the process, free of charge, while the resumed run waited for it."""
    async with make_environment(tmp_path, JOURNEY_MCP_MAX_CONCURRENT="1") as here:
        run = new_run(here, BOATS[:2])
        async with running_studio(here.studio.settings, here.clock) as other:
            for index in (0, 1):
                await other.create(BOATS[index], LOCAL, entry=run.entry(index))
            other.begin_shutdown()
        outcomes, _ = await made(here, run)
        assert exit_code(outcomes) == 0
