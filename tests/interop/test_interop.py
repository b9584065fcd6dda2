"""The parts of `make interop` fit together; the clients themselves run only there."""

import json
from typing import Any

import httpx2
import pytest
from support import serving

from interop.checks import CALLS, problems
from interop.clients import CLIENTS, DOCUMENT, program
from interop.model import FAREWELL, Model

ROOT = DOCUMENT.parents[1]
IMAGE = "Image tsk_a-B_1.1: http://127.0.0.1:4711/pictures/x/0.jpg image/jpeg"
RESULTS = {"1": IMAGE, "2": "model='dall-e-99' is not known: z-image", "3": "image='tsk_nobody.1'"}
IMAGINE = {"properties": {"prompt": {"type": "string"}, "model": {"enum": ["z-image"]}}, "required": ["prompt"]}
SCHEMAS = dict.fromkeys(("imagine", "edit_image", "refine_image", "fetch_task", "cancel_task"), IMAGINE)


def test_every_client_has_a_program_and_a_lock() -> None:
    """The lock matches the language of the program."""
    for client in CLIENTS:
        language, text = program(client.name)
        assert "journey-mcp" in text
        in_python = ROOT / "requirements" / "interop" / f"{client.name}.txt"
        in_node = ROOT / "tests" / "interop" / client.name / "package-lock.json"
        assert (language, in_python.exists(), in_node.exists()) in {("python", True, False), ("js", False, True)}


def test_a_model_that_sees_everything_has_no_problems() -> None:
    """Strict schemas must require all arguments."""
    model = Model(calls=CALLS, schemas=dict(SCHEMAS), results=dict(RESULTS))
    assert problems(model) == []
    assert problems(model, is_strict=True) == ["not strict: imagine, edit_image, refine_image, fetch_task, cancel_task"]


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
