"""Two principals at one server: an id of the other one is answered exactly like one that never existed."""

import base64
import io
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from manual_clock import ManualClock, until
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.subscriptions import ResourceUpdated
from PIL import Image
from support import statements

from journey_mcp import sandbox
from server.auth.served import ERAS, NEW, Answer, Served, add_token, serving_with

PROMPT = "a lighthouse in the secret garden of Ada"


@dataclass(frozen=True)
class Things:
    """What a principal has: a task, an image with its URL, and an upload."""

    task: str
    image: str
    upload: str
    url: str


def made_up(things: Things) -> Things:
    """Return ids and a URL of the same form that nobody has."""
    task = f"tsk_{'A' * (len(things.task) - 4)}"
    path = re.sub(r"[^/?]+(?=\.\w+(\?|$))", lambda name: "x" * len(name[0]), things.url)
    assert path != things.url
    return Things(task, f"{task}.2", f"up_{'A' * (len(things.upload) - 3)}", path)


Request = tuple[str, dict[str, Any]]
"""A method and its parameters."""


def call(tool: str, **arguments: Any) -> Request:
    """Return a tool call."""
    return "tools/call", {"name": tool, "arguments": arguments}


EDIT: dict[str, Any] = {"prompt": "make it red", "model": "flux-kontext-pro", "provider": "replicate"}
ENTRANCES: dict[str, Callable[[Things], Request]] = {
    "fetch a task": lambda of: call("fetch_task", task_ids=[of.task]),
    "fetch a task by its image": lambda of: call("fetch_task", task_ids=[of.image]),
    "list older tasks": lambda of: call("fetch_task", before=of.task),
    "cancel": lambda of: call("cancel_task", task_ids=[of.task]),
    "view": lambda of: call("view_image", image_ids=[of.image]),
    "view a task": lambda of: call("view_image", image_ids=[of.task]),
    "view an upload": lambda of: call("view_image", image_ids=[of.upload]),
    "edit an image": lambda of: call("edit_image", image=of.image, **EDIT),
    "edit an upload": lambda of: call("edit_image", image=of.upload, **EDIT),
    "refer to an image": lambda of: call(
        "imagine", prompt="x", model="nano-banana-2", provider="journeyapi", reference_images=[of.image]
    ),
    "a mask": lambda of: call(
        "edit_image", image=of.image, mask=of.upload, prompt="x", model="flux-fill-pro", provider="bfl"
    ),
    "refine by id": lambda of: call("refine_image", image=of.image, action="vary"),
    "refine a task": lambda of: call("refine_image", image=of.task, action="vary"),
    "refine by URL": lambda of: call("refine_image", image=of.url, action="vary"),
    "keep a mask of an image": lambda of: call("keep_image", data=pixels(), mask_of=of.image),
    "keep a mask of an upload": lambda of: call("keep_image", data=pixels(), mask_of=of.upload),
    "read a task": lambda of: ("resources/read", {"uri": f"journey://tasks/{of.task}"}),
    "read an image": lambda of: ("resources/read", {"uri": f"journey://images/{of.image}"}),
    "complete a task": lambda of: ("completion/complete", completion("tasks", of.task)),
    "complete an image": lambda of: ("completion/complete", completion("images", of.image)),
    "tasks/get": lambda of: ("tasks/get", {"taskId": of.task}),
    "tasks/update": lambda of: ("tasks/update", {"taskId": of.task, "inputResponses": {}}),
    "tasks/cancel": lambda of: ("tasks/cancel", {"taskId": of.task}),
}
"""Every way in which a client can name a task, an image or an upload."""


def completion(kind: str, value: str) -> dict[str, Any]:
    """Return the parameters of a completion of a resource template."""
    ref = {"type": "ref/resource", "uri": f"journey://{kind}/{{id}}"}
    return {"ref": ref, "argument": {"name": "id", "value": value}}


def pixels() -> str:
    """Return a small image as a data URI."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 255).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def masked(answer: Answer, things: Things) -> str:
    """Return an answer with placeholders for the ids that were sent."""
    text = json.dumps([answer.status, answer.message], sort_keys=True)
    for name in ("image", "task", "upload", "url"):
        text = text.replace(getattr(things, name), f"({name})")
    return text


@asynccontextmanager
async def two_principals(
    folder: Path, serving: Callable[..., AbstractAsyncContextManager[Served]] = serving_with, **more: str
) -> AsyncIterator[tuple[Served, str, str]]:
    """Serve MCP for two principals, and return their tokens."""
    file = folder / "tokens"
    ada, bob = add_token(file, "ada"), add_token(file, "bob")
    async with serving(folder, JOURNEY_MCP_TOKENS_FILE=str(file), **more) as served:
        yield served, ada, bob


async def make_things(served: Served, token: str) -> Things:
    """Make a grid of images and an upload."""
    task = (await served.call(token, "imagine", prompt=PROMPT, model="midjourney", wait_s=300)).structured
    assert task["status"] == "succeeded", task
    kept = (await served.call(token, "keep_image", data=pixels())).structured
    second = task["images"][1]
    return Things(task["task_id"], second["id"], kept["image_id"], second["url"])


@pytest.mark.parametrize("era", ERAS)
async def test_the_id_of_another_principal_is_an_unknown_one(tmp_path: Path, era: str) -> None:
    """At every entrance, to the letter; for its own principal the id works."""
    async with two_principals(tmp_path) as (served, ada, bob):
        things = await make_things(served, ada)
        none = made_up(things)
        for entrance, make in ENTRANCES.items():
            if entrance.startswith("tasks/") and era != NEW:
                continue
            before = len(served.upstream.sandbox.request_log.submissions)
            theirs = await served.send(bob, *make(things), era)
            unknown = await served.send(bob, *make(none), era)
            assert masked(theirs, things) == masked(unknown, none), entrance
            assert "secret garden" not in json.dumps(theirs.message)
            assert len(served.upstream.sandbox.request_log.submissions) == before
            own = await served.send(ada, *make(things), era)
            assert masked(own, things) != masked(theirs, things), entrance


async def test_statements_that_look_for_an_id_have_the_principal_in_their_condition(tmp_path: Path) -> None:
    """So that nothing of another's task is read, and an answer takes no longer than for an id that does not exist."""
    async with two_principals(tmp_path) as (served, ada, bob):
        things = await make_things(served, ada)
        ids, found = (things.task, things.image, things.upload, things.url), 0
        for entrance, make in ENTRANCES.items():
            with statements("WHERE") as seen:
                await served.send(bob, *make(things))
            looking = [(sql, values) for sql, values in seen if any(id_ in str(values) for id_ in ids)]
            for sql, values in looking:
                assert "principal = ?" in sql.partition("WHERE")[2], f"{entrance}: {sql}"
                assert "token:bob" in str(values), entrance
            found += bool(looking)
        assert found > len(ENTRANCES) // 2


async def test_lists_and_sums_are_of_the_principal(tmp_path: Path) -> None:
    """Also those of resources."""
    async with two_principals(tmp_path) as (served, ada, bob):
        things = await make_things(served, ada)
        for token, is_own in ((ada, True), (bob, False)):
            for request in (
                call("fetch_task"),
                call("fetch_task", query="lighthouse"),
                ("resources/list", {}),
                ("completion/complete", completion("tasks", "tsk")),
            ):
                assert (things.task in json.dumps((await served.send(token, *request)).message)) is is_own
            spent = await served.send(token, "resources/read", {"uri": "journey://spend"})
            (content,) = spent.message["result"]["contents"]
            assert bool(json.loads(content["text"])["today"]) is is_own


async def test_the_answer_of_one_principal_is_none_of_another(tmp_path: Path) -> None:
    """The state of a question about the cost belongs to whom it was asked."""
    async with two_principals(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="0.001usd,1credits") as (served, ada, bob):
        method, params = call("imagine", prompt=PROMPT, model="midjourney", wait_s=300)
        asked = (await served.send(ada, method, params)).message["result"]
        assert asked["resultType"] == "input_required"
        answers = {"cost": {"action": "accept", "content": {"agree": True}}}
        params = {**params, "requestState": asked["requestState"], "inputResponses": answers}
        stolen = await served.send(bob, method, params)
        assert stolen.message["error"]["message"] == "Invalid or expired requestState"
        assert not served.upstream.sandbox.request_log.submissions
        assert (await served.send(ada, method, params)).structured["status"] == "succeeded"


async def test_an_administrator_sees_totals_only(tmp_path: Path) -> None:
    """What all principals spent, by provider; no task, no image and no prompt."""
    async with two_principals(tmp_path) as (served, ada, _bob):
        things = await make_things(served, ada)
        admin = add_token(tmp_path / "tokens", "admin", "scopes=admin")
        spent = await served.send(admin, "resources/read", {"uri": "journey://spend"})
        own = await served.send(ada, "resources/read", {"uri": "journey://spend"})
        assert spent.message["result"]["contents"] == own.message["result"]["contents"]
        assert things.task not in json.dumps(spent.message)
        for make in ENTRANCES.values():
            assert (await served.send(admin, *make(things))).status == 403


async def test_the_same_call_of_two_principals_makes_two_tasks(tmp_path: Path) -> None:
    """While it joins the running task of its own principal."""
    async with two_principals(tmp_path) as (served, ada, bob):
        served.upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:delay=30,times=9")])
        request: dict[str, Any] = {"prompt": PROMPT, "model": "z-image", "wait_s": 0}
        first, again, theirs = [
            (await served.call(token, "imagine", **request)).structured["task_id"] for token in (ada, ada, bob)
        ]
        assert first == again != theirs
        await until(lambda: len(served.upstream.sandbox.request_log.submissions) == 2)


async def test_events_are_of_the_principal(tmp_path: Path) -> None:
    """Who listens to the task of another principal is told nothing, as for a task that does not exist."""
    clock = ManualClock()
    async with two_principals(tmp_path) as (served, ada, bob):
        served.upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:delay=30,times=9")])
        tasks = [
            (await served.call(token, "imagine", prompt=PROMPT, model="z-image", wait_s=0)).structured["task_id"]
            for token in (ada, bob)
        ]
        uris = [f"journey://tasks/{task}" for task in tasks]
        received: dict[str, set[str]] = {ada: set(), bob: set()}

        async def listen(token: str) -> None:
            async with client_of(served, token) as client, client.listen(resource_subscriptions=uris) as stream:
                async for event in stream:
                    assert isinstance(event, ResourceUpdated)
                    received[token].add(event.uri)

        async with anyio.create_task_group() as group:
            group.start_soon(listen, ada)
            group.start_soon(listen, bob)
            await until(lambda: all(received.values()), within_s=120)
            await clock.sleep(60)
            group.cancel_scope.cancel()
        assert received == {ada: {uris[0]}, bob: {uris[1]}}


@asynccontextmanager
async def client_of(served: Served, token: str) -> AsyncIterator[Client]:
    """Open the SDK's client with a token."""
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, trust_env=False, verify=False, timeout=None)
    async with http, Client(streamable_http_client(f"{served.address}/mcp", http_client=http)) as client:
        yield client
