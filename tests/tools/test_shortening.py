"""Results within the limits of clients: their maximum sizes, and what is left of the facts."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock
from mcp import Client
from support import client_of, coarse, compact, create_database, environment_of, settings_for

from journey_mcp import sandbox
from journey_mcp.core.errors import Failure
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task, new_task_id
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store
from journey_mcp.tools.results import Rendered, listing_text, task_object
from journey_mcp.tools.shortening import fit_listing, fit_single

NOW = 1_764_000_000.0
TASK = Task(
    id=new_task_id(),
    principal=LOCAL,
    request=ImageRequest(tool="imagine", prompt="a red kite over the dunes at dusk", model="midjourney"),
    provider="journeyapi",
    base_url="https://example.test",
    created_at=NOW,
    updated_at=NOW,
    status=Status.SUCCEEDED,
    submission=Submission.ACCEPTED,
    prediction_id="a6a3a450-6513-470e-a69e-0d37f2a74de4",
    progress=1.0,
    cost=Cost(amount=Decimal(4), unit="credits", source="registry"),
)
FAILURE = Failure(code="submission_unconfirmed", message="p", retryable=False, retry_after_s=600.0, next_step="Look.")


def noted(text: str) -> Notice:
    """Return a notice of this text."""
    return Notice.of("registry_note", text=text)


def urls(count: int, length: int = 100) -> tuple[OutputImage, ...]:
    """Return images with URLs of this length."""
    starts = (f"https://example.test/{number}/" for number in range(count))
    return tuple(OutputImage(url=f"{start}{'a' * (length - len(start) - 4)}.png") for start in starts)


def dead(images: Sequence[OutputImage], folder: Path | None = None) -> tuple[OutputImage, ...]:
    """Return the images with dead links, and with copies in this folder."""
    path = None if folder is None else str(folder / ("p" * 200))
    return tuple(replace(image, expires_at=NOW - 1, path=path) for image in images)


LONG = "\U0001f98a" * 32_000
ORDINARY = replace(TASK, images=urls(4), grid_url="https://example.test/grid.png", seed="3527346212")
WORST = {
    "ordinary": ORDINARY,
    "many images": replace(TASK, images=urls(64)),
    "long URLs": replace(TASK, images=urls(64, 8192), grid_url=urls(1, 8192)[0].url),
    "dead links": replace(TASK, images=dead(urls(64)), notices=(noted("n" * 300),) * 5),
    "few dead links": replace(ORDINARY, images=dead(ORDINARY.images)),
    "copies": replace(TASK, images=dead(urls(64), Path("/copies"))),
    "long texts": replace(
        TASK,
        request=ImageRequest(tool="imagine", prompt=LONG, model="m" * 500),
        provider="p" * 500,
        prediction_id="7" * 200,
        notices=tuple(noted(f"{number}{LONG[:300]}") for number in range(64)),
        seed="9" * 40,
        status=Status.FAILED,
        failure=replace(FAILURE, message=LONG[:2000], next_step=LONG[:500]),
    ),
    "everything": replace(
        TASK,
        request=ImageRequest(tool="imagine", prompt=f'"{LONG}', model="m" * 500),
        provider="p" * 500,
        prediction_id="7" * 200,
        notices=tuple(noted(f"{number}{LONG[:300]}") for number in range(64)),
        seed="-" + "9" * 40,
        images=dead(urls(64, 8192), Path("/copies")),
        grid_url=urls(1, 8192)[0].url,
        cost=Cost(amount=Decimal("123456789.123456789"), unit="credits", source="provider"),
        status=Status.FAILED,
        failure=replace(FAILURE, message='"' * 2000, next_step=LONG[:500]),
    ),
    "running": replace(
        TASK,
        status=Status.RUNNING,
        notices=tuple(noted(f"{number} {'n' * 400}") for number in range(20)),
        images=urls(64, 300),
        progress=0.345,
    ),
}


def plain(task: Task) -> dict[str, Any]:
    """Return a task as a caller on this machine sees it."""
    return task_object(task, now=NOW, with_prompt=True)


def twenty(task: Task) -> list[dict[str, Any]]:
    """Return twenty such tasks."""
    return [plain(replace(task, id=new_task_id())) for _ in range(20)]


def objects(shown: Sequence[Rendered]) -> list[dict[str, Any]]:
    """Return the objects of a listing."""
    return [one.plain for one in shown]


def text_of(shown: Sequence[Rendered]) -> str:
    """Return the text of a listing."""
    return listing_text([one.text for one in shown])


def check_same_facts(shown: Sequence[Rendered]) -> None:
    """Check that the text has the facts of the objects."""
    text = text_of(shown)
    for task in objects(shown):
        facts = [task["task_id"], task.get("prompt", ""), task.get("grid_url", ""), task.get("next_step", "")]
        facts += [value for image in task.get("images", ()) for value in image.values()]
        facts += [*task.get("notices", ()), task.get("error", {}).get("message", "")]
        for fact in facts:
            assert str(fact) in text


@pytest.mark.parametrize("kind", WORST)
def test_a_listing_of_twenty_tasks_is_short(kind: str) -> None:
    """At most 12 KB of text and 24 KB of JSON, with a block for each task, in the same order, with its id."""
    tasks = twenty(WORST[kind])
    listed = fit_listing(tasks)
    shown, text = objects(listed), text_of(listed)
    assert len(text.encode()) <= 12_000
    assert len(compact({"tasks": shown})) <= 24_100
    assert len(text.split("\n\n")) == 20
    assert [task["task_id"] for task in shown] == [task["task_id"] for task in tasks]
    assert {task["status"] for task in shown} == {tasks[0]["status"]}
    check_same_facts(listed)
    assert listed == fit_listing(tasks)
    for task, whole in zip(shown, tasks, strict=True):
        assert task == whole or f'fetch_task with task_ids ["{task["task_id"]}"]' in task["next_step"]
        assert list(task) == [name for name in whole if name in task]


@pytest.mark.parametrize("kind", ["ordinary", "few dead links"])
def test_a_listing_names_every_image_of_ordinary_tasks(kind: str) -> None:
    """Twenty grids: every id for edit_image, status, model, start of the prompt, URL of the grid."""
    for task in objects(fit_listing(twenty(WORST[kind]))):
        assert [image["id"] for image in task["images"]] == [f"{task['task_id']}.{n}" for n in range(1, 5)]
        assert {"status", "model", "provider", "cost", "prompt"} <= task.keys()
        assert ("grid_url" in task) == (kind == "ordinary")
        assert {image.get("link") for image in task["images"]} == {
            None if kind == "ordinary" else "link expired, no copy"
        }


def test_a_listing_says_how_many_images_there_are() -> None:
    """And how to get them."""
    for task in objects(fit_listing(twenty(WORST["many images"]))):
        assert len(task["images"]) == 4
        assert f"It has 64 images, up to {task['task_id']}.64." in task["next_step"]


def test_a_listing_keeps_the_next_step_after_a_failure() -> None:
    """It can keep a model from paying twice; every result has the next step after a success."""
    failed = replace(TASK, status=Status.FAILED, failure=replace(FAILURE, message="m" * 250, next_step="Look first."))
    for task in objects(fit_listing(twenty(replace(failed, notices=(noted("n" * 200),) * 3)))):
        assert task["next_step"].startswith("Look first. Shortened: ")
        assert task["error"]["message"].startswith("m" * 150)


def test_a_short_listing_is_whole() -> None:
    """Nothing is cut that fits, and long tasks use the room that short tasks leave."""
    tasks = [plain(replace(TASK, id=new_task_id(), images=urls(1))) for _ in range(12)]
    grids = [plain(replace(ORDINARY, id=new_task_id())) for _ in range(5)]
    assert objects(fit_listing([*grids, *tasks])) == [*grids, *tasks]
    assert fit_listing([]) == []


def test_one_task_in_a_listing_is_a_block() -> None:
    """Even if the listing has no other task."""
    (shown,) = fit_listing([plain(WORST["long URLs"])])
    assert len(shown.text.encode()) <= 3_000
    assert len(shown.plain["images"]) == 16


@pytest.mark.parametrize("kind", WORST)
def test_a_single_task_is_limited_and_names_all_its_images(kind: str) -> None:
    """Below the 25,000 tokens and 50,000 characters of Claude Code."""
    whole = plain(WORST[kind])
    shown = fit_single(whole)
    assert len(shown.text.encode()) <= 20_000
    assert len(compact(shown.plain)) <= 40_000
    assert [image["id"] for image in shown.plain.get("images", ())] == [
        image["id"] for image in whole.get("images", ())
    ]
    check_same_facts([shown])


def test_every_url_can_be_fetched() -> None:
    """Each of 64 URLs, too long for one result, is shown when its image is requested by id."""
    whole = plain(WORST["long URLs"])
    shown = fit_single(whole).plain
    hidden = [image["id"] for image in shown["images"] if "url" not in image]
    assert hidden
    assert shown["next_step"].endswith(f'task_ids ["{whole["images"][-1]["id"]}"] shows that image\'s URL.')
    for image in whole["images"]:
        assert image in fit_single(whole, [image["id"]]).plain["images"]


def test_a_task_of_64_ordinary_images_is_shown_whole() -> None:
    """Nothing is cut that fits."""
    whole = plain(replace(WORST["many images"], notices=(noted("n"),)))
    assert fit_single(whole).plain == whole


texts = st.text(max_size=3) | st.text(min_size=1, max_size=9).map(lambda text: text * 99)
tasks = st.builds(
    replace,
    st.just(TASK),
    request=st.builds(ImageRequest, tool=st.just("imagine"), prompt=texts, model=texts),
    provider=texts,
    status=st.sampled_from(Status),
    prediction_id=st.none() | st.just("7" * 200),
    progress=st.none() | st.floats(0, 1),
    notices=st.lists(texts.map(noted), max_size=5).map(tuple),
    failure=st.none() | st.builds(replace, st.just(FAILURE), message=texts, next_step=texts),
    images=st.builds(urls, st.integers(0, 70), st.integers(40, 9000)) | st.integers(0, 70).map(urls).map(dead),
    seed=st.none() | st.just("9" * 40),
)


@given(st.lists(tasks, min_size=1, max_size=20))
def test_any_tasks_fit(tasks: list[Task]) -> None:
    """Whatever they hold, single and in a listing."""
    wholes = [plain(task) for task in tasks]
    shown = fit_listing(wholes)
    assert len(text_of(shown).encode()) <= 12_000
    assert len(compact({"tasks": objects(shown)})) <= 24_100
    check_same_facts(shown)
    only = fit_single(wholes[0])
    assert len(only.text.encode()) <= 20_000
    assert len(compact(only.plain)) <= 40_000


async def call(client: Client, **arguments: Any) -> tuple[str, Any]:
    """Call fetch_task; return its text and its object, which conforms to the schema."""
    result = await client.call_tool("fetch_task", arguments)
    (text,) = result.content
    assert text.type == "text"
    schema = next(tool.output_schema for tool in (await client.list_tools()).tools if tool.name == "fetch_task")
    assert schema is not None
    jsonschema_rs.validator_for(schema).validate(result.structured_content)
    return text.text, result.structured_content


@pytest.mark.parametrize("kind", WORST)
async def test_a_client_gets_a_short_listing(kind: str, tmp_path: Path) -> None:
    """For the newest tasks and for twenty ids; a single id gets all facts."""
    settings = settings_for("http://127.0.0.1:9", tmp_path)
    now = ManualClock().now()
    stored = [replace(WORST[kind], id=new_task_id(), created_at=now - number) for number in range(20)]
    create_database(tmp_path)
    async with open_store(settings.resolved_database_url()) as store:
        for task in stored:
            assert await store.tasks.add(task, worker_id="x", lease_until=math.inf)
    async with client_of(settings) as client:
        for given in ({}, {"task_ids": [task.id for task in stored]}):
            text, structured = await call(client, wait_s=0, **given)
            assert len(text.encode()) <= 12_000
            assert len(compact(structured)) <= 24_100
            assert [task["task_id"] for task in structured["tasks"]] == [task.id for task in stored]
        last = f"{stored[7].id}.{max(1, len(stored[7].images))}"
        text, structured = await call(client, wait_s=0, task_ids=[last])
        assert len(text.encode()) <= 20_000
        assert len(compact(structured)) <= 40_100
        images = structured["tasks"][0].get("images", [])
        assert len(images) == len(stored[7].images)
        assert not images or "url" in images[-1] or "link" in images[-1]
        assert json.dumps(structured)


MANY = [f"https://example.test/{number}.png" for number in range(60_000)]
ANSWERS: dict[str, Any] = {
    "journeyapi": {"task_id": "7", "status": "finished", "image_urls": MANY},
    "vtrix": {"id": "7", "status": "completed", "output": [{"content": [{"url": url} for url in MANY]}]},
    "kkiai": {"id": "7", "status": "succeeded", "output": MANY},
    "replicate": {"id": "7", "status": "succeeded", "output": MANY},
}


@pytest.mark.parametrize("service", ANSWERS)
async def test_a_response_with_60000_images_is_a_result_of_64(service: str, tmp_path: Path) -> None:
    """In results, in the listing and in the database; a notice has the number."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, service, JOURNEY_MCP_COPY_MAX_MB="0"))
        body = ANSWERS[service]
        upstream.sandbox.faults.replace(
            sandbox.Fault(on=on, kind="status", status=200, body=body, times=None) for on in ("submit", "fetch")
        )
        async with client_of(settings) as client:
            made = await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})
            text, structured = await call(client)
        assert made.structured_content is not None
        assert len(made.structured_content["images"]) == 64
        notice = "The provider returned 60,000 images; the first 64 are kept."
        assert notice in made.structured_content["notices"]
        assert len(compact(made.structured_content)) <= 40_000
        assert len(text.encode()) <= 3_000
        assert "It has 64 images" in structured["tasks"][0]["next_step"]
        async with open_store(settings.resolved_database_url()) as store:
            stored = await store.tasks.find(made.structured_content["task_id"])
            assert stored is not None
            assert len(stored.images) == 64


async def test_unknown_ids_are_a_short_listing(tmp_path: Path) -> None:
    """Whatever they contain."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        ids = [f"{LONG[:60]}{number}" for number in range(20)]
        text, structured = await call(client, task_ids=ids)
        assert len(text.encode()) <= 12_000
        assert len(compact(structured)) <= 24_100
        assert len(structured["tasks"]) == 20
