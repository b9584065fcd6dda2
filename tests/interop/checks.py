"""Checks of what a model is shown, for every client."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from interop.model import IMAGE, Call, Model, Pixels

CALLS = (
    Call(tool="imagine", arguments={"prompt": "a lighthouse at dusk", "model": "z-image", "wait_s": 30}),
    Call(tool="imagine", arguments={"prompt": "a lighthouse at dusk", "model": "dall-e-99"}),
    Call(tool="edit_image", arguments={"prompt": "at night", "image": "tsk_nobody.1"}),
)
"""An image, an unknown model, and an unknown image."""
_SQUARE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAALElEQVR42u3MMREAAAgEoNeY9g9iCDcPAlCTm45AIBAI"
    "BAKBQCAQCASC58EC1u0A2qVz2eUAAAAASUVORK5CYII="
)
VIEW = (
    CALLS[0],
    Call(tool="refine_image", arguments={"image": IMAGE, "action": "upscale_2x", "wait_s": 30}),
    Call(tool="keep_image", arguments={"data": _SQUARE}),
    Call(tool="view_image", arguments={"image_ids": [IMAGE], "size": 320}),
)
"""An image, a refinement of it, another image from a person, and a look at the first."""

_TOOLS = {"imagine", "edit_image", "refine_image", "fetch_task", "cancel_task", "view_image", "keep_image"}
_ID = re.compile(r"\btsk_[\w-]+\.1\b")
_FACTS = {
    "imagine": _ID,
    "refine_image": re.compile(r"upscale_2x"),
    "keep_image": re.compile(r"\bup_[\w-]{22}"),
    "view_image": re.compile(r"\b1024\b|\b1024x1024\b"),
}
"""What the model must see of a result of the second run."""
_URL = re.compile(r"http://127\.0\.0\.1:\d+/[\w/.-]+\.(?:jpe?g|png|webp)")


def problems(
    model: Model, *, is_strict: bool = False, hidden: AbstractSet[str] = frozenset(), is_validating: bool = False
) -> list[str]:
    """Return the problems.

    With `is_strict`, every argument must be required. `hidden` tools need not be seen. With `is_validating`, the error
    of an unknown model is the client's and need only name the argument.
    """
    found = [*_tool_problems(model.schemas, hidden), *_result_problems(list(model.results.values()), is_validating)]
    lenient = [name for name, one in model.schemas.items() if one["properties"].keys() - set(one.get("required") or ())]
    return [*found, f"not strict: {', '.join(lenient)}"] if is_strict and lenient else found


def printed_problems(output: str) -> list[str]:
    """Return the problems in the output of a program without a model: the tools, and the result of `imagine`."""
    tools, result = _documents(output)
    schemas = {tool["name"]: tool["inputSchema"] for tool in tools["tools"]}
    return [*_tool_problems(schemas, frozenset()), *_image_problems(json.dumps(result))]


def _documents(output: str) -> Iterator[Any]:
    """Yield JSON documents that stand one after another."""
    while output := output.strip():
        document, end = json.JSONDecoder().raw_decode(output)
        yield document
        output = output[end:]


def _tool_problems(schemas: Mapping[str, Mapping[str, Any]], hidden: AbstractSet[str]) -> list[str]:
    found = [f"the model does not see {name}" for name in sorted(_TOOLS - hidden - schemas.keys())]
    if found:
        return found
    imagine = schemas["imagine"]
    if "prompt" not in imagine.get("required", ()):
        found.append("imagine does not require a prompt")
    model = imagine["properties"]["model"]
    if not any("z-image" in one.get("enum", ()) for one in (model, *model.get("anyOf", ()))):
        found.append("imagine does not name the models")
    return found


def _result_problems(results: Sequence[str], is_validating: bool) -> list[str]:
    if len(results) < len(CALLS):
        return [f"the model sees {len(results)} results of {len(CALLS)} calls"]
    made, unknown_model, unknown_image = results
    found = _image_problems(made)
    named = ("model",) if is_validating else ("dall-e-99", "z-image")
    if any(name not in unknown_model for name in named):
        found.append("the error of an unknown model does not name it and the known ones")
    if "tsk_nobody" not in unknown_image:
        found.append("the error of an unknown image does not name it")
    return found


def _image_problems(result: str) -> list[str]:
    patterns = {"id": _ID, "URL": _URL}
    return [f"the model sees no {name} of the image" for name, one in patterns.items() if not one.search(result)]


def unseen(model: Model) -> list[str]:
    """Return what the model did not see of the results of the second run."""
    results = list(model.results.values())
    if len(results) < len(model.calls):
        return [f"the model sees {len(results)} results of {len(model.calls)} calls"]
    shown = zip(model.calls, results, strict=True)
    return [f"the model sees no facts of {call.tool}" for call, result in shown if not _FACTS[call.tool].search(result)]


def seen(model: Model) -> str:
    """Return what a model got of the pixels in the result of `view_image`, its last call."""
    return model.pixels[list(model.results)[-1]].value if model.pixels else Pixels.NONE.value
