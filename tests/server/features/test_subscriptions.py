"""Subscriptions through a real client: the end of a task, and new images in the list."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from manual_clock import until
from mcp import Client, MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from support import client_of, coarse, environment_for, running_studio, serving, settings_for

from journey_mcp import sandbox
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import read_settings

SLOW = coarse(speed=0, seed=7, faults=(sandbox.Fault.parse("submit:delay=30,times=9"),))
"""A task ends after half a minute."""


@asynccontextmanager
async def in_memory(folder: Path, mode: str, **more: Any) -> AsyncIterator[Client]:
    """Connect a client in memory."""
    async with (
        sandbox.running(SLOW) as upstream,
        client_of(settings_for(upstream.base_url, folder), mode, **more) as client,
    ):
        yield client


@asynccontextmanager
async def over_http(folder: Path, mode: str) -> AsyncIterator[tuple[Client, Lifespan]]:
    """Connect a client over HTTP."""
    async with sandbox.running(SLOW) as upstream:
        settings = read_settings(environment_for(upstream.base_url, folder))
        lifespan = Lifespan(settings, running_studio, is_local=False)
        app = make_app(lifespan)
        async with (
            app.router.lifespan_context(app),
            serving(app) as origin,
            Client(f"{origin}/mcp", mode=mode) as client,
        ):
            yield client, lifespan


async def started(client: Client, prompt: str = "a red kite") -> str:
    """Return the id of a task that runs."""
    made = await client.call_tool("imagine", {"prompt": prompt, "model": "z-image", "wait_s": 0})
    assert made.structured_content is not None
    assert made.structured_content["status"] == "running"
    return str(made.structured_content["task_id"])


async def subscribe(client: Client, uri: str) -> None:
    """Subscribe to a resource, without the warning of the SDK's method that later revisions have another way."""
    request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    """Unsubscribe from a resource."""
    request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def check_stream(client: Client) -> None:
    """Check that a stream of events has the end of a task, and nothing before it or of other resources."""
    task_id = await started(client)
    uris = [f"journey://tasks/{task_id}", f"journey://images/{task_id}.1", "journey://models"]
    async with client.listen(resources_list_changed=True, resource_subscriptions=uris) as stream:
        assert (await client.read_resource(uris[0])).contents
        events = [await anext(stream) for _ in range(3)]
    assert {event.uri for event in events if isinstance(event, ResourceUpdated)} == set(uris[:2])
    assert ResourcesListChanged() in events
    (content,) = (await client.read_resource(uris[0])).contents
    assert isinstance(content, types.TextResourceContents)
    assert '"status": "succeeded"' in content.text


async def test_a_stream_has_the_end_of_a_task(tmp_path: Path) -> None:
    """On a connection that stays."""
    async with in_memory(tmp_path, "auto") as client:
        assert client.server_capabilities.resources == types.ResourcesCapability(subscribe=True, list_changed=True)
        await check_stream(client)


async def test_a_stream_over_http_has_the_end_of_a_task(tmp_path: Path) -> None:
    """Over an event stream of its own request."""
    async with over_http(tmp_path, "auto") as (client, _):
        await check_stream(client)


async def test_a_stream_ends_with_the_server(tmp_path: Path) -> None:
    """With its result, so that the client knows; calls need not wait for it."""
    async with over_http(tmp_path, "auto") as (client, lifespan), client.listen(resources_list_changed=True) as stream:
        began = anyio.current_time()
        lifespan.drain()
        await lifespan.wait_for_calls()
        assert anyio.current_time() - began < 0.5
        assert [event async for event in stream] == []


async def test_a_client_of_an_older_revision_subscribes_to_a_resource(tmp_path: Path) -> None:
    """On a connection that stays; after it unsubscribes it gets nothing."""
    seen: list[Any] = []

    async def note(message: Any) -> None:
        seen.append(message)

    async with in_memory(tmp_path, "legacy", message_handler=note) as client:
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.resources.subscribe
        first, second = await started(client), await started(client, "a boat")
        for task_id in (first, second):
            await subscribe(client, f"journey://tasks/{task_id}")
        await unsubscribe(client, f"journey://tasks/{second}")
        await client.call_tool("fetch_task", {"task_ids": [first, second], "wait_s": 300})
        await until(lambda: bool(seen))
    assert [(type(one), one.params.uri) for one in seen] == [
        (types.ResourceUpdatedNotification, f"journey://tasks/{first}")
    ]


async def test_a_client_of_an_older_revision_that_listed_resources_learns_of_new_ones(tmp_path: Path) -> None:
    """Others are not disturbed."""
    for has_listed in (True, False):
        seen: list[Any] = []

        async def note(message: Any, seen: list[Any] = seen) -> None:
            seen.append(message)

        async with in_memory(tmp_path / str(has_listed), "legacy", message_handler=note) as client:
            if has_listed:
                await client.list_resources()
            task_id = await started(client)
            await client.call_tool("fetch_task", {"task_ids": [task_id], "wait_s": 300})
            await anyio.sleep(1)
        assert [type(one) for one in seen] == [types.ResourceListChangedNotification] * has_listed


async def test_over_http_a_client_of_an_older_revision_cannot_subscribe(tmp_path: Path) -> None:
    """Nothing could reach it between two requests, and the capabilities say so."""
    async with over_http(tmp_path, "legacy") as (client, _):
        assert client.server_capabilities.resources == types.ResourcesCapability(subscribe=False, list_changed=False)
        with pytest.raises(MCPError, match="Method not found"):
            await subscribe(client, "journey://spend")


@pytest.mark.parametrize("uri", ["journey://nothing", "https://example.test/"])
async def test_a_resource_that_cannot_exist_is_not_subscribed_to(uri: str, tmp_path: Path) -> None:
    """The error has its URI."""
    async with in_memory(tmp_path, "legacy") as client:
        with pytest.raises(MCPError, match="Resource not found") as raised:
            await subscribe(client, uri)
    assert (raised.value.error.code, raised.value.error.data) == (-32602, {"uri": uri})


async def test_subscriptions_are_limited(tmp_path: Path) -> None:
    """A client cannot fill the memory; one more is possible after another has ended."""
    async with in_memory(tmp_path, "legacy") as client:
        for number in range(1_000):
            await subscribe(client, f"journey://tasks/{number}")
        await subscribe(client, "journey://tasks/7")
        with pytest.raises(MCPError, match="At most 1,000 resources"):
            await subscribe(client, "journey://tasks/1000")
        await unsubscribe(client, "journey://tasks/0")
        await subscribe(client, "journey://tasks/1000")


@pytest.mark.parametrize("uris", [["journey://spend"] * 1_001, ["journey://tasks/" + "x" * 400]])
async def test_a_stream_is_limited(uris: list[str], tmp_path: Path) -> None:
    """So are all of them together: each keeps a connection."""
    async with in_memory(tmp_path, "auto") as client:
        with pytest.raises(MCPError, match=r"At most 1,000 resources .* URIs of at most 400 characters"):
            async with client.listen(resource_subscriptions=uris):
                pass
        async with AsyncExitStack() as stack:
            for _ in range(64):
                await stack.enter_async_context(client.listen(resources_list_changed=True))
            with pytest.raises(MCPError, match="Subscription limit reached"):
                await stack.enter_async_context(client.listen(resources_list_changed=True))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tasks_of_other_processes_cause_events_too(tmp_path: Path, mode: str) -> None:
    """Each end once, and none before the subscription."""
    seen: list[Any] = []

    async def note(message: Any) -> None:
        if mode == "legacy":  # else the stream has it too
            seen.append(message.params.uri)

    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox.running(SLOW))
        settings = settings_for(upstream.base_url, tmp_path)
        other = await stack.enter_async_context(client_of(settings))
        client = await stack.enter_async_context(client_of(settings, mode, message_handler=note))
        await ended(other, "before")
        await anyio.sleep(1)
        if mode == "legacy":
            await subscribe(client, "journey://spend")
        else:
            stream = await stack.enter_async_context(client.listen(resource_subscriptions=["journey://spend"]))
            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(collect, stream, seen)
        await anyio.sleep(20)
        assert seen == []
        for count, prompt in enumerate(("first", "second"), start=1):
            await ended(other, prompt)
            await anyio.sleep(6)
            assert seen == ["journey://spend"] * count
        await ended(client, "own")
        await anyio.sleep(20)
        assert seen == ["journey://spend"] * 3
        if mode == "auto":
            group.cancel_scope.cancel()


async def ended(client: Client, prompt: str) -> None:
    """Make an image, and wait for it."""
    made = await client.call_tool("imagine", {"prompt": prompt, "model": "z-image", "wait_s": 300})
    assert (made.structured_content or {})["status"] == "succeeded"


async def collect(stream: Any, seen: list[Any]) -> None:
    """Note the URIs of a stream of events."""
    while True:
        seen.append((await anext(stream)).uri)


async def test_a_database_that_cannot_be_read_ends_no_subscription(tmp_path: Path) -> None:
    """The next look that succeeds finds the task."""
    async with sandbox.running(SLOW) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with client_of(settings) as other, client_of(settings) as client:
            task_id = await started(other)
            uri = f"journey://tasks/{task_id}"
            async with client.listen(resource_subscriptions=[uri]) as stream:
                await other.call_tool("fetch_task", {"task_ids": [task_id], "wait_s": 300})
                rename_tasks(tmp_path, "tasks", "hidden")
                await anyio.sleep(30)
                rename_tasks(tmp_path, "hidden", "tasks")
                assert (await anext(stream)) == ResourceUpdated(uri=uri)


def rename_tasks(folder: Path, before: str, after: str) -> None:
    """Rename the table of tasks."""
    with closing(sqlite3.connect(folder / "tasks.db")) as database, database:
        database.execute(f"ALTER TABLE {before} RENAME TO {after}")


async def test_without_the_database_there_are_no_subscriptions(tmp_path: Path) -> None:
    """The error says what is wrong with the setup."""
    (tmp_path / "tasks.db").write_text("a shopping list, and no database at all", encoding="utf-8")
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path), "legacy") as client:
        with pytest.raises(MCPError, match="cannot be opened"):
            await subscribe(client, "journey://spend")
