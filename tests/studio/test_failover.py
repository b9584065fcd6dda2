"""A provider that refuses before anything was created: the next one is tried, once, and everybody remembers."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import until
from support import (
    Environment,
    created,
    make_environment,
    make_request,
    make_wide_environment,
    running_studio,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission
from journey_mcp.sandbox import Settings, VtrixSettings
from journey_mcp.settings import read_settings

EDIT: dict[str, Any] = {"model": "flux-2-max", "prompt": "a red kite over the dunes"}
"""JourneyAPI and BFL offer it."""
TWO = ("journeyapi", "bfl")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("journeyapi/submit:status=401", "does not accept the key"),
        ("journeyapi/submit:status=402", "too little money"),
        ("journeyapi/submit:status=429,times=always", "at its limit"),
    ],
)
async def test_a_refusal_moves_the_call_to_the_next_provider(tmp_path: Path, fault: str, says: str) -> None:
    """Once each, with the reason; the task, its cost and its result are the second one's."""
    async with make_wide_environment(tmp_path, fault, services=TWO) as here:
        task = await here.made(**EDIT)
        assert (task.status, task.provider, here.created) == (Status.SUCCEEDED, "bfl", ["bfl"])
        assert task.base_url == here.upstream.base_urls["bfl"]
        assert task.cost is not None
        assert (task.cost.source, task.cost.unit) == ("provider", "usd")
        assert any(says in str(notice) and "bfl was tried next" in str(notice) for notice in task.notices)
        stored = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert (stored.provider, stored.notices) == (task.provider, task.notices)


async def test_at_the_limit_ten_seconds_are_waited_before_another_is_tried(tmp_path: Path) -> None:
    """A limit that clears in time keeps the first choice."""
    async with make_wide_environment(tmp_path, "journeyapi/submit:status=429,times=2", services=TWO) as here:
        task = await here.made(**EDIT)
        assert (task.provider, here.created, task.notices) == ("journeyapi", ["journeyapi"], ())
        here.faults("journeyapi/submit:status=429,times=always")
        task = await here.made(**EDIT)
        assert task.provider == "bfl"
        assert 10 < task.updated_at - task.created_at < 12.5


async def test_a_limit_that_says_how_long_is_not_waited_for(tmp_path: Path) -> None:
    """A minute is more than ten seconds."""
    fault = "journeyapi/submit:status=429,header.Retry-After=60,times=always"
    async with make_wide_environment(tmp_path, fault, services=TWO) as here:
        assert (await here.made(**EDIT)).provider == "bfl"
        assert here.asked["imagine"] == 1


async def test_without_a_connection_the_next_one_is_tried_at_once(tmp_path: Path) -> None:
    """Nothing was sent."""
    async with sandbox.running(Settings(speed=0)) as gone:
        nowhere = gone.base_url
    async with make_wide_environment(tmp_path, services=TWO, JOURNEYAPI_BASE_URL=nowhere) as here:
        settings = read_settings(
            {
                "JOURNEYAPI_API_KEY": "k",
                "JOURNEYAPI_BASE_URL": nowhere,
                "BFL_API_KEY": "k",
                "BFL_BASE_URL": here.upstream.base_urls["bfl"],
                "JOURNEY_MCP_DATA_DIR": str(tmp_path / "other"),
            }
        )
        async with running_studio(settings) as studio:
            opened = Environment(studio, here.upstream, tmp_path, here.clock)
            task = await opened.made(**EDIT)
            assert (task.provider, task.status) == ("bfl", Status.SUCCEEDED)
            assert "No connection" in str(task.notices[0])


@pytest.mark.parametrize(
    "fault",
    [
        "journeyapi/submit:status=500",
        "journeyapi/submit:status_after=503",
        "journeyapi/submit:reset_after",
        "journeyapi/submit:bad_json",
        "journeyapi/submit:status=400",
    ],
)
async def test_nothing_is_tried_elsewhere_after_an_answer_that_leaves_it_open(tmp_path: Path, fault: str) -> None:
    """Nor after a refusal that is about the request: the next one would be about it as well."""
    async with make_wide_environment(tmp_path, fault, services=TWO) as here:
        task = await here.made(**EDIT)
        assert (task.status, task.provider) == (Status.FAILED, "journeyapi")
        assert here.sent_to("bfl") == []
        assert await here.cooldowns() == {}


async def test_a_pinned_call_never_moves(tmp_path: Path) -> None:
    """It waits as long as a single provider is waited for."""
    async with make_wide_environment(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        task = await here.made(**EDIT, provider="journeyapi")
        assert task.failure is not None
        assert (task.failure.code, task.provider, here.sent_to("bfl")) == ("out_of_credits", "journeyapi", [])


async def test_who_refused_is_tried_last_for_five_minutes_by_every_process(tmp_path: Path) -> None:
    """It is kept in the database; then the order of preference holds again."""
    async with make_wide_environment(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        await here.made(**EDIT)
        assert "too little money" in (await here.cooldowns())["journeyapi"].reason
        async with running_studio(here.studio.settings, here.clock) as other:
            beside = Environment(other, here.upstream, tmp_path, here.clock)
            task = await beside.made(**EDIT)
            assert task.provider == "bfl"
            assert "it refused lately" in str(task.notices[0])
            here.clock.shift_calendar(301)
            assert await beside.cooldowns() == {}
            assert (await beside.made(**EDIT)).provider == "journeyapi"


async def test_who_rests_is_still_tried_when_nobody_else_can(tmp_path: Path) -> None:
    """And when it works again, everybody knows."""
    async with make_wide_environment(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        await here.made(**EDIT)
        here.faults("bfl/submit:status=402")
        task = await here.made(**EDIT)
        assert (task.status, task.provider) == (Status.SUCCEEDED, "journeyapi")
        with anyio.fail_after(20):
            while "journeyapi" in await here.cooldowns():
                await here.clock.sleep(1)
        assert set(await here.cooldowns()) == {"bfl"}


async def test_when_everybody_refuses_the_error_says_why_for_each(tmp_path: Path) -> None:
    """Free, and with what helps."""
    faults = ("journeyapi/submit:status=402", "bfl/submit:status=401")
    async with make_wide_environment(tmp_path, *faults, services=TWO) as here:
        task = await here.made(**EDIT)
        failure = task.failure
        assert failure is not None
        assert (failure.code, task.submission, task.cost) == ("credentials_rejected", Submission.REFUSED, None)
        assert "journeyapi: journeyapi has too little money" in failure.message
        assert "bfl: bfl does not accept the key" in failure.message
        assert "Nothing was charged" in (failure.next_step or "")
        assert len(here.upstream.sandbox.request_log.submissions) == 2


async def test_403_at_vtrix_is_an_empty_balance(tmp_path: Path) -> None:
    """There is no 402."""
    given: dict[str, Any] = {"model": "flux-1.1-pro", "prompt": "a red kite"}
    services = ("vtrix", "replicate")
    async with make_wide_environment(tmp_path, services=services, vtrix=VtrixSettings(balance_usd=0)) as here:
        task = await here.made(**given)
        assert (task.provider, task.status) == ("replicate", Status.SUCCEEDED)
        assert "vtrix has too little money" in str(task.notices[0])


async def test_a_single_provider_that_refuses_is_told_as_before(tmp_path: Path) -> None:
    """With its balance."""
    async with make_environment(tmp_path, credits=0) as here:
        task = await here.made()
        assert task.failure is not None
        assert "The balance is 0 credits" in task.failure.message
        assert set(await here.cooldowns()) == {"journeyapi"}


async def test_a_provider_that_could_not_run_it_takes_no_patience_away(tmp_path: Path) -> None:
    """BFL would have to fetch the picture and cannot: JourneyAPI's limit is waited for as if it were alone."""
    given: dict[str, Any] = {
        "model": "flux-1.1-pro",
        "prompt": "a kite",
        "reference_images": ("http://127.0.0.1:9/a.png",),
    }
    services = ("replicate", "bfl")
    more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1:9"}
    async with make_wide_environment(
        tmp_path, "replicate/submit:status=429,times=6", services=services, **more
    ) as here:
        task = await here.made(**given)
        assert (task.provider, len(here.sent_to("replicate")), here.sent_to("bfl")) == ("replicate", 7, [])


async def test_what_held_for_the_first_provider_is_not_told_of_the_second(tmp_path: Path) -> None:
    """BFL turns the ratio into a size, JourneyAPI takes it as it is."""
    more = {"JOURNEY_MCP_PROVIDERS": "bfl,journeyapi"}
    async with make_wide_environment(tmp_path, "bfl/submit:status=402", services=TWO, **more) as here:
        task = await here.made(**EDIT, aspect_ratio="16:9")
        assert (task.provider, here.sent_to("journeyapi")[0]["aspect_ratio"]) == ("journeyapi", "16:9")
        assert not any("is sent as" in str(notice) for notice in task.notices)


async def test_two_limits_at_once_are_worth_another_try(tmp_path: Path) -> None:
    """The advice is to wait, and the error says that it may be retried."""
    faults = ("journeyapi/submit:status=429,times=always", "bfl/submit:status=429,times=always")
    async with make_wide_environment(tmp_path, *faults, services=TWO) as here:
        task = await here.made(**EDIT)
        assert task.failure is not None
        assert (task.failure.code, task.failure.retryable) == ("rate_limited", True)
        assert "Wait a minute" in (task.failure.next_step or "")


async def test_a_process_that_is_told_to_end_sends_nothing_more(tmp_path: Path) -> None:
    """The first provider's refusal is on its way; the second one is not asked any more."""
    faults = ("journeyapi/submit:delay=0.3", "journeyapi/submit:status=402")
    async with make_wide_environment(tmp_path, *faults, services=TWO) as here:
        settings = here.studio.settings
        task_id = ""
        with anyio.CancelScope() as scope:
            async with running_studio(settings, here.clock) as ending:
                task_id = (await created(ending, make_request(**EDIT))).id
                await until(lambda: here.sent)
                scope.cancel()
                await anyio.sleep_forever()
        task = (await here.studio.fetch([task_id], LOCAL, seconds=600))[task_id]
        assert here.sent_to("bfl") == []
        assert task.failure is not None
        assert task.failure.code == "not_submitted"
        assert task.cost is None


async def test_when_the_client_hangs_up_a_picture_that_dies_soon_is_still_fetched(tmp_path: Path) -> None:
    """The process stays until its copy is there."""
    async with make_wide_environment(tmp_path, services=["bfl"], speed=20) as here:
        async with running_studio(here.studio.settings, here.clock) as leaving:
            task = await until_accepted(leaving, await created(leaving, make_request(model="flux-2-pro")))
        stored = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert stored.status is Status.SUCCEEDED
        assert Path(stored.images[0].path or "").is_file()


async def test_the_first_success_ends_the_rest_of_a_single_provider_too(tmp_path: Path) -> None:
    """Though nobody looks it up there."""
    async with make_environment(tmp_path, "submit:status=402") as here:
        await here.made()
        assert set(await here.cooldowns()) == {"journeyapi"}
        await here.made()
        with anyio.fail_after(20):
            while await here.cooldowns():
                await here.clock.sleep(1)
