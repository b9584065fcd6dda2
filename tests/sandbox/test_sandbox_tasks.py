"""Tasks: /fetch, /fetch-many, /account, credits and limits."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import math
from typing import Any

import pytest
from manual_clock import ManualClock, until
from starlette.requests import Request

from journey_mcp.sandbox import Fault, JourneyApiSettings, Settings
from journey_mcp.sandbox.tasks import Task, Tasks
from journey_mcp.sandbox.wire import hold

from .upstream import upstream

BLOCKED = "a boat, forbidden-in-sandbox"


def at_real_speed(**journeyapi: Any) -> Settings:
    return Settings(speed=1, seed=3, journeyapi=JourneyApiSettings(**journeyapi))


async def test_a_task_passes_the_documented_states() -> None:
    clock = ManualClock()
    async with upstream(at_real_speed()) as up:
        task_id = await up.made()
        seen = []
        for _ in range(300):
            payload = await up.fetch(task_id)
            seen.append((payload["status"], payload.get("percentage")))
            clock.advance(0.31)
        words = list(dict.fromkeys(word for word, _ in seen))
        assert words == ["staged", "pending", "starting", "processing", "finished"]
        shares = [share for word, share in seen if word == "processing"]
        assert all(isinstance(share, str) for share in shares)
        numbers = [int(share or "-1") for share in shares]
        assert numbers == sorted(numbers)
        assert (numbers[0], numbers[-1]) == (0, 99)
        assert seen[-1] == ("finished", "100")
        assert {share for word, share in seen if word in ("staged", "pending", "starting")} == {None}


async def test_midjourney_takes_30_to_90_seconds_divided_by_speed() -> None:
    clock = ManualClock()
    async with upstream(Settings(speed=10)) as up:
        task_id = await up.made()
        clock.advance(2.9)
        assert (await up.fetch(task_id))["status"] == "processing"
        clock.advance(6.2)
        assert (await up.fetch(task_id))["status"] == "finished"


async def test_a_finished_grid_has_the_documented_form() -> None:
    async with upstream(Settings(speed=0, seed=1)) as up:
        task_id = await up.made()
        images = f"{up.running.origin}/pictures/{task_id}"
        payload = await up.fetch(task_id)
        assert payload.pop("seed").isdigit()
        assert payload == {
            "task_id": task_id,
            "task_type": "imagine",
            "model": "midjourney",
            "status": "finished",
            "percentage": "100",
            "original_image_url": f"{images}/grid_0.png",
            "image_urls": [f"{images}/0_{index}.png" for index in range(4)],
        }


async def test_a_finished_single_has_the_documented_form() -> None:
    async with upstream(Settings(speed=0, seed=1)) as up:
        task_id = await up.made(model="flux-pro")
        assert await up.fetch(task_id) == {
            "task_id": task_id,
            "task_type": "imagine",
            "model": "flux-pro",
            "status": "finished",
            "percentage": "100",
            "image_url": f"{up.running.origin}/pictures/{task_id}/0.png",
        }


async def test_a_failed_task_has_the_documented_form() -> None:
    async with upstream(Settings(speed=0, seed=1)) as up:
        task_id = await up.made(prompt=BLOCKED)
        assert await up.fetch(task_id) == {
            "task_id": task_id,
            "task_type": "imagine",
            "model": "midjourney",
            "status": "failed",
            "error": "Content policy violation",
        }
        assert (await up.image(f"{up.running.origin}/pictures/{task_id}/0_0.png")).status_code == 404


async def test_a_failed_synchronous_task_is_reported_at_once() -> None:
    async with upstream(Settings(speed=0, seed=1)) as up:
        response = (await up.imagine(model="recraft", prompt=BLOCKED)).json()
        assert response == {"task_id": response["task_id"], "status": "failed", "error": "Content policy violation"}


@pytest.mark.parametrize("body", [{}, {"task_id": ""}, {"task_id": 7}])
async def test_fetch_requires_a_task_id(body: dict[str, Any]) -> None:
    async with upstream(Settings(speed=0)) as up:
        response = await up.client.post("/fetch", json=body)
        assert (response.status_code, response.json()) == (400, {"errors": [{"msg": "task_id is required"}]})


@pytest.mark.parametrize(
    ("reading", "status", "body"),
    [
        ("400", 400, {"errors": [{"msg": "task_id not found"}]}),
        ("404", 404, {"errors": [{"msg": "task_id not found"}]}),
        ("empty", 200, {}),
    ],
)
async def test_the_response_to_an_unknown_task_is_a_setting(reading: Any, status: int, body: dict[str, Any]) -> None:
    async with upstream(Settings(journeyapi=JourneyApiSettings(unknown_task=reading))) as up:
        response = await up.client.post("/fetch", json={"task_id": "unknown"})
        assert (response.status_code, response.json()) == (status, body)


async def test_fetch_many_omits_unknown_tasks() -> None:
    async with upstream(Settings(speed=0)) as up:
        ids = [await up.made(), await up.made(model="flux-dev")]
        response = await up.client.post("/fetch-many", json={"task_ids": [ids[0], "unknown", 7, ids[1]]})
        assert response.status_code == 200
        assert response.json() == {"tasks": [await up.fetch(task_id) for task_id in ids]}


@pytest.mark.parametrize("ids", [None, "ab", [], ["1"], ["1"] * 21])
async def test_fetch_many_takes_2_to_20_ids(ids: Any) -> None:
    async with upstream(Settings(speed=0)) as up:
        response = await up.client.post("/fetch-many", json={"task_ids": ids})
        assert response.status_code == 400
        assert response.json() == {"errors": [{"msg": "task_ids must contain 2-20 IDs"}]}


async def test_the_account_has_the_balance_and_the_number_of_images() -> None:
    settings = JourneyApiSettings(email="me@example.test", credits=20, plan="growth")
    async with upstream(Settings(speed=0, journeyapi=settings)) as up:
        await up.made()
        await up.made(model="flux-dev")
        assert await up.account() == {
            "email": "me@example.test",
            "credits": 14,
            "total_images": 5,
            "plan": "growth",
        }


async def test_an_empty_balance_is_rejected_with_402() -> None:
    async with upstream(Settings(speed=0, journeyapi=JourneyApiSettings(credits=5))) as up:
        await up.made()
        response = await up.imagine()
        assert (response.status_code, response.json()) == (402, {"errors": [{"msg": "Insufficient credits"}]})
        assert (await up.account())["credits"] == 1
        assert (await up.imagine(model="flux-schnell")).status_code == 200
        up.running.journeyapi.credits = 4
        assert (await up.imagine()).status_code == 200


@pytest.mark.parametrize(("refunds", "left"), [(True, 500), (False, 496)])
async def test_a_failed_task_is_refunded_if_the_settings_say_so(refunds: bool, left: int) -> None:
    async with upstream(Settings(speed=0, journeyapi=JourneyApiSettings(refunds_failed_tasks=refunds))) as up:
        await up.made(prompt=BLOCKED)
        assert (await up.account())["credits"] == left
        assert (await up.account())["total_images"] == 0


@pytest.mark.parametrize(("plan", "limit"), [("basic", 5), ("starter", 10), ("growth", 25)])
async def test_a_plan_limits_the_tasks_at_once(plan: Any, limit: int) -> None:
    clock = ManualClock()
    async with upstream(at_real_speed(plan=plan)) as up:
        for _ in range(limit):
            await up.made()
        response = await up.imagine()
        assert (response.status_code, response.json()) == (429, {"errors": [{"msg": "Rate limit exceeded"}]})
        clock.advance(90)
        await up.made()


async def test_the_enterprise_plan_has_no_limit() -> None:
    async with upstream(at_real_speed(plan="enterprise")) as up:
        assert {(await up.imagine()).status_code for _ in range(30)} == {200}


async def test_a_held_synchronous_request_counts_as_a_task() -> None:
    clock = ManualClock()
    async with upstream(at_real_speed(plan="basic")) as up, asyncio.TaskGroup() as group:
        held = [group.create_task(up.imagine(model="z-image")) for _ in range(5)]
        await until(lambda: up.running.sandbox.tasks.running == 5)
        assert (await up.imagine()).status_code == 429
        clock.advance(10)
        assert {(await request).status_code for request in held} == {200}


async def test_a_client_that_disconnects_from_a_held_request_finds_its_task_finished_later() -> None:
    clock = ManualClock()
    async with upstream(at_real_speed()) as up:
        request = asyncio.create_task(up.imagine(model="z-image"))
        request_log = up.running.sandbox.request_log
        await until(lambda: bool(request_log.submissions) and request_log.submissions[0].outcome == "created")
        request.cancel()
        await asyncio.wait([request])
        clock.advance(10)
        assert (await up.fetch(str(request_log.submissions[0].task_id)))["status"] == "finished"


async def test_a_hanging_synchronous_request_ends_when_its_client_disconnects() -> None:
    async with upstream(Settings(speed=0, faults=(Fault(on="submit", kind="hang"),))) as up:
        request = asyncio.create_task(up.imagine(model="z-image"))
        await until(lambda: up.running.sandbox.tasks.running == 1)
        request.cancel()
        await asyncio.wait([request])
        task_id = str(up.running.sandbox.request_log.submissions[0].task_id)
        assert (await up.fetch(task_id))["status"] == "processing"


async def test_a_held_request_ends_at_once_when_its_client_disconnects() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await asyncio.wait_for(hold(Request({"type": "http"}, receive), ManualClock(), until=math.inf), 5)


def over(number: int, kept_bytes: int = 0) -> Task:
    return Task(
        task_id=str(number),
        service="journeyapi",
        kind="imagine",
        model="m",
        origin="http://o",
        accepted_at=0,
        ends_at=0,
        charged=1,
        seed=1,
        kept_bytes=kept_bytes,
    )


def test_the_oldest_finished_tasks_are_dropped() -> None:
    tasks = Tasks(kept_tasks=2, kept_bytes=100)
    for number in range(3):
        tasks.put(over(number))
    assert [task.task_id for task in tasks.settle(1, "journeyapi")] == ["0", "1", "2"]
    assert [bool(tasks.find(str(number))) for number in range(3)] == [False, True, True]


def test_tasks_that_use_much_memory_are_dropped_sooner() -> None:
    tasks = Tasks(kept_tasks=10, kept_bytes=100)
    for number in range(3):
        tasks.put(over(number, kept_bytes=50))
    tasks.settle(1, "journeyapi")
    assert [bool(tasks.find(str(number))) for number in range(3)] == [False, True, True]
