"""A fake of the model APIs: it makes prepared tool calls and records what it is shown.

It implements as much of the Messages API, Chat Completions, Responses and generateContent as the SDKs need. Nothing
that a client sends is dropped before the checks, so they check what a model would receive.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

FAREWELL = "That is all."
"""Its text after its last call."""


IMAGE = "(the image)"
"""In the arguments of a call, the id of the image that the first result has."""
_FINAL = "final_answer"
"""The tool with which a model ends at smolagents."""
_ID = re.compile(r"\btsk_[\w-]+\.1\b")
_JPEG = "/9j/"
"""How the base64 of a JPEG begins."""


class Pixels(StrEnum):
    """What a model gets of the pixels in a result."""

    IMAGE = "the image"
    BASE64 = "base64 as text, at many times the cost"
    REFUSED = "an error: its API takes only text here"
    NONE = "the text alone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A tool call."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What one request shows a model; some clients omit what an earlier request has shown."""

    schemas: Mapping[str, Mapping[str, Any]]
    """The parameters of the tools, by name."""
    results: Mapping[str, str]
    """The results of calls, by call id; JSON if they are not text."""
    pixels: Mapping[str, Pixels]
    """What each result shows of its images."""


@dataclass(kw_only=True)
class Model:
    """A model that makes the calls one after another and ends."""

    calls: Sequence[Call]
    prefix: str = ""
    """What the client puts before the names of the tools."""
    schemas: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tools that it was shown."""
    results: dict[str, str] = field(default_factory=dict)
    """The results that it was shown, in the order of the calls."""
    pixels: dict[str, Pixels] = field(default_factory=dict)
    """What each result showed of its images."""

    def app(self) -> Starlette:
        """Return the four APIs at their paths."""
        wires = {
            "/v1/messages": (_messages_shown, _messages_answer),
            "/v1/chat/completions": (_chat_shown, _chat_answer),
            "/v1/responses": (_responses_shown, _responses_answer),
            "/v1/models/{model}": (_gemini_shown, _gemini_answer),
            "/v1beta/models/{model}": (_gemini_shown, _gemini_answer),
        }
        return Starlette(routes=[Route(path, self._endpoint(*wire), methods=["POST"]) for path, wire in wires.items()])

    def _endpoint(self, read: "_Read", answer: "_Answer") -> Any:
        async def endpoint(request: Request) -> JSONResponse:
            shown = read(await request.json())
            self.schemas |= {name.removeprefix(self.prefix): one for name, one in shown.schemas.items()}
            self.results |= shown.results
            self.pixels |= shown.pixels
            return JSONResponse(answer(self._next_call(), f"call_{len(self.results) + 1}"))

        return endpoint

    def _next_call(self) -> Call | None:
        """Return the next call, with placeholders for required arguments that the call omits."""
        if len(self.results) >= len(self.calls):
            return Call(tool=_FINAL, arguments={"answer": FAREWELL}) if _FINAL in self.schemas else None
        call = self.calls[len(self.results)]
        schema = self.schemas.get(call.tool, {})
        left_out = [name for name in schema.get("required") or () if name not in call.arguments]
        placeholders = {name: _placeholder(schema["properties"][name]) for name in left_out}
        return Call(tool=self.prefix + call.tool, arguments={**placeholders, **self._with_id(call.arguments)})

    def _with_id(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found = _ID.search("".join(self.results.values()))
        image = found[0] if found else IMAGE
        ids: dict[str, Any] = {IMAGE: image}
        return {
            name: [image] if value == [IMAGE] else ids.get(value, value) if isinstance(value, str) else value
            for name, value in arguments.items()
        }


_Read = Callable[[Any], Shown]
_Answer = Callable[[Call | None, str], dict[str, Any]]


def _placeholder(schema: Mapping[str, Any]) -> Any:
    """Return a model's value for a required argument that it does not need."""
    if "anyOf" in schema or isinstance(schema.get("type"), list):
        return None
    return {"boolean": False, "array": [], "integer": 0, "number": 0}.get(schema["type"], "")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _pixels(content: Any, image: str) -> Pixels:
    """Return what content shows of an image; `image` is the type of image blocks."""
    kinds = {block.get("type") for block in content} if isinstance(content, list) else set()
    if image in kinds:
        return Pixels.IMAGE
    return Pixels.BASE64 if _JPEG in _text(content) else Pixels.NONE


def _messages_shown(body: Any) -> Shown:
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    blocks = [block for content in contents for block in content if block["type"] == "tool_result"]
    return Shown(
        schemas={tool["name"]: tool["input_schema"] for tool in body.get("tools", ())},
        results={block["tool_use_id"]: _text(block["content"]) for block in blocks},
        pixels={block["tool_use_id"]: _pixels(block["content"], "image") for block in blocks},
    )


def _messages_answer(call: Call | None, id_: str) -> dict[str, Any]:
    if call is None:
        content: dict[str, Any] = {"type": "text", "text": FAREWELL}
    else:
        content = {"type": "tool_use", "id": id_, "name": call.tool, "input": dict(call.arguments)}
    return {
        "id": f"msg_{id_}",
        "type": "message",
        "role": "assistant",
        "model": "stand-in",
        "content": [content],
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _chat_shown(body: Any) -> Shown:
    messages = [message for message in body["messages"] if message["role"] == "tool"]
    # smolagents shows results as further messages of the user
    observed = [message for message in body["messages"] if message["role"] == "user"][1:]
    results = {one["tool_call_id"]: one["content"] for one in messages} or {
        f"call_{number}": message["content"] for number, message in enumerate(observed, start=1)
    }
    return Shown(
        schemas={tool["function"]["name"]: tool["function"]["parameters"] for tool in body["tools"]},
        results={id_: _text(content) for id_, content in results.items()},
        pixels={id_: _chat_pixels(content) for id_, content in results.items()},
    )


def _chat_pixels(content: Any) -> Pixels:
    # https://platform.openai.com/docs/api-reference/chat/create: a tool message has text parts only
    if isinstance(content, list) and any(part.get("type") != "text" for part in content):
        return Pixels.REFUSED
    return _pixels(content, "image_url")


def _chat_answer(call: Call | None, id_: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if call else FAREWELL}
    if call:
        function = {"name": call.tool, "arguments": json.dumps(dict(call.arguments))}
        message["tool_calls"] = [{"id": id_, "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{id_}",
        "object": "chat.completion",
        "created": 0,
        "model": "stand-in",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _responses_shown(body: Any) -> Shown:
    items = [item for item in body["input"] if item.get("type") == "function_call_output"]
    return Shown(
        schemas={tool["name"]: tool["parameters"] for tool in body["tools"]},
        results={item["call_id"]: _text(item["output"]) for item in items},
        pixels={item["call_id"]: _pixels(item["output"], "input_image") for item in items},
    )


def _responses_answer(call: Call | None, id_: str) -> dict[str, Any]:
    output: dict[str, Any] = {"id": f"item_{id_}", "status": "completed"}
    if call:
        given = json.dumps(dict(call.arguments))
        output |= {"type": "function_call", "call_id": id_, "name": call.tool, "arguments": given}
    else:
        content = [{"type": "output_text", "text": FAREWELL, "annotations": []}]
        output |= {"type": "message", "role": "assistant", "content": content}
    return {
        "id": f"resp_{id_}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": "stand-in",
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2,
        },
    }


def _gemini_shown(body: Any) -> Shown:
    declared = [function for tool in body["tools"] for function in tool["functionDeclarations"]]
    parts = [part for content in body["contents"] for part in content["parts"] if "functionResponse" in part]
    responses = {str(number): part["functionResponse"] for number, part in enumerate(parts)}
    return Shown(
        schemas={one["name"]: _gemini_schema(one) for one in declared},
        results={number: _text(response["response"]) for number, response in responses.items()},
        pixels={number: _gemini_pixels(response) for number, response in responses.items()},
    )


def _gemini_schema(declared: Any) -> Any:
    # the API takes JSON names of Protocol Buffers in both forms
    names = ("parameters", "parametersJsonSchema", "parameters_json_schema")
    return next(declared[name] for name in names if name in declared)


def _gemini_pixels(response: Any) -> Pixels:
    has_image = any("inlineData" in part for part in response.get("parts", ()))
    return Pixels.IMAGE if has_image else _pixels(response["response"], "")


def _gemini_answer(call: Call | None, _id: str) -> dict[str, Any]:
    part = {"functionCall": {"name": call.tool, "args": dict(call.arguments)}} if call else {"text": FAREWELL}
    content = {"role": "model", "parts": [part]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
