"""A client that gives up waits no longer, lists, and repeats its call: the image is paid once. A person pays again."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import ManualClock
from mcp import Client
from support import client_of, coarse, settings_for

from journey_mcp import sandbox
from journey_mcp.settings import read_settings

CALL = {"prompt": "a lighthouse at dusk", "model": "z-image"}
"""Of a synchronous model: the provider's answer is the image."""


@asynccontextmanager
async def session(folder: Path, *faults: str, **more: Any) -> AsyncIterator[tuple[Client, Callable[[], int]]]:
    """Yield a client, and how many tasks the provider has created for it."""
    settings = coarse(speed=0, seed=7, faults=tuple(map(sandbox.Fault.parse, faults)))
    async with (
        sandbox.running(settings) as upstream,
        client_of(settings_for(upstream.base_url, folder, JOURNEY_MCP_KEEP_IMAGES="off", **more)) as client,
    ):
        yield client, lambda: sum(entry.outcome == "created" for entry in upstream.sandbox.request_log.submissions)


async def call(client: Client, **more: Any) -> Any:
    """Return the structured content of a call of `imagine`."""
    return (await client.call_tool("imagine", {**CALL, **more})).structured_content


async def give_up(client: Client, after_s: float, *, cancels: bool) -> None:
    """Call, and stop waiting; the server is notified, or not."""
    if cancels:
        with anyio.move_on_after(after_s):
            await call(client)
        return
    async with anyio.create_task_group() as group:
        group.start_soon(call, client)
        await anyio.sleep(after_s)


@pytest.mark.parametrize("cancels", [True, False])
@pytest.mark.parametrize("takes_s", [20, 40])
@pytest.mark.parametrize("gives_up_after_s", [5, 30, 60])
async def test_a_client_that_gives_up_and_repeats_its_call_pays_once(
    tmp_path: Path, gives_up_after_s: float, takes_s: float, *, cancels: bool
) -> None:
    """However long the provider takes; also if it looks at the list before."""
    async with session(tmp_path, f"submit:delay={takes_s}") as (client, created):
        await give_up(client, gives_up_after_s, cancels=cancels)
        listed = (await client.call_tool("fetch_task", {})).structured_content
        assert listed is not None
        repeated = await call(client, wait_s=300)
        assert [task["task_id"] for task in listed["tasks"]] == [repeated["task_id"]]
        assert repeated["status"] == "succeeded"
        assert created() == 1


@pytest.mark.parametrize("takes_s", [3, 20])
async def test_a_person_who_asks_again_after_two_minutes_gets_another_image(tmp_path: Path, takes_s: float) -> None:
    """A result that a client has had for a minute is not given again."""
    async with session(tmp_path, f"submit:delay={takes_s}") as (client, created):
        first = await call(client)
        await ManualClock().sleep(120)
        second = await call(client)
        assert (first["status"], second["status"]) == ("succeeded", "succeeded")
        assert (first["task_id"] != second["task_id"], created()) == (True, 2)


async def test_a_quick_answer_counts_at_once_and_a_slow_one_after_a_minute(tmp_path: Path) -> None:
    """The boundaries are 5 s and 60 s."""
    for takes_s, pause_s, expected in ((5, 0, 2), (6, 0, 1), (6, 59, 1), (6, 61, 2)):
        async with session(tmp_path / f"{takes_s}-{pause_s}", f"submit:delay={takes_s}") as (client, created):
            await call(client)
            await ManualClock().sleep(pause_s)
            await call(client)
            assert created() == expected, (takes_s, pause_s)


async def test_a_result_that_is_fetched_by_its_id_counts_at_once(tmp_path: Path) -> None:
    """A listing does not count, however often."""
    async with session(tmp_path, "submit:delay=20") as (client, created):
        first = await call(client)
        for _ in range(3):
            await client.call_tool("fetch_task", {})
        assert (await call(client))["task_id"] == first["task_id"]
        await client.call_tool("fetch_task", {"task_ids": [first["task_id"]]})
        assert (await call(client))["task_id"] != first["task_id"]
        assert created() == 2


async def test_the_first_call_with_a_key_gets_no_task_of_the_sandbox(tmp_path: Path) -> None:
    """Which ended with the server that had no key; nor does another server without."""
    async with client_of(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})) as client:
        tried = [await call(client, model="midjourney", wait_s=1)]
    async with client_of(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})) as client:
        tried.append(await call(client, model="midjourney", wait_s=1))
    async with session(tmp_path) as (client, created):
        tried.append(await call(client, model="midjourney", wait_s=1))
        assert created() == 1
    assert {task["status"] for task in tried[:2]} == {"running"}
    assert [task["provider"] for task in tried] == ["sandbox", "sandbox", "journeyapi"]
    assert len({task["task_id"] for task in tried}) == 3
