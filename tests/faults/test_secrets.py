"""A key that an upstream echoes, in any form, never appears in results, logs, the database or webhooks."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from core.test_redaction import FORMS, readings
from engine.test_outbound_webhooks import TRUSTED, receiving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import (
    Authority,
    client_of,
    coarse,
    created,
    environment_for,
    make_request,
    running_studio,
    serving,
    settings_for,
)

from journey_mcp import logs, sandbox
from journey_mcp.core.errors import InternalError
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.redaction import redactor_of
from journey_mcp.core.tasks import Task
from journey_mcp.providers.http import bearer, raw_key
from journey_mcp.settings import read_settings
from journey_mcp.tools.results import task_object

KEY = "japi_live_0123456789abcdEF"
IMAGE = "https://example.com/kite.png"


def finished(**more: Any) -> dict[str, Any]:
    """Return JourneyAPI's response with a finished image."""
    return {"task_id": "t1", "status": "finished", "image_url": IMAGE, **more}


PLACES: dict[str, Callable[[str], tuple[int, Any]]] = {
    "an error": lambda echo: (400, {"errors": [{"msg": f"bad key {echo}"}]}),
    "an error at its limit": lambda echo: (402, {"errors": [{"msg": f"{'x' * 280} {echo}"}]}),
    "no JSON": lambda echo: (400, f"bad key {echo}"),
    "names": lambda echo: (400, {echo: echo}),
    "a response without an id": lambda echo: (200, {"hello": echo}),
    "a failure": lambda echo: (200, finished(status="failed", error=f"bad key {echo}")),
    "a URL": lambda echo: (200, finished(image_url=f"https://example.com/{echo}?key={echo}")),
    "a grid's URL": lambda echo: (200, finished(original_image_url=f"https://{echo}/a.png")),
    "an id": lambda echo: (200, finished(task_id=echo)),
    "a seed": lambda echo: (200, finished(seed=echo)),
    "a status": lambda echo: (200, {**finished(), "status": echo}),
}


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Collect the log as a server writes it."""
    root, ours = logging.getLogger(), logging.getLogger("journey_mcp")
    handlers, levels, hook = root.handlers[:], (root.level, ours.level), sys.excepthook
    root.handlers[:] = []  # the handlers of the test runner must stay open
    with redirect_stderr(io.StringIO()) as shown:
        logs.set_up("debug", [KEY])
    yield shown.getvalue
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    sys.excepthook = hook


def has_no_key(*texts: str) -> bool:
    """Return whether none of these texts contains the key in any form."""
    return not any(KEY.lower() in "".join(reading.split()) for text in texts for reading in readings(text))


def database(folder: Path) -> str:
    """Return the content of the database files."""
    return "".join(file.read_bytes().decode("latin-1") for file in folder.glob("tasks.db*"))


async def test_an_echoed_key_appears_nowhere(tmp_path: Path, logged: Callable[[], str]) -> None:
    """Neither in a tool's result, nor in the log, nor in the database."""
    answers: list[tuple[int, Any]] = []

    async def answer(request: Request) -> Response:
        number = str((await request.json()).get("prompt", "0")).rpartition(" ")[2]
        status, body = answers[int(number)]
        return Response(body if isinstance(body, str) else json.dumps(body), status_code=status)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    async with serving(app) as origin:
        settings = read_settings(environment_for(origin, tmp_path, JOURNEYAPI_API_KEY=KEY))
        async with client_of(settings) as client:
            for form, written in FORMS.items():
                answers[:] = [place(written(KEY)) for place in PLACES.values()]
                results = []
                for number, place in enumerate(PLACES):
                    wanted = {"prompt": f"a kite {form} {number}", "model": "z-image", "wait_s": 1}
                    made = await client.call_tool("imagine", wanted)
                    results.append(made.model_dump_json())
                    assert has_no_key(results[-1]), (form, place)
                assert "[secret]" in "".join(results), form
                listed = (await client.call_tool("fetch_task", {})).model_dump_json()
                assert all(f'"a kite {form} {number}"' in listed for number in range(len(PLACES)))
                assert has_no_key(listed), form
        stored = database(tmp_path)
    assert has_no_key(logged())
    assert KEY.lower() not in stored.lower()


async def test_a_secret_in_a_call_is_not_repeated(tmp_path: Path, authority: Authority) -> None:
    """Neither by a tool's error, which quotes arguments, nor in a webhook."""
    async with receiving(authority) as receiver:
        secret = "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE="
        settings = {"JOURNEY_MCP_WEBHOOK_SECRET": secret, "JOURNEYAPI_API_KEY": KEY, **TRUSTED}
        async with sandbox.running(coarse(speed=0)) as upstream:
            async with client_of(settings_for(upstream.base_url, tmp_path, **settings)) as client:
                refused = await client.call_tool("imagine", {"prompt": "a kite", "model": f"{KEY} {secret}"})
                unknown = await client.call_tool("fetch_task", {"task_ids": [KEY]})
            async with running_studio(settings_for(upstream.base_url, tmp_path, **settings)) as studio:
                task = await created(studio, make_request(prompt=f"a kite with {KEY}", webhook_url=receiver.url))
                await studio.wait_for_new(task, 300)
                await receiver.until_received()
        for text in (refused.model_dump_json(), unknown.model_dump_json(), json.dumps(receiver.objects[0])):
            assert "[secret]" in text
            assert has_no_key(text)
            assert secret not in text


def test_objects_with_a_key_have_a_repr_without_it() -> None:
    """A debugger or a traceback would show the repr."""
    assert has_no_key(repr(bearer(KEY)), repr(raw_key(KEY).redacting("more")), repr(redactor_of(KEY)))


def test_an_echoed_callback_secret_is_redacted() -> None:
    """This secret authenticates the webhooks of the task."""
    task = Task(
        id="tsk_x",
        principal=LOCAL,
        request=make_request(),
        provider="journeyapi",
        base_url="https://api.test",
        created_at=0,
        updated_at=0,
        webhook_secret="what secrets are made of",
    )
    secret = task.callback_secret or ""
    result = task_object(task.noticed(Notice.of("text", text=f"webhook_secret={secret}"), 1), now=1)
    assert result["notices"] == ["webhook_secret=[secret]"]


def test_a_traceback_is_one_line_without_secrets(logged: Callable[[], str]) -> None:
    """The same holds for the traceback that ends the process."""
    error = InternalError(f"what {KEY} did")
    error.__cause__ = ValueError("\u200b".join(KEY))
    logging.getLogger("httpx2").warning("bad %s", KEY, exc_info=error)
    logging.getLogger("httpx2").warning("bad %s %s", KEY)  # noqa: PLE1206  # an error of a library
    sys.excepthook(type(error), error, error.__traceback__)
    warning, end = logged().splitlines()
    assert "WARNING httpx2: bad [secret] | " in warning
    assert "CRITICAL journey_mcp: the process ended by an exception | " in end
    assert "InternalError: what [secret] did" in end
    assert has_no_key(warning, end)
