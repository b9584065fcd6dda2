"""Calls that violate the schemas, and forged webhooks: errors are actionable, and nothing unrequested happens."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from engine.test_inbound_webhooks import MODELS, listening
from manual_clock import until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import client_of, coarse, environment_of, free_port, make_request, serving

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.engine.callbacks import token_of
from journey_mcp.settings import read_settings

_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "null",
        "true",
        "[]",
        "{}",
        "[[[[[[[[",
        '{"a":',
        "-1",
        "1e999",
        "NaN",
        "9" * 400,
        "\u200b" * 50,
    ),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "https://[::1]/a.png",
        "data:,",
        "data:image/png;base64,AAAA",
    ),
    *(
        "tsk_",
        "tsk_" + "A" * 22,
        "tsk_" + "A" * 22 + ".1",
        "%s%n{0}${HOME}",
        "'; DROP TABLE tasks; --",
        "<script>",
        "--ar 0:0 --v 99",
        "x" * 50_000,
    ),
)
_NAMES = (
    "prompt",
    "model",
    "image",
    "reference_images",
    "mask",
    "task_ids",
    "wait_s",
    "wait_for",
    "fresh",
    "provider",
    "seed",
    "width",
    "n",
    "__proto__",
    "toolCallId",
    "",
)
_TOOLS = ("imagine", "edit_image", "refine_image", "fetch_task", "cancel_task", "view_image", "keep_image")
_OF_CONNECTION = {"host", "connection", "content-length", "accept-encoding"}
_UNKNOWN, _ACCEPTED = 404, 204
_FORGED_URL = "https://evil.test/a.png"


def random_value(random: Random, depth: int = 0) -> Any:
    """Return a value that no argument should have."""
    simple: list[Callable[[], Any]] = [
        lambda: random.choice(_TEXTS),
        lambda: random.choice((0, -1, 1, 2**31, 2**63, 10**30, 0.5, 1e308, True, False, None)),
        lambda: "".join(chr(random.choice((random.randrange(32, 127), random.randrange(1, 0xD800)))) for _ in range(8)),
    ]
    if depth < 3:
        simple += [
            lambda: [random_value(random, depth + 1) for _ in range(random.randrange(4))],
            lambda: {random.choice(_NAMES): random_value(random, depth + 1) for _ in range(random.randrange(3))},
        ]
    return random.choice(simple)()


def is_sendable(value: Any) -> bool:
    """Return whether a value can be sent as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _arguments(random: Random, schema: Any) -> dict[str, Any]:
    """Return random arguments: known and unknown names, mostly with invalid values."""
    names = list(schema["properties"])
    given: dict[str, Any] = {"wait_s": 0} if "fresh" in names else {}
    given |= {"prompt": "a kite"} if "prompt" in schema.get("required", ()) else {}
    for name in random.sample(names, random.randrange(len(names) + 1)):
        known = schema["properties"][name]
        given[name] = (
            random.choice(known["enum"]) if "enum" in known and random.random() < 0.5 else random_value(random)
        )
    if random.random() < 0.3:
        given[random.choice(_NAMES)] = random_value(random)
    return given


async def fuzzed_calls(ground: Ground) -> Outcome:
    """Make random calls: none fails in our code, and none creates more than one task."""
    outcome = Outcome(unit="calls with random arguments")
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, ground.folder))
        async with client_of(settings) as client:
            schemas = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            for _ in range(ground.count(20_000)):
                tool = ground.random.choice(_TOOLS)
                given = _arguments(ground.random, schemas[tool])
                if not is_sendable(given):
                    continue
                before = len(upstream.sandbox.request_log.submissions)
                result = await client.call_tool(tool, given)
                created = len(upstream.sandbox.request_log.submissions) - before
                text = json.dumps(result.structured_content)
                is_ours = '"code": "internal"' in text
                allowed = tool in {"imagine", "edit_image", "refine_image"}
                outcome.attempt(held=not is_ours and created <= allowed, what=f"{tool} {given!r:.300}: {text:.200}")
    return outcome


async def forged_webhooks(ground: Ground) -> Outcome:
    """Post with a task's id but not its secret: the sender gets 404 and changes nothing."""
    outcome = Outcome(unit="forged webhooks")
    async with listening(ground.folder, "submit:hang,times=always") as here:
        calls = [make_request(model=MODELS[service], provider=service) for service in MODELS]
        calls.append(make_request(model=MODELS["journeyapi"], provider="journeyapi", prompt="another"))
        tasks = [(await here.studio.create(call, LOCAL)).task for call in calls]
        for task in tasks:
            await here.studio.wait_for_new(task, 0)
        known = await here.studio.fetch([task.id for task in tasks], LOCAL)
        secrets = [task.callback_secret or "" for task in tasks]
        for _ in range(ground.count(120)):
            number = ground.random.randrange(len(tasks))
            task, others = tasks[number], [secret for at, secret in enumerate(secrets) if at != number]
            wrong = ground.random.choice(
                [*others, "", "x", secrets[number][:-1], secrets[number] + "0", secrets[number].swapcase(), "ü" * 20]
            )
            token = token_of(ground.random.choice(others))
            prediction = known[task.id].prediction_id
            body: dict[str, Any] = {
                "task_id": prediction,
                "id": prediction,
                "status": ground.random.choice(["finished", "succeeded", "Ready", "failed"]),
            }
            body |= {"image_url": _FORGED_URL, "output": _FORGED_URL, "result": {"sample": _FORGED_URL}}
            headers = ground.random.choice(
                (
                    {"x_webhook_secret": wrong.encode().decode("latin-1")},
                    {"x_bfl_signature": f"sha256={ground.random.getrandbits(256):064x}"},
                    {
                        "webhook_id": "a",
                        "webhook_timestamp": str(int(here.clock.now())),
                        "webhook_signature": "v1,AAAA",
                    },
                    {"x_webhook_secret": secrets[number]},
                )
            )
            # the correct secret counts only at the correct address, and both together would be genuine
            path = (
                f"{task.id}/{token}"
                if headers.get("x_webhook_secret") == secrets[number]
                else f"{task.id}/{ground.random.choice([token, token_of(secrets[number])])}"
            )
            status = await here.post(path, body, **headers)
            outcome.attempt(held=status == 404, what=f"{status} for {path} {headers}")
        after = await here.studio.fetch([task.id for task in tasks], LOCAL)
        outcome.attempt(held=after == known, what="a task has changed")
        here.studio.begin_shutdown()
    return outcome


@dataclass(frozen=True)
class _Delivery:
    """A genuine webhook, kept back on its way."""

    path: str
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def _interceptor(deliveries: list[_Delivery], port: int) -> AsyncIterator[None]:
    """Accept webhooks in place of the server."""

    async def take(request: Request) -> Response:
        kept = {name: value for name, value in request.headers.items() if name not in _OF_CONNECTION}
        deliveries.append(_Delivery(request.url.path.strip("/"), kept, await request.body()))
        return Response(status_code=204)

    async with serving(Starlette(routes=[Route("/{path:path}", take, methods=["POST"])]), port=port):
        yield


async def swapped_webhooks(ground: Ground) -> Outcome:
    """Genuine webhooks of two principals with address, headers and body of different ones, and the same ones again."""
    outcome = Outcome(unit="swapped and replayed webhooks")
    owners = [Principal("token:ada"), Principal("token:bob")]
    deliveries: list[_Delivery] = []
    port = free_port()
    async with (
        _interceptor(deliveries, port),
        listening(
            ground.folder, "submit:delay=0.2,times=always", speed=50, port=port, JOURNEY_MCP_KEEP_IMAGES="off"
        ) as here,
    ):
        calls = [(make_request(model=MODELS[name], provider=name), owner) for name in MODELS for owner in owners]
        made = [(await here.studio.create(call, owner)).task for call, owner in calls]
        await until(lambda: len({one.path for one in deliveries}) == len(made))
        genuine = list({one.path: one for one in deliveries}.values())
        for _ in range(ground.count(600)):
            path, headers, body = (ground.random.choice(genuine) for _ in range(3))
            if not path == headers == body:
                status = await here.post(path.path, body.body, **headers.headers)
                outcome.attempt(held=status == _UNKNOWN, what=f"{status} for {path.path} {headers} {body.body[:100]!r}")
        for one in genuine:
            status = await here.post(one.path, one.body, **one.headers)
            outcome.attempt(held=status == _ACCEPTED, what=f"{status} for the genuine {one}")
        ended = [await here.studio.fetch([task.id], task.principal, seconds=60) for task in made]
        images = [image.url for tasks in ended for task in tasks.values() for image in task.images]
        outcome.attempt(held=len(images) == len(set(images)), what="an image of one task at another")
        for one in ground.random.choices(genuine, k=ground.count(100)):
            await here.post(one.path, one.body, **one.headers)
        after = [await here.studio.fetch([task.id], task.principal) for task in made]
        outcome.attempt(held=after == ended and all(ended), what="a task has changed")
        here.studio.begin_shutdown()
    return outcome
