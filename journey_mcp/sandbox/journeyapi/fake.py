"""The fake of JourneyAPI: /imagine, the follow-ups, /blend, /fetch, /fetch-many and /account under /api/v1."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.journeyapi.follow_ups import PATHS as FOLLOW_UPS
from journey_mcp.sandbox.journeyapi.follow_ups import Endpoint, FollowUp, images_of, read_follow_up
from journey_mcp.sandbox.journeyapi.requests import (
    Creation,
    ValidationError,
    Webhook,
    accepts_key,
    read_creation,
    read_task_id,
    read_task_ids,
)
from journey_mcp.sandbox.render_specs import Edit, RenderSpec, Scene, Sheet, fit
from journey_mcp.sandbox.responses import HttpResponse, json_response
from journey_mcp.sandbox.service import Refused, Service, is_json, origin_of, read_object
from journey_mcp.sandbox.sources import SourceError
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Link, Task
from journey_mcp.sandbox.wire import hold

ENDPOINTS = ("imagine", *(path.replace("-", "_") for path in FOLLOW_UPS), "fetch", "fetch_many", "account")
"""The names of its endpoints in the request log."""
LARGEST_BODY_BYTES = 1_000_000

Parsed = TypeVar("Parsed")

_TASKS_AT_ONCE: Mapping[str, int | None] = {"basic": 5, "starter": 10, "growth": 25, "enterprise": None}
_STAGES = ((0.02, "staged"), (0.06, "pending"), (0.12, "starting"))
"""The fraction of its duration at which a task leaves each early status. Only the order is documented."""
_BLOCKED = "Content policy violation"
_SYNCHRONOUS_FIELDS = ("task_id", "status", "image_url", "error")
_BEYOND_HEX = str.maketrans("abcdef", "gkpswz")


def _errors(status: int, *messages: str) -> HttpResponse:
    return json_response({"errors": [{"msg": message} for message in messages]}, status)


_UNAUTHORIZED = json_response({}, 401)
_OUT_OF_CREDITS = _errors(402, "Insufficient credits")
_RATE_LIMITED = _errors(429, "Rate limit exceeded")
_UNKNOWN_TASK = {
    "400": _errors(400, "task_id not found"),
    "404": _errors(404, "task_id not found"),
    "empty": json_response({}),
}


class JourneyApi(Service[Creation | FollowUp]):
    """One account at JourneyAPI and its tasks; a method for each endpoint, and those that `Service` wants."""

    documented = {response.status: json.loads(response.content) for response in (_OUT_OF_CREDITS, _RATE_LIMITED)}  # noqa: RUF012
    progress_field = "percentage"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, "journeyapi", body_limit_bytes=LARGEST_BODY_BYTES)
        self._settings = sandbox.settings.journeyapi
        self.credits = self._settings.credits
        """The balance."""
        self.total_images = 0
        """The number of images that its finished tasks have made."""

    @property
    def balance(self) -> float:
        """The balance, under the name that all services share."""
        return self.credits

    @balance.setter
    def balance(self, amount: float) -> None:
        self.credits = amount

    def endpoints(self) -> list[Route]:
        """Return the fake endpoints."""
        return [
            Route("/imagine", self.imagine, methods=["POST"]),
            *(Route(f"/{path}", self.follow_up, methods=["POST"]) for path in FOLLOW_UPS),
            Route("/fetch", self.fetch, methods=["POST"]),
            Route("/fetch-many", self.fetch_many, methods=["POST"]),
            Route("/account", self.account, methods=["GET"]),
        ]

    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error with one message; also for unknown routes and methods (U7)."""
        return _errors(status, message)

    def too_large(self) -> HttpResponse:
        """Return the response to a body that is too large."""
        return _errors(400, "request body is too large")

    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return the response to a request without a valid key."""
        return None if accepts_key(request.headers.get("authorization"), self._settings) else _UNAUTHORIZED

    async def imagine(self, request: Request) -> Response:
        """Accept a task; for a synchronous model, respond when it has ended."""
        return await self.create(request, "imagine")

    async def follow_up(self, request: Request) -> Response:
        """Accept a task of another endpoint; all of them are asynchronous."""
        return await self.create(request, _endpoint(request).replace("-", "_"))

    async def fetch(self, request: Request) -> Response:
        """Return a task."""
        return await self.handle(
            request, "fetch", "fetch", lambda content, faults: self._fetch(_body(request, content), faults)
        )

    async def fetch_many(self, request: Request) -> Response:
        """Return several tasks."""
        return await self.handle(
            request,
            "fetch_many",
            "fetch_many",
            lambda content, faults: self._fetch_many(_body(request, content), faults),
        )

    async def account(self, request: Request) -> Response:
        """Return the balance."""
        return await self.handle(request, "account", "account", lambda _, faults: self._account(faults))

    async def read(self, request: Request, content: bytes) -> Creation | FollowUp:
        """Return the parsed request, if the balance and the plan allow it. Raises Refused."""
        self.settle()
        creation = _parse(partial(self._read_creation, _endpoint(request)), _body(request, content))
        if self.credits < creation.credits:
            raise Refused(_OUT_OF_CREDITS)
        limit = _TASKS_AT_ONCE[self._settings.plan]
        if limit is not None and self.sandbox.tasks.running_of(self.name) >= limit:
            raise Refused(_RATE_LIMITED)
        return creation

    def _read_creation(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Creation | FollowUp:
        if endpoint == "imagine":
            return read_creation(body, self._settings)
        return read_follow_up(endpoint, body, self._settings, self._own_task, self.sandbox.now())

    def _own_task(self, task_id: str) -> Task | None:
        task = self.sandbox.tasks.find(task_id)
        return task if task is not None and task.service == self.name else None

    def accept(self, request: Request, creation: Creation | FollowUp, faults: tuple[Fault, ...]) -> Task:
        """Create and charge the task."""
        sandbox = self.sandbox
        failure = find(faults, "fail_task")
        is_blocked = sandbox.settings.blocked_word in creation.prompt
        now, seed = sandbox.now(), sandbox.rng.getrandbits(32)
        task_id = self._new_id()
        ends_at = now + sandbox.settings.shortened(sandbox.rng.uniform(*creation.seconds))
        task = Task(
            task_id=task_id,
            service=self.name,
            kind=creation.task_type,
            model=creation.model_id,
            origin=origin_of(request),
            accepted_at=now,
            ends_at=ends_at,
            charged=creation.credits,
            seed=seed,
            images=_images(creation, seed) if isinstance(creation, Creation) else images_of(creation, seed),
            failure=(failure and failure.error) or (_BLOCKED if is_blocked else None),
            is_held=bool(creation.image_urls) or find(faults, "hang") is not None,
            link=self._new_link(ends_at),
            notes={"endpoint": creation.endpoint},
        )
        self.credits -= task.charged
        sandbox.tasks.put(task)
        return task

    async def respond_to_creation(
        self, request: Request, creation: Creation | FollowUp, task: Task, faults: tuple[Fault, ...]
    ) -> HttpResponse:
        """Load the images, and wait for the end of a synchronous task."""
        if creation.image_urls:
            task = replace(await self._with_source(creation, task), is_held=find(faults, "hang") is not None)
            self.sandbox.tasks.put(task)
        if creation.webhook is not None and not task.is_held:
            self._send_webhook(task, creation.webhook)
        if not creation.is_synchronous:
            return json_response(self.distorted({"task_id": task.task_id}, faults))
        await hold(request, self.sandbox.settings.clock, until=math.inf if task.is_held else task.ends_at)
        names = ("task_id",) if self._settings.sync_answer == "task_id" else _SYNCHRONOUS_FIELDS
        body = {name: value for name, value in _serialize(task, task.ends_at).items() if name in names}
        return json_response(self.distorted(body, faults))

    def on_ended(self, task: Task) -> None:
        """Count the images; refund a failed task if the settings say so."""
        if task.failure is None:
            self.total_images += sum(not isinstance(render_spec, Sheet) for render_spec in task.images.values())
        elif self._settings.refunds_failed_tasks:
            self.credits += task.charged

    def _send_webhook(self, task: Task, webhook: Webhook) -> None:
        secret = {"x-webhook-secret": webhook.secret} if webhook.secret else {}
        self.notify(task, webhook.url, _serialize, headers=lambda _: secret, policy=self._settings.webhooks)

    async def _with_source(self, creation: Creation | FollowUp, task: Task) -> Task:
        """Load the images; the task fails if that fails, and does not end before."""
        try:
            contents = tuple([(await self.sandbox.load_source(url)).content for url in creation.image_urls])
        except SourceError as error:
            task = replace(task, failure=task.failure or f"Could not fetch image_url: {error}")
        else:
            edited = (
                {f"0.{creation.image_format}": _edit(creation, task.seed, contents[0])}
                if isinstance(creation, Creation)
                else images_of(creation, task.seed, contents)
            )
            task = replace(task, images=edited, kept_bytes=sum(map(len, contents)))
        return replace(task, ends_at=max(task.ends_at, self.sandbox.now()))

    def _fetch(self, body: Mapping[str, Any], faults: tuple[Fault, ...]) -> HttpResponse:
        task = self._look_up(_parse(read_task_id, body), faults)
        return _UNKNOWN_TASK[self._settings.unknown_task] if task is None else json_response(task)

    def _fetch_many(self, body: Mapping[str, Any], faults: tuple[Fault, ...]) -> HttpResponse:
        tasks = [self._look_up(task_id, faults) for task_id in _parse(read_task_ids, body)]
        return json_response({"tasks": [task for task in tasks if task is not None]})

    def _look_up(self, task_id: str, faults: tuple[Fault, ...]) -> dict[str, Any] | None:
        """Return the current task object with the changes of the faults; None for an unknown task."""
        found = self.find(task_id, faults)
        if found is None:
            return None
        task, now = found
        if task.link.signature and task.is_over(now):
            task = replace(task, link=self._new_link(now))
            self.sandbox.tasks.put(task)
        return self.distorted(_serialize(task, now), faults)

    def _new_link(self, now: float) -> Link:
        lifetime_s = self._settings.link_lifetime_s
        if lifetime_s is None:
            return Link()
        return Link(signature=f"{self.sandbox.rng.getrandbits(128):032x}", expires_at=now + lifetime_s)

    def _account(self, faults: tuple[Fault, ...]) -> HttpResponse:
        self.settle()
        body = {
            "email": self._settings.email,
            "credits": self.credits,
            "total_images": self.total_images,
            "plan": self._settings.plan,
        }
        return json_response(self.distorted(body, faults))

    def _new_id(self) -> str:
        task_id = self.sandbox.new_id()
        return task_id.translate(_BEYOND_HEX) if self._settings.task_ids == "letters" else task_id


def _serialize(task: Task, now: float) -> dict[str, Any]:
    """Return the task object as of `now`."""
    body: dict[str, Any] = {"task_id": task.task_id, "task_type": task.kind}
    if task.model:
        body["model"] = task.model
    if not task.is_over(now):
        return body | _running(task.progress(now))
    if task.failure is not None:
        return body | {"status": "failed", "error": task.failure}
    body |= {"status": "finished", "percentage": "100"}
    urls = task.image_urls_of
    if len(urls) == 1:
        return body | {"image_url": urls[0]}
    return body | {"original_image_url": urls[0], "image_urls": urls[1:], "seed": str(task.seed)}


def _endpoint(request: Request) -> Endpoint:
    """Return the end of a request's path, which is one of the routes."""
    return cast(Endpoint, request.url.path.rpartition("/")[2])


def _running(share: float) -> dict[str, str]:
    for limit, word in _STAGES:
        if share < limit:
            return {"status": word}
    done = (share - _STAGES[-1][0]) / (1 - _STAGES[-1][0])
    return {"status": "processing", "percentage": str(min(int(done * 100), 99))}


def _images(creation: Creation, seed: int) -> dict[str, RenderSpec]:
    """Return the results of a task without an input image."""
    scene = Scene(
        prompt=creation.prompt,
        model=creation.model.model_id,
        seed=seed,
        size=fit(creation.ratio or (1, 1), creation.long_side_px),
        image_format=creation.image_format,
    )
    if not creation.model.is_grid:
        return {f"0.{creation.image_format}": scene}
    one, two, three, four = (replace(scene, variant=variant) for variant in range(4))
    panels = {f"0_{panel.variant}.{creation.image_format}": panel for panel in (one, two, three, four)}
    sheet = Sheet(panels=(one, two, three, four), image_format=creation.image_format)
    return {f"grid_0.{creation.image_format}": sheet, **panels}


def _edit(creation: Creation, seed: int, source: bytes) -> Edit:
    return Edit(
        source=source,
        prompt=creation.prompt,
        model=creation.model.model_id,
        seed=seed,
        image_format=creation.image_format,
        ratio=creation.ratio,
    )


def _body(request: Request, content: bytes) -> dict[str, Any]:
    """Return the JSON object of a request. Raises Refused."""
    if not is_json(request):
        raise Refused(_errors(400, "Content-Type must be application/json"))
    body = read_object(content)
    if body is None:
        raise Refused(_errors(400, "request body must be a JSON object"))
    return body


def _parse(read: Callable[[Mapping[str, Any]], Parsed], body: Mapping[str, Any]) -> Parsed:
    """Return the parsed body. Raises Refused."""
    try:
        return read(body)
    except ValidationError as error:
        raise Refused(_errors(400, *error.messages)) from error
