"""Text of providers in any field reaches a model as data: in quotes, or in alphabets without words."""

import re
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strange import HIDDEN, HOSTILE_URLS, ORDER, URL, hostile_values
from support import SERVICES, client_of, coarse, environment_of

from journey_mcp import sandbox
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.providers import bfl, journeyapi, replicate, vtrix
from journey_mcp.settings import read_settings
from journey_mcp.tools.results import as_text, task_object

_QUOTED = re.compile(r'"[^"]*"')
_TASK = Task(
    id="tsk_1",
    principal=LOCAL,
    request=ImageRequest(tool="imagine", prompt="a kite", model="m"),
    provider="x",
    base_url="https://x.test",
    created_at=0.0,
    updated_at=0.0,
)
_VALUES = hostile_values()
_URL = st.sampled_from((URL, *HOSTILE_URLS))
_URLS = st.lists(_URL | _VALUES, max_size=3)
_ID = st.sampled_from(("7", "7\ufe0f'.<b>"))


def _body(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return bodies with these fields, each hostile, absent, or as it is given here; an id is there, and as it is."""
    ids = {name: fields.pop(name) for name in ("id", "task_id") if name in fields}
    return st.fixed_dictionaries(ids, optional={name: usual | _VALUES for name, usual in fields.items()})


BODIES = {
    "journeyapi": _body(
        task_id=_ID,
        status=st.sampled_from(["finished", "failed"]),
        image_urls=_URLS,
        **dict.fromkeys(("percentage", "image_url", "original_image_url", "seed", "error", "model"), _URL),
    ),
    "vtrix": _body(
        id=_ID,
        status=st.sampled_from(["completed", "failed"]),
        output=st.lists(st.fixed_dictionaries({"content": st.lists(st.fixed_dictionaries({"url": _URL | _VALUES}))})),
        usage=st.fixed_dictionaries({"cost": _VALUES}),
        error=st.fixed_dictionaries({"message": _VALUES, "code": _VALUES}),
        progress=st.just(1),
    ),
    "replicate": _body(
        id=_ID, status=st.sampled_from(["succeeded", "failed"]), output=_URLS, error=_VALUES, logs=_VALUES
    ),
    "bfl": _body(
        id=_ID,
        status=st.sampled_from(["Ready", "Error", "Request Moderated", "Content Moderated"]),
        result=st.fixed_dictionaries({"sample": _URL | _VALUES, "seed": _VALUES}),
        **dict.fromkeys(("error", "message", "details", "cost", "progress", "polling_url"), _URL),
    ),
}
READERS: dict[str, Callable[[Mapping[str, Any]], Prediction | None]] = {
    "journeyapi": journeyapi.read_task,
    "vtrix": vtrix.read_task,
    "replicate": replicate.read_prediction,
    "bfl": bfl.read_delivery,
}


def check_is_data(text: str) -> None:
    """Instructions are in quotes or percent-encoded, and nothing is invisible."""
    assert not set(HIDDEN.replace("\n", "")) & set(text)
    assert ORDER not in _QUOTED.sub("", text)


def texts_of(value: Any) -> list[str]:
    """Return every text of a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for item in inner for text in texts_of(item)]


@pytest.mark.parametrize("protocol", READERS)
@given(data=st.data())
def test_no_field_of_a_task_speaks_to_the_model(protocol: str, data: st.DataObject) -> None:
    """Only the reason of a failure is text, and it is quoted."""
    read = READERS[protocol](data.draw(BODIES[protocol]))
    assert read is not None
    plain = task_object(_TASK.accepted(read, 1.0), now=1.0)
    for said in (as_text(plain), *texts_of(plain)):
        check_is_data(said)
    assert re.fullmatch(r"-?[0-9]+", plain.get("seed", "7"))
    for url in [image["url"] for image in plain.get("images", ())] + [plain.get("grid_url", URL)]:
        assert re.fullmatch(r"https?://[!-~]+", url)


@given(_body(id=_ID, polling_url=_URL, cost=_VALUES))
def test_no_field_of_a_creating_response_speaks_to_the_model(body: dict[str, Any]) -> None:
    """That of Black Forest Labs has other fields."""
    read = bfl.read_submission(body)
    assert read is not None
    assert ORDER not in repr(read)


WORDS = f'{HIDDEN}". {ORDER}. "'
HOSTILE: dict[str, Any] = {
    **dict.fromkeys(("error", "message", "details", "title", "detail", "seed", "plan", "percentage"), WORDS),
    **dict.fromkeys(("image_url", "original_image_url", "polling_url"), f"https://example.test/{WORDS}"),
    "image_urls": [URL, f"https://example.test/{ORDER}"],
    "errors": [{"msg": WORDS}],
    "result": {"sample": f"https://example.test/{ORDER}", "seed": WORDS},
    "output": [URL, f"https://example.test/{ORDER}", {"content": [{"url": f"https://example.test/{ORDER}"}]}],
}
"""A response with hostile text in all fields of all protocols."""


WORDS_OF_STATUS = ("finished", "completed", "succeeded", "Ready", "failed", "Error", "Request Moderated")


@pytest.mark.parametrize("service", SERVICES)
async def test_no_response_of_a_provider_speaks_to_the_model(
    service: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in a result nor in an error, a notice or a log line, whatever its status is."""
    refused = [(status, "failed") for status in (302, 400, 401, 402, 403, 404, 409, 422, 500)]
    answers = [*((200, word) for word in WORDS_OF_STATUS), *refused]
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, service))
        async with client_of(settings) as client:
            (tool,) = [tool for tool in (await client.list_tools()).tools if tool.name == "imagine"]
            model = tool.input_schema["properties"]["model"]["enum"][0]
            for (status, word), id_ in product(answers, ("7", WORDS)):
                body = HOSTILE | {"id": id_, "task_id": id_, "status": word}
                upstream.sandbox.faults.replace(
                    sandbox.Fault(on=on, kind="status", status=status, body=body, times=None)
                    for on in ("submit", "fetch")
                )
                arguments = {"prompt": "a kite", "model": model, "fresh": True, "wait_s": 5}
                made = await client.call_tool("imagine", arguments)
                (text,) = made.content
                assert text.type == "text"
                for said in (text.text, *texts_of(made.structured_content)):
                    check_is_data(said)
            # closing waits for images with short-lived links: polls meet every status, then a word that ends the task
            polls = [*((status, word, 1) for status, word in refused), (200, "failed", 9), (200, "Error", 9)]
            upstream.sandbox.faults.replace(
                sandbox.Fault(
                    on="fetch", kind="status", status=status, body=HOSTILE | {"id": "7", "status": word}, times=times
                )
                for status, word, times in polls
            )
    check_is_data(caplog.text)
