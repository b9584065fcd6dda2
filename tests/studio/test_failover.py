"""Failover: if a provider refuses before anything was created, the next one is tried once, and a cooldown is stored."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import until
from support import (
    Environment,
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment,
    make_wide_environment_without_copies,
    running_studio,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission
from journey_mcp.sandbox import VtrixSettings
from journey_mcp.settings import read_settings

EDIT: dict[str, Any] = {"model": "flux-2-max", "prompt": "a red kite over the dunes"}
"""JourneyAPI and BFL have an offer of this model."""
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
    """Each provider is tried once; the notice gives the reason, and task, cost and result are the second one's."""
    async with make_wide_environment_without_copies(tmp_path, fault, services=TWO) as here:
        task = await here.made(**EDIT)
        assert (task.status, task.provider, here.created) == (Status.SUCCEEDED, "bfl", ["bfl"])
        assert task.base_url == here.upstream.base_urls["bfl"]
        assert task.cost is not None
        assert (task.cost.source, task.cost.unit) == ("provider", "usd")
        assert any(says in str(notice) and "bfl was tried next" in str(notice) for notice in task.notices)
        stored = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert (stored.provider, stored.notices) == (task.provider, task.notices)


async def test_at_the_limit_another_provider_is_tried_after_ten_seconds(tmp_path: Path) -> None:
    """If the limit clears in time, the first choice runs the task."""
    async with make_wide_environment_without_copies(
        tmp_path, "journeyapi/submit:status=429,times=2", services=TWO
    ) as here:
        task = await here.made(**EDIT)
        assert (task.provider, here.created, task.notices) == ("journeyapi", ["journeyapi"], ())
        here.faults("journeyapi/submit:status=429,times=always")
        task = await here.made(**EDIT)
        assert task.provider == "bfl"
        assert 10 < task.updated_at - task.created_at < 12.5


async def test_a_limit_with_a_long_retry_after_is_not_waited_for(tmp_path: Path) -> None:
    """A `Retry-After` of a minute is more than ten seconds."""
    fault = "journeyapi/submit:status=429,header.Retry-After=60,times=always"
    async with make_wide_environment_without_copies(tmp_path, fault, services=TWO) as here:
        assert (await here.made(**EDIT)).provider == "bfl"
        assert here.asked["imagine"] == 1


async def test_without_a_connection_the_next_provider_is_tried_at_once(tmp_path: Path) -> None:
    """Nothing was sent."""
    async with sandbox.running(coarse(speed=0)) as gone:
        nowhere = gone.base_url
    async with make_wide_environment_without_copies(tmp_path, services=TWO, JOURNEYAPI_BASE_URL=nowhere) as here:
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
async def test_no_other_provider_is_tried_after_an_unconfirmed_answer(tmp_path: Path, fault: str) -> None:
    """Also after a refusal of the request itself: the next provider would refuse it too."""
    async with make_wide_environment_without_copies(tmp_path, fault, services=TWO) as here:
        task = await here.made(**EDIT)
        assert (task.status, task.provider) == (Status.FAILED, "journeyapi")
        assert here.sent_to("bfl") == []
        assert await here.cooldowns() == {}


async def test_a_pinned_call_never_moves(tmp_path: Path) -> None:
    """It waits as long as with a single provider."""
    async with make_wide_environment_without_copies(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        task = await here.made(**EDIT, provider="journeyapi")
        assert task.failure is not None
        assert (task.failure.code, task.provider, here.sent_to("bfl")) == ("out_of_credits", "journeyapi", [])


async def test_a_provider_on_cooldown_is_tried_last_for_five_minutes_by_every_process(tmp_path: Path) -> None:
    """The cooldown is in the database; afterwards the order of preference applies again."""
    async with make_wide_environment_without_copies(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        await here.made(**EDIT)
        assert "too little money" in (await here.cooldowns())["journeyapi"].reason
        async with running_studio(here.studio.settings, here.clock) as other:
            beside = Environment(other, here.upstream, tmp_path, here.clock)
            task = await beside.made(**EDIT)
            assert task.provider == "bfl"
            assert "it is on cooldown" in str(task.notices[0])
            here.clock.shift_calendar(301)
            assert await beside.cooldowns() == {}
            assert (await beside.made(**EDIT)).provider == "journeyapi"


async def test_a_provider_on_cooldown_is_tried_if_no_other_one_can_run_it(tmp_path: Path) -> None:
    """When it works again, every process knows."""
    async with make_wide_environment_without_copies(tmp_path, "journeyapi/submit:status=402", services=TWO) as here:
        await here.made(**EDIT)
        here.faults("bfl/submit:status=402")
        task = await here.made(**EDIT)
        assert (task.status, task.provider) == (Status.SUCCEEDED, "journeyapi")
        with anyio.fail_after(20):
            while "journeyapi" in await here.cooldowns():
                await here.clock.sleep(1)
        assert set(await here.cooldowns()) == {"bfl"}


async def test_when_all_providers_refuse_the_error_gives_each_reason(tmp_path: Path) -> None:
    """Nothing is charged, and the error names the next step."""
    faults = ("journeyapi/submit:status=402", "bfl/submit:status=401")
    async with make_wide_environment_without_copies(tmp_path, *faults, services=TWO) as here:
        task = await here.made(**EDIT)
        failure = task.failure
        assert failure is not None
        assert (failure.code, task.submission, task.cost) == ("credentials_rejected", Submission.REFUSED, None)
        assert "journeyapi: journeyapi has too little money" in failure.message
        assert "bfl: bfl does not accept the key" in failure.message
        assert "Nothing was charged" in (failure.next_step or "")
        assert len(here.upstream.sandbox.request_log.submissions) == 2


async def test_403_at_vtrix_is_an_empty_balance(tmp_path: Path) -> None:
    """Vtrix has no 402."""
    given: dict[str, Any] = {"model": "flux-1.1-pro", "prompt": "a red kite"}
    services = ("vtrix", "replicate")
    async with make_wide_environment_without_copies(
        tmp_path, services=services, vtrix=VtrixSettings(balance_usd=0)
    ) as here:
        task = await here.made(**given)
        assert (task.provider, task.status) == ("replicate", Status.SUCCEEDED)
        assert "vtrix has too little money" in str(task.notices[0])


async def test_the_refusal_of_a_single_provider_is_reported_as_it_is(tmp_path: Path) -> None:
    """The error includes its balance."""
    async with make_environment_without_copies(tmp_path, credits=0) as here:
        task = await here.made()
        assert task.failure is not None
        assert "The balance is 0 credits" in task.failure.message
        assert set(await here.cooldowns()) == {"journeyapi"}


async def test_a_provider_that_cannot_run_it_does_not_shorten_the_wait(tmp_path: Path) -> None:
    """BFL cannot fetch the image, so JourneyAPI's limit is waited for as if it were the only provider."""
    given: dict[str, Any] = {
        "model": "flux-1.1-pro",
        "prompt": "a kite",
        "reference_images": ("http://127.0.0.1:9/a.png",),
    }
    services = ("replicate", "bfl")
    more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1:9"}
    async with make_wide_environment_without_copies(
        tmp_path, "replicate/submit:status=429,times=6", services=services, **more
    ) as here:
        task = await here.made(**given)
        assert (task.provider, len(here.sent_to("replicate")), here.sent_to("bfl")) == ("replicate", 7, [])


async def test_notices_of_the_first_provider_are_replaced_by_those_of_the_second(tmp_path: Path) -> None:
    """BFL converts the ratio to a size; JourneyAPI takes the ratio."""
    more = {"JOURNEY_MCP_PROVIDERS": "bfl,journeyapi"}
    async with make_wide_environment_without_copies(tmp_path, "bfl/submit:status=402", services=TWO, **more) as here:
        task = await here.made(**EDIT, aspect_ratio="16:9")
        assert (task.provider, here.sent_to("journeyapi")[0]["aspect_ratio"]) == ("journeyapi", "16:9")
        assert not any("is sent as" in str(notice) for notice in task.notices)


async def test_two_limits_at_once_are_retryable(tmp_path: Path) -> None:
    """The next step is to wait, and the error is retryable."""
    faults = ("journeyapi/submit:status=429,times=always", "bfl/submit:status=429,times=always")
    async with make_wide_environment_without_copies(tmp_path, *faults, services=TWO) as here:
        task = await here.made(**EDIT)
        assert task.failure is not None
        assert (task.failure.code, task.failure.retryable) == ("rate_limited", True)
        assert "Wait a minute" in (task.failure.next_step or "")


async def test_after_a_shutdown_began_nothing_more_is_sent(tmp_path: Path) -> None:
    """The first provider's refusal arrives after the shut-down began; the second provider gets no request."""
    faults = ("journeyapi/submit:delay=0.3", "journeyapi/submit:status=402")
    async with make_wide_environment_without_copies(tmp_path, *faults, services=TWO) as here:
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


async def test_after_the_client_has_left_an_image_that_expires_soon_is_still_copied(tmp_path: Path) -> None:
    """The process runs until its copy is stored."""
    async with make_wide_environment(tmp_path, services=["bfl"], speed=20) as here:
        async with running_studio(here.studio.settings, here.clock) as leaving:
            task = await until_accepted(leaving, await created(leaving, make_request(model="flux-2-pro")))
        stored = (await here.studio.fetch([task.id], LOCAL))[task.id]
        assert stored.status is Status.SUCCEEDED
        assert Path(stored.images[0].path or "").is_file()


async def test_the_first_success_ends_the_cooldown_of_a_single_provider_too(tmp_path: Path) -> None:
    """With one provider the cooldown is not read."""
    async with make_environment_without_copies(tmp_path, "submit:status=402") as here:
        await here.made()
        assert set(await here.cooldowns()) == {"journeyapi"}
        await here.made()
        with anyio.fail_after(20):
            while await here.cooldowns():
                await here.clock.sleep(1)
