"""The parts of `make interop` fit together; the clients themselves run only there."""

import json
from typing import Any

import httpx2
import pytest
from support import serving

from interop.checks import CALLS, VIEW, printed_problems, problems, seen, unseen
from interop.clients import CLIENTS, DOCUMENT, program
from interop.model import FAREWELL, Model, Pixels
from interop.results import with_rows

ROOT = DOCUMENT.parents[1]
IMAGE = "Image tsk_a-B_1.1: http://127.0.0.1:4711/pictures/x/0.jpg image/jpeg"
RESULTS = {"1": IMAGE, "2": "model='dall-e-99' is not known: z-image", "3": "image='tsk_nobody.1'"}
IMAGINE = {"properties": {"prompt": {"type": "string"}, "model": {"enum": ["z-image"]}}, "required": ["prompt"]}
TOOLS = ("imagine", "edit_image", "refine_image", "fetch_task", "cancel_task", "view_image", "keep_image")
SCHEMAS = dict.fromkeys(TOOLS, IMAGINE)


def test_every_client_has_a_program_and_a_lock() -> None:
    """The lock matches the language of the program."""
    for client in CLIENTS:
        language, text = program(client.name)
        assert "journey-mcp" in text
        in_python = ROOT / "requirements" / "interop" / f"{client.folder.name}.txt"
        in_node = ROOT / "tests" / "interop" / client.folder.name / "package-lock.json"
        assert (language, in_python.exists(), in_node.exists()) in {
            ("python", True, False),
            ("js", False, True),
            ("sh", False, True),
        }


def test_a_model_that_sees_everything_has_no_problems() -> None:
    """Strict schemas must require all arguments."""
    model = Model(calls=CALLS, schemas=dict(SCHEMAS), results=dict(RESULTS))
    assert problems(model) == []
    assert problems(model, is_strict=True) == [f"not strict: {', '.join(TOOLS)}"]
    nullable: Any = IMAGINE | {
        "properties": {"prompt": {}, "model": {"anyOf": [{"enum": ["z-image"]}, {"type": "null"}]}}
    }
    assert problems(Model(calls=CALLS, schemas=SCHEMAS | {"imagine": nullable}, results=dict(RESULTS))) == []


def test_the_output_of_a_program_without_a_model_is_checked() -> None:
    """The tools, and the result of a call, one JSON document after the other."""
    tools = {"tools": [{"name": name, "inputSchema": schema} for name, schema in SCHEMAS.items()]}
    made = {"content": [{"type": "text", "text": IMAGE}]}
    assert printed_problems(f"{json.dumps(tools)}\n{json.dumps(made, indent=2)}\n") == []
    found = printed_problems(json.dumps({"tools": tools["tools"][1:]}) + json.dumps({"content": []}))
    missing = [f"the model sees no {name} of the image" for name in ("id", "URL")]
    assert found == ["the model does not see imagine", *missing]


def test_a_client_may_check_arguments() -> None:
    """Its error names the argument alone."""
    results = RESULTS | {"2": "model does not match the schema"}
    model = Model(calls=CALLS, schemas=dict(SCHEMAS), results=dict(results))
    assert problems(model) == ["the error of an unknown model does not name it and the known ones"]
    assert problems(model, is_validating=True) == []


async def test_a_client_may_put_something_before_the_names() -> None:
    """The fake model calls a tool by the name that it was shown."""
    model = Model(calls=CALLS, prefix="journey_")
    tools = [{"type": "function", "function": {"name": "journey_imagine", "parameters": IMAGINE}}]
    async with serving(model.app()) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": [], "tools": tools})
    [call] = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "journey_imagine"
    assert model.schemas == {"imagine": IMAGINE}


def test_a_client_may_hide_tools() -> None:
    """Those that are not meant for a model."""
    shown = {name: schema for name, schema in SCHEMAS.items() if name != "keep_image"}
    model = Model(calls=CALLS, schemas=dict(shown), results=dict(RESULTS))
    assert problems(model) == ["the model does not see keep_image"]
    assert problems(model, hidden={"keep_image"}) == []
    calls = [call for call in VIEW if call.tool != "keep_image"]
    assert unseen(Model(calls=calls, results={"1": IMAGE, "2": "upscale_2x of tsk_a.1", "3": "1024x1024"})) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemas": {}}, "does not see imagine"),
        ({"schemas": SCHEMAS | {"imagine": {"properties": {"model": {}}}}}, "imagine does not require a prompt"),
        ({"schemas": SCHEMAS | {"imagine": {"properties": {"model": {}}}}}, "imagine does not name the models"),
        ({"results": {}}, "the model sees 0 results of 3 calls"),
        ({"results": RESULTS | {"1": "http://127.0.0.1:1/a.png"}}, "the model sees no id of the image"),
        ({"results": RESULTS | {"1": "tsk_a.1 <image>"}}, "the model sees no URL of the image"),
        ({"results": RESULTS | {"2": "An error occurred."}}, "the error of an unknown model does not name it"),
        ({"results": RESULTS | {"3": "An error occurred."}}, "the error of an unknown image does not name it"),
    ],
)
def test_missing_information_is_a_problem(change: dict[str, Any], message: str) -> None:
    """The problem names what is missing."""
    model = Model(calls=CALLS, **{"schemas": dict(SCHEMAS), "results": dict(RESULTS), **change})
    assert any(message in problem for problem in problems(model))


JPEG = "/9j/4AAQSkZJRg"
BLOCK = {"type": "image", "data": JPEG, "mimeType": "image/jpeg"}


@pytest.mark.parametrize(
    ("path", "body", "pixels"),
    [
        ("/v1/messages", [{"type": "image", "source": {"type": "base64", "data": JPEG}}], Pixels.IMAGE),
        ("/v1/messages", [{"type": "text", "text": JPEG}], Pixels.BASE64),
        ("/v1/messages", [{"type": "text", "text": "Image"}], Pixels.NONE),
        ("/v1/chat/completions", [{"type": "image_url", "image_url": {"url": JPEG}}], Pixels.REFUSED),
        ("/v1/chat/completions", json.dumps(BLOCK), Pixels.BASE64),
        ("/v1/chat/completions", "Image", Pixels.NONE),
        ("/v1/responses", [{"type": "input_image", "image_url": JPEG}], Pixels.IMAGE),
        ("/v1/responses", json.dumps(BLOCK), Pixels.BASE64),
        ("/v1beta/models/gemini", {"response": {}, "parts": [{"inlineData": {"data": JPEG}}]}, Pixels.IMAGE),
        ("/v1/models/gemini", {"response": {"result": BLOCK}}, Pixels.BASE64),
        ("/v1/models/gemini", {"response": {"result": "Image"}}, Pixels.NONE),
    ],
)
async def test_it_is_found_out_what_a_model_gets_of_an_image(path: str, body: Any, pixels: Pixels) -> None:
    """In the form of each API."""
    gemini = {
        "tools": [{"functionDeclarations": [{"name": "imagine", "parameters_json_schema": IMAGINE}]}],
        "contents": [{"parts": [{"functionResponse": body}]}],
    }
    asked = {
        "/v1/messages": {
            "messages": [{"content": [{"type": "tool_result", "tool_use_id": "1", "content": body}]}],
        },
        "/v1/chat/completions": {"messages": [{"role": "tool", "tool_call_id": "1", "content": body}], "tools": []},
        "/v1/responses": {
            "input": [{"type": "function_call_output", "call_id": "1", "output": body}],
            "tools": [],
        },
        "/v1/models/gemini": gemini,
        "/v1beta/models/gemini": gemini,
    }[path]
    model = Model(calls=())
    async with serving(model.app()) as url, httpx2.AsyncClient(base_url=url) as client:
        assert (await client.post(path, json=asked)).status_code == 200
    assert list(model.pixels.values()) == [pixels]


def test_a_run_of_some_clients_leaves_the_rows_of_the_others() -> None:
    """In the order of the clients, under one heading."""
    other, mine = CLIENTS[0].title, CLIENTS[1].title
    first = with_rows("a\n<!-- interop -->\n<!-- /interop -->\nb\n", {mine: f"| {mine} | 1 |\n"})
    second = with_rows(first, {other: f"| {other} | 2 |\n"})
    assert second.splitlines()[4:] == [f"| {other} | 2 |", f"| {mine} | 1 |", "<!-- /interop -->", "b"]
    assert with_rows(second, {mine: f"| {mine} | 3 |\n"}).count(mine) == 1


def test_facts_of_the_second_run_that_are_missing_are_problems() -> None:
    """Of refinement, added image and view."""
    whole = {"1": IMAGE, "2": "upscale_2x of tsk_a.1", "3": f"Image up_{'a' * 22}", "4": "Image tsk_a.1: 1024x1024"}
    for change, missing in (
        ({}, []),
        ({"2": "[image]"}, ["the model sees no facts of refine_image"]),
        ({"3": "up_", "4": "[image]"}, [f"the model sees no facts of {tool}" for tool in ("keep_image", "view_image")]),
    ):
        assert unseen(Model(calls=VIEW, results={**whole, **change})) == missing
    assert unseen(Model(calls=VIEW)) == ["the model sees 0 results of 4 calls"]
    assert seen(Model(calls=VIEW, results=whole, pixels={"4": Pixels.IMAGE})) == "the image"
    assert seen(Model(calls=VIEW)) == "the text alone"


@pytest.mark.parametrize("number", [1, 3])
async def test_the_fake_model_goes_on_with_the_image_that_was_made(number: int) -> None:
    """By the id in the first result, alone or in a list."""
    tools = [{"type": "function", "function": {"name": VIEW[number].tool, "parameters": {}}}]
    results = [{"role": "tool", "tool_call_id": str(n), "content": IMAGE} for n in range(number)]
    async with serving(Model(calls=VIEW).app()) as url, httpx2.AsyncClient(base_url=url) as client:
        body = {"messages": results, "tools": tools}
        [choice] = (await client.post("/v1/chat/completions", json=body)).json()["choices"]
    [call] = choice["message"]["tool_calls"]
    named = {"image": "tsk_a-B_1.1"} if number == 1 else {"image_ids": ["tsk_a-B_1.1"]}
    assert json.loads(call["function"]["arguments"]) == {**VIEW[number].arguments, **named}


async def test_the_fake_model_ends_with_the_tool_for_that() -> None:
    """Where a client has one, and shows results as messages of the user."""
    tools = [{"type": "function", "function": {"name": "final_answer", "parameters": {}}}]
    shown = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in ("Make one.", "Observation: x")]
    model = Model(calls=CALLS[:1])
    async with serving(model.app()) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": shown, "tools": tools})
    [call] = answer.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"answer": FAREWELL}
    assert "Observation: x" in model.results["call_1"]


async def test_the_fake_model_fills_required_arguments_and_ends() -> None:
    """By the example of Chat Completions; the SDKs check the other APIs."""
    strict = {
        "properties": {
            "prompt": {"type": "string"},
            "mask": {"type": ["string", "null"]},
            "fresh": {"type": "boolean"},
        },
        "required": ["prompt", "mask", "fresh"],
    }
    tools = [{"type": "function", "function": {"name": "imagine", "parameters": strict}}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "x"}]
    async with serving(Model(calls=CALLS[1:2]).app()) as url, httpx2.AsyncClient(base_url=url) as client:
        for finish in ("tool_calls", "stop"):
            body = {"messages": messages, "tools": tools}
            [choice] = (await client.post("/v1/chat/completions", json=body)).json()["choices"]
            assert choice["finish_reason"] == finish
            message = choice["message"]
            if finish == "tool_calls":
                [call] = message["tool_calls"]
                assert json.loads(call["function"]["arguments"]) == {**CALLS[1].arguments, "mask": None, "fresh": False}
                messages += [message, {"role": "tool", "tool_call_id": call["id"], "content": "no"}]
    assert message["content"] == FAREWELL
