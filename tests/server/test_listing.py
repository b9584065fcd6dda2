"""`fetch_task` without ids: pages, searches, and what was spent."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from manual_clock import ManualClock
from mcp import Client
from support import client_of, create_database, settings_for

from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task, new_task_id
from journey_mcp.store import open_store

DAY = 86400.0


def make_task(prompt: str, *, age_s: float = 0.0, **more: Any) -> Task:
    """Return a finished task of this age, at one credit."""
    created_at = ManualClock().now() - age_s
    made = Task(
        id=new_task_id(),
        principal=LOCAL,
        request=ImageRequest(tool="imagine", prompt=prompt, model="z-image"),
        provider="journeyapi",
        base_url="https://example.test",
        created_at=created_at,
        updated_at=created_at,
        status=Status.SUCCEEDED,
        submission=Submission.ACCEPTED,
        images=(OutputImage(url="https://example.test/1.png"),),
        cost=Cost(amount=Decimal(1), unit="credits", source="registry"),
        charges={"credits": Decimal(1)},
    )
    return replace(made, **more)


@asynccontextmanager
async def client_with(folder: Path, *tasks: Task, mode: str = "auto", **more: Any) -> AsyncIterator[Client]:
    """Connect a client to a server whose database has these tasks."""
    settings = settings_for("http://127.0.0.1:9", folder, **more)
    create_database(folder)
    async with open_store(settings.resolved_database_url()) as store:
        for task in tasks:
            assert await store.tasks.add(task, worker_id="x", lease_until=math.inf)
    async with client_of(settings, mode) as client:
        yield client


async def listed(client: Client, **arguments: Any) -> tuple[dict[str, Any], str]:
    """List tasks; return the object, which conforms to the schema, and the text."""
    result = await client.call_tool("fetch_task", arguments)
    (text,) = result.content
    assert text.type == "text"
    assert not result.is_error, text.text
    schema = next(tool.output_schema for tool in (await client.list_tools()).tools if tool.name == "fetch_task")
    assert schema is not None
    assert result.structured_content is not None
    jsonschema_rs.validator_for(schema).validate(result.structured_content)
    return result.structured_content, text.text


def ids_of(plain: dict[str, Any]) -> list[str]:
    """Return the ids of the tasks in a listing."""
    return [task["task_id"] for task in plain["tasks"]]


async def test_all_kept_tasks_are_listed_page_by_page(tmp_path: Path) -> None:
    """The newest first, 20 at a time; each page names where the next one begins, except the last."""
    tasks = [make_task(f"kite {number}", age_s=number * DAY) for number in range(45)]
    async with client_with(tmp_path, *tasks, JOURNEY_MCP_KEEP_DAYS="60") as client:
        pages: list[list[str]] = []
        before: dict[str, str] = {}
        while True:
            plain, text = await listed(client, **before)
            pages.append(ids_of(plain))
            if "next_before" not in plain:
                break
            before = {"before": plain["next_before"]}
            assert f'Older tasks: call fetch_task with before "{plain["next_before"]}"' in text
        assert [len(page) for page in pages] == [20, 20, 5]
        assert [id_ for page in pages for id_ in page] == [task.id for task in tasks]
        assert await listed(client, before=tasks[-1].id) == ({"tasks": []}, "No older tasks.")
        plain, _ = await listed(client, before=f'"{tasks[1].id}.1"')
        assert ids_of(plain)[0] == tasks[2].id


async def test_a_task_is_found_by_words_model_and_date(tmp_path: Path) -> None:
    """Pages of a search go on in the search."""
    kites = [make_task("A red KITE", age_s=number) for number in range(22)]
    boat = make_task("a paper boat", age_s=3 * DAY)
    async with client_with(tmp_path, *kites, boat) as client:
        first, _ = await listed(client, query="red kite")
        rest, _ = await listed(client, query="red kite", before=first["next_before"])
        assert ids_of(first) + ids_of(rest) == [task.id for task in kites]
        assert ids_of((await listed(client, query="z-image boat"))[0]) == [boat.id]
        created = (await listed(client, query="boat"))[0]["tasks"][0]["created_at"]
        assert ids_of((await listed(client, query=created[:10]))[0]) == [boat.id]
        plain, text = await listed(client, query="unicorn")
        assert plain["tasks"] == []
        assert "No task matches. Words must be in the prompt or model; tasks are kept 30 days." in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"before": "tsk_" + "a" * 22}, "before='tsk_aaaaaaaaaaaaaaaaaaaaaa' is none of your tasks"),
        ({"before": "yesterday"}, "Give the id of the last task of the page before (tsk_…), or leave out before"),
        ({"query": "2026-13"}, "query='2026-13': 2026-13 is not a date; give a day or a month, such as 2026-11-27"),
        ({"query": "kite", "task_ids": ["tsk_a"]}, "query cannot be given with task_ids: leave out task_ids to list"),
        ({"before": "a", "query": "b", "task_ids": ["tsk_a"]}, "or leave out query and before to get these tasks"),
    ],
)
async def test_an_error_corrects_the_model(tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    """It names the value and what to do."""
    async with client_with(tmp_path) as client:
        result = await client.call_tool("fetch_task", arguments)
    assert result.is_error
    assert result.content[0].type == "text"
    assert says in result.content[0].text


async def test_the_task_of_another_principal_is_unknown(tmp_path: Path) -> None:
    """It is not listed, not found, not counted, and no page begins after it."""
    foreign = make_task("a red kite", principal=Principal("another"))
    async with client_with(tmp_path, foreign) as client:
        for arguments in ({}, {"query": "kite"}):
            assert (await listed(client, **arguments))[0] == {"tasks": []}
        refused = await client.call_tool("fetch_task", {"before": foreign.id})
        unknown = await client.call_tool("fetch_task", {"before": (other := new_task_id())})
    assert str(refused.structured_content).replace(foreign.id, other) == str(unknown.structured_content)


PRICE = {"JOURNEY_MCP_CREDIT_PRICE": "0.005usd@journeyapi"}


async def test_credits_with_a_price_are_stated_in_dollars_too(tmp_path: Path) -> None:
    """Costs and totals, of that provider alone; the schemas have the property then, and only then."""
    elsewhere = Cost(amount=Decimal(3), unit="credits", source="registry")
    tasks = [make_task("a boat"), make_task("a kite", age_s=DAY, provider="bfl", cost=elsewhere)]
    async with client_with(tmp_path, *tasks, **PRICE) as client:
        plain, text = await listed(client)
        single = await client.call_tool("fetch_task", {"task_ids": [tasks[0].id]})
        schemas = [tool.output_schema for tool in (await client.list_tools()).tools]
    assert plain["tasks"][0]["cost"] == {"amount": "1", "unit": "credits", "source": "registry", "usd": "0.005"}
    assert single.structured_content is not None
    assert single.structured_content["tasks"] == plain["tasks"][:1]
    assert "usd" not in plain["tasks"][1]["cost"]
    assert plain["spent"]["today"] == [
        {"provider": "journeyapi", "unit": "credits", "amount": "1", "usd": "0.005", "tasks": 1}
    ]
    assert "Cost: 1 credits (0.005 USD; list price)\n" in text
    assert "Cost: 3 credits (list price)\n" in text
    assert "Spent today (UTC): 1 credits (0.005 USD) at journeyapi (1 task)." in text
    for schema in schemas:
        for task in _tasks_of(schema):
            assert set(plain["tasks"][0]["cost"]) == set(task["cost"]["properties"])
    async with client_with(tmp_path / "without") as client:
        found = [task for tool in (await client.list_tools()).tools for task in _tasks_of(tool.output_schema)]
    assert found
    assert all("usd" not in task["cost"]["properties"] for task in found)


def _tasks_of(schema: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the properties of a task in the schema of a tool's result, if there are any."""
    properties = (schema or {}).get("properties", {})
    properties = properties.get("tasks", {"items": {"properties": properties}})["items"]["properties"]
    return [properties] if "cost" in properties else []


async def test_the_first_page_says_what_was_spent(tmp_path: Path) -> None:
    """Today and in the last 30 days, by provider and unit; tasks of unknown cost are counted."""
    dollars = Cost(amount=Decimal("0.050"), unit="usd", source="provider")
    tasks = [
        make_task("now"),
        make_task("yesterday", age_s=1.5 * DAY),
        make_task("at another", age_s=2 * DAY, provider="bfl", cost=dollars, charges={"usd": dollars.amount}),
        make_task("unknown", age_s=2 * DAY, provider="vtrix", cost=None, charges={"usd": Decimal("0.10")}),
        make_task("long ago", age_s=31 * DAY),
        *(make_task("free", age_s=3 * DAY, provider="sandbox") for _ in range(20)),
    ]
    async with client_with(tmp_path, *tasks, JOURNEY_MCP_KEEP_DAYS="60") as client:
        plain, text = await listed(client)
        assert plain["spent"] == {
            "today": [{"provider": "journeyapi", "unit": "credits", "amount": "1", "tasks": 1}],
            "last_30_days": [
                {"provider": "bfl", "unit": "usd", "amount": "0.05", "tasks": 1},
                {"provider": "journeyapi", "unit": "credits", "amount": "2", "tasks": 2},
                {"provider": "vtrix", "tasks": 1},
            ],
        }
        assert text.endswith(
            "Spent today (UTC): 1 credits at journeyapi (1 task). In the last 30 days: 0.05 usd at bfl (1 task), "
            "2 credits at journeyapi (2 tasks), 1 task of unknown cost at vtrix."
        )
        assert "spent" not in (await listed(client, before=plain["next_before"]))[0]


async def test_a_dead_image_is_not_shown_as_a_link(tmp_path: Path) -> None:
    """Its link has expired, and its copy is gone or there is none; what to do is said."""
    gone = (
        OutputImage(
            url="https://example.test/1.png", expires_at=ManualClock().now() - 1, path=str(tmp_path / "gone.png")
        ),
    )
    async with client_with(tmp_path, make_task("lost", images=gone)) as client:
        plain, text = await listed(client)
    (image,) = plain["tasks"][0]["images"]
    assert (image["link"], "url" in image, "path" in image) == ("link expired, no copy", False, False)
    assert "https://example.test/1.png" not in text
    assert (
        "edit_image takes their ids if their provider gives new links; otherwise only a new call, which is charged, "
        "makes the image again." in text
    )
