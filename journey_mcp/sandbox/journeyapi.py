"""The imitation of JourneyAPI: /imagine, /fetch, /fetch-many and /account under /api/v1."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router

from journey_mcp.sandbox.answers import Answer, distort, json_answer, refusal, spoil
from journey_mcp.sandbox.clock import wait_until
from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.journeyapi_requests import (
    Hook,
    Order,
    ValidationError,
    accepts_key,
    read_order,
    read_task_id,
    read_task_ids,
)
from journey_mcp.sandbox.recipes import Edit, Recipe, Scene, Sheet, fit
from journey_mcp.sandbox.sources import SourceError, bring
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task
from journey_mcp.sandbox.webhooks import Delivery
from journey_mcp.sandbox.wire import TooLargeError, WireResponse, hold, read_body

PREFIX = "/api/v1"
ENDPOINTS = ("imagine", "fetch", "fetch_many", "account")
"""The names of its endpoints in the ledger."""

_TASKS_AT_ONCE: Mapping[str, int | None] = {"basic": 5, "starter": 10, "growth": 25, "enterprise": None}
_STAGES = ((0.02, "staged"), (0.06, "pending"), (0.12, "starting"))
"""Until which share of its time a task is in which early status. Only the order is documented."""
_BACKWARDS_SHARE = 0.04
"""Where a task seems to be again for the fault `backwards`: pending."""
_BLOCKED = "Content policy violation"
_SYNCHRONOUS_FIELDS = ("task_id", "status", "image_url", "error")
_BEYOND_HEX = str.maketrans("abcdef", "gkpswz")

Work = Callable[[Mapping[str, Any], tuple[Fault, ...]], Answer]


def _errors(status: int, *messages: str) -> Answer:
    return json_answer({"errors": [{"msg": message} for message in messages]}, status)


_UNAUTHORIZED = json_answer({}, 401)
_OUT_OF_CREDITS = _errors(402, "Insufficient credits")
_RATE_LIMITED = _errors(429, "Rate limit exceeded")
_UNKNOWN_TASK = {
    "400": _errors(400, "task_id not found"),
    "404": _errors(404, "task_id not found"),
    "empty": json_answer({}),
}
_DOCUMENTED = {answer.status: json.loads(answer.content) for answer in (_OUT_OF_CREDITS, _RATE_LIMITED)}


def http_error(_request: Request, error: Exception) -> Response:
    """Answer for routes and methods that do not exist (U7)."""
    told = cast(
        "HTTPException", error
    )  # handlers are typed for any exception, this one is registered for HTTPException
    return WireResponse(replace(_errors(told.status_code, told.detail), headers=told.headers or {}))


class JourneyApi:
    """One account at JourneyAPI and its tasks."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._settings = sandbox.settings.journeyapi
        self.credits = self._settings.credits
        """The balance."""
        self.total_images = 0
        """How many pictures its finished tasks have made."""

    def routes(self) -> list[BaseRoute]:
        """Return the imitated endpoints."""
        endpoints = [
            Route("/imagine", self.imagine, methods=["POST"]),
            Route("/fetch", self.fetch, methods=["POST"]),
            Route("/fetch-many", self.fetch_many, methods=["POST"]),
            Route("/account", self.account, methods=["GET"]),
        ]
        return [Mount(PREFIX, app=Router(endpoints, redirect_slashes=False))]

    async def imagine(self, request: Request) -> Response:
        """Accept a task; for a synchronous model, answer when it is over."""
        sandbox = self._sandbox
        faults = sandbox.arrive("imagine", "submit")
        content = await _content(request)
        number = sandbox.ledger.open("imagine", b"" if isinstance(content, Answer) else content, sandbox.now())
        order = refusal(faults, _DOCUMENTED) or self._order(request, content)
        if isinstance(order, Answer):
            sandbox.ledger.close(number, "reset" if order.delivery == "none" else f"refused {order.status}")
            return await self._respond(order, faults)
        task = self._accept(order, faults, _origin(request))
        sandbox.ledger.close(number, "created", task_id=task.task_id, model=task.model, credits=task.credits)
        return await self._respond(await self._first_answer(request, order, task, faults), faults)

    async def fetch(self, request: Request) -> Response:
        """Tell how a task is."""
        return await self._ask(request, "fetch", self._fetch)

    async def fetch_many(self, request: Request) -> Response:
        """Tell how several tasks are."""
        return await self._ask(request, "fetch_many", self._fetch_many)

    async def account(self, request: Request) -> Response:
        """Tell the balance."""
        faults = self._sandbox.arrive("account", "account")
        answer = refusal(faults, _DOCUMENTED) or self._unauthorized(request) or self._account(faults)
        return await self._respond(answer, faults)

    async def _ask(self, request: Request, endpoint: str, work: Work) -> Response:
        faults = self._sandbox.arrive(endpoint, endpoint)
        answer = refusal(faults, _DOCUMENTED) or self._unauthorized(request)
        if answer is None:
            content = await _content(request)
            try:
                answer = content if isinstance(content, Answer) else work(_body(request, content), faults)
            except ValidationError as error:
                answer = _errors(400, *error.messages)
        return await self._respond(answer, faults)

    async def _respond(self, answer: Answer, faults: Iterable[Fault]) -> Response:
        spoiled = spoil(answer, faults, _DOCUMENTED)
        await wait_until(self._sandbox.settings.clock, self._sandbox.now() + spoiled.delay_s)
        return WireResponse(spoiled)

    def _unauthorized(self, request: Request) -> Answer | None:
        return None if accepts_key(request.headers.get("authorization"), self._settings) else _UNAUTHORIZED

    def _order(self, request: Request, content: bytes | Answer) -> Order | Answer:
        """Return what is ordered, or why it is not taken."""
        if refused := self._unauthorized(request):
            return refused
        if isinstance(content, Answer):
            return content
        try:
            order = read_order(_body(request, content), self._settings)
        except ValidationError as error:
            return _errors(400, *error.messages)
        self._settle()
        if self.credits < order.model.credits:
            return _OUT_OF_CREDITS
        limit = _TASKS_AT_ONCE[self._settings.plan]
        return _RATE_LIMITED if limit is not None and self._sandbox.tasks.running >= limit else order

    def _accept(self, order: Order, faults: Iterable[Fault], origin: str) -> Task:
        """Create and charge the task."""
        sandbox = self._sandbox
        failure = find(faults, "fail_task")
        is_blocked = sandbox.settings.blocked_word in order.prompt
        now, seed = sandbox.now(), sandbox.dice.getrandbits(32)
        task = Task(
            task_id=self._new_id(),
            kind="imagine",
            model=order.model.model_id,
            origin=origin,
            accepted_at=now,
            ends_at=now + sandbox.settings.shortened(sandbox.dice.uniform(*order.model.seconds)),
            credits=order.model.credits,
            seed=seed,
            pictures=_pictures(order, seed),
            failure=(failure and failure.error) or (_BLOCKED if is_blocked else None),
            is_held=order.image_url is not None or find(faults, "hang") is not None,
        )
        self.credits -= task.credits
        sandbox.tasks.put(task)
        return task

    async def _first_answer(self, request: Request, order: Order, task: Task, faults: tuple[Fault, ...]) -> Answer:
        """Do what the creating request does before it answers."""
        if order.image_url is not None:
            task = replace(await self._with_source(order, task), is_held=find(faults, "hang") is not None)
            self._sandbox.tasks.put(task)
        if order.hook is not None and not task.is_held:
            self._sandbox.deliveries.start(partial(self._notify, task, order.hook))
        if not order.model.is_synchronous:
            return json_answer(distort({"task_id": task.task_id}, faults, percentage_field="percentage"))
        await hold(request, self._sandbox.settings.clock, until=math.inf if task.is_held else task.ends_at)
        names = ("task_id",) if self._settings.sync_answer == "task_id" else _SYNCHRONOUS_FIELDS
        told = {name: value for name, value in _told(task, task.ends_at).items() if name in names}
        return json_answer(distort(told, faults, percentage_field="percentage"))

    async def _with_source(self, order: Order, task: Task) -> Task:
        """Fetch the picture to edit; the task fails if that fails, and is over no sooner than it is here."""
        settings = self._sandbox.settings
        try:
            source = await bring(
                order.image_url or "",
                limit_bytes=settings.source_limit_bytes,
                timeout_s=settings.source_timeout_s,
            )
        except SourceError as error:
            task = replace(task, failure=task.failure or f"Could not fetch image_url: {error}")
        else:
            edit = _edit(order, task.seed, source)
            task = replace(task, pictures={f"0.{order.image_format}": edit}, kept_bytes=len(source))
        return replace(task, ends_at=max(task.ends_at, self._sandbox.now()))

    async def _notify(self, task: Task, hook: Hook) -> None:
        """Tell the receiver when the task is over."""
        await wait_until(self._sandbox.settings.clock, task.ends_at)
        faults = self._sandbox.faults.take("webhook")
        if find(faults, "lost"):
            return
        told = distort(_told(task, task.ends_at), faults, percentage_field="percentage")
        answer = spoil(json_answer(told), faults, {})
        delivery = Delivery(
            task_id=task.task_id,
            url=hook.url,
            content=answer.content,
            headers={"Content-Type": "application/json"} | ({"x-webhook-secret": hook.secret} if hook.secret else {}),
        )
        await wait_until(self._sandbox.settings.clock, self._sandbox.now() + answer.delay_s)
        for _ in range(2 if find(faults, "duplicate") else 1):
            await self._sandbox.deliveries.deliver(delivery, self._settings.webhooks)

    def _fetch(self, body: Mapping[str, Any], faults: tuple[Fault, ...]) -> Answer:
        task_id = read_task_id(body)
        told = self._look_up(task_id, faults)
        return _UNKNOWN_TASK[self._settings.unknown_task] if told is None else json_answer(told)

    def _fetch_many(self, body: Mapping[str, Any], faults: tuple[Fault, ...]) -> Answer:
        told = [self._look_up(task_id, faults) for task_id in read_task_ids(body)]
        return json_answer({"tasks": [task for task in told if task is not None]})

    def _look_up(self, task_id: str, faults: tuple[Fault, ...]) -> dict[str, Any] | None:
        """Return a task as it is now, or as the faults tell it; None for one that is not known."""
        self._settle()
        task, now = self._sandbox.tasks.find(task_id), self._sandbox.now()
        if task is None:
            return None
        self._sandbox.ledger.count_fetch(task_id)
        if find(faults, "backwards"):
            early = task.accepted_at + _BACKWARDS_SHARE * task.duration_s
            task, now = replace(task, is_held=True), min(now, early)
        return distort(_told(task, now), faults, percentage_field="percentage")

    def _account(self, faults: tuple[Fault, ...]) -> Answer:
        self._settle()
        told = {
            "email": self._settings.email,
            "credits": self.credits,
            "total_images": self.total_images,
            "plan": self._settings.plan,
        }
        return json_answer(distort(told, faults, percentage_field="percentage"))

    def _settle(self) -> None:
        """Book what has ended since the last request."""
        for task in self._sandbox.tasks.settle(self._sandbox.now()):
            if task.failure is None:
                self.total_images += sum(not isinstance(recipe, Sheet) for recipe in task.pictures.values())
            elif self._settings.refunds_failed_tasks:
                self.credits += task.credits

    def _new_id(self) -> str:
        task_id = self._sandbox.new_id()
        return task_id.translate(_BEYOND_HEX) if self._settings.task_ids == "letters" else task_id


def _told(task: Task, now: float) -> dict[str, Any]:
    """Return the task object as of `now`."""
    told: dict[str, Any] = {"task_id": task.task_id, "task_type": task.kind, "model": task.model}
    if not task.is_over(now):
        return told | _running(task.progress(now))
    if task.failure is not None:
        return told | {"status": "failed", "error": task.failure}
    told |= {"status": "finished", "percentage": "100"}
    urls = [f"{task.origin}/pictures/{task.task_id}/{name}" for name in task.pictures]
    if len(urls) == 1:
        return told | {"image_url": urls[0]}
    return told | {"original_image_url": urls[0], "image_urls": urls[1:], "seed": str(task.seed)}


def _running(share: float) -> dict[str, str]:
    for limit, word in _STAGES:
        if share < limit:
            return {"status": word}
    done = (share - _STAGES[-1][0]) / (1 - _STAGES[-1][0])
    return {"status": "processing", "percentage": str(min(int(done * 100), 99))}


def _pictures(order: Order, seed: int) -> dict[str, Recipe]:
    """Return the results of a task that starts from nothing."""
    scene = Scene(
        prompt=order.prompt,
        model=order.model.model_id,
        seed=seed,
        size=fit(order.ratio or (1, 1), order.long_side_px),
        image_format=order.image_format,
    )
    if not order.model.is_grid:
        return {f"0.{order.image_format}": scene}
    one, two, three, four = (replace(scene, variant=variant) for variant in range(4))
    panels = {f"0_{panel.variant}.{order.image_format}": panel for panel in (one, two, three, four)}
    sheet = Sheet(panels=(one, two, three, four), image_format=order.image_format)
    return {f"grid_0.{order.image_format}": sheet, **panels}


def _edit(order: Order, seed: int, source: bytes) -> Edit:
    return Edit(
        source=source,
        prompt=order.prompt,
        model=order.model.model_id,
        seed=seed,
        image_format=order.image_format,
        ratio=order.ratio,
    )


async def _content(request: Request) -> bytes | Answer:
    """Return the body, or what is answered to one that is too large."""
    try:
        return await read_body(request)
    except TooLargeError:
        return _errors(400, "request body is too large")


def _body(request: Request, content: bytes) -> dict[str, Any]:
    """Return the JSON object of a request. Raises ValidationError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ValidationError("Content-Type must be application/json")
    try:
        body = json.loads(content)
        # half of a surrogate pair can be written in JSON, but neither be drawn nor told on
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ValidationError("request body must be a JSON object")
    return body


def _origin(request: Request) -> str:
    return str(request.base_url.replace(path="")).rstrip("/")
