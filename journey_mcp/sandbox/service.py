"""The common base of all fake services: receiving a request, creating a task, and responding."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router

from journey_mcp.sandbox import credentials
from journey_mcp.sandbox.clock import wait_until
from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.request_log import MisplacedKey
from journey_mcp.sandbox.responses import HttpResponse, corrupt, distort, early_response, json_response
from journey_mcp.sandbox.services import PATHS
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task
from journey_mcp.sandbox.webhook_policy import WebhookPolicy
from journey_mcp.sandbox.webhooks import Delivery
from journey_mcp.sandbox.wire import TooLargeError, WireResponse, read_body

Creation = TypeVar("Creation")
"""A validated creating request of the service."""

Work = Callable[[bytes, tuple[Fault, ...]], HttpResponse]
"""The work of an endpoint: from a body and the faults that affect the request to a response."""

_BACKWARDS_SHARE = 0.04
"""The fraction of a task's duration that the fault `backwards` shows."""


class Refused(Exception):
    """A request is rejected with `response`, in the service's format."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class Service(ABC, Generic[Creation]):
    """One account at one fake service, and its tasks.

    A subclass parses creating requests, creates tasks from them, and serializes tasks. Faults, request log and
    authentication are the same for all services and implemented here. Half of the methods are overridden by subclasses.
    """

    documented: ClassVar[Mapping[int, Any]] = {}
    """The bodies, or whole responses, of this service by status; a fault without a body uses them."""
    progress_field: ClassVar[str] = "progress"
    """The progress field of a task object."""
    key_header: ClassVar[str] = "authorization"
    """The header with the key."""
    balance: float
    """The balance of the account, in the service's unit. May be set."""

    def __init__(self, sandbox: Sandbox, name: str, *, body_limit_bytes: int) -> None:
        self.sandbox = sandbox
        self.name = name
        self._body_limit_bytes = body_limit_bytes

    @abstractmethod
    def endpoints(self) -> list[Route]:
        """Return the routes of this service, relative to its path."""

    @abstractmethod
    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error in this service's format, for unknown paths, methods and invalid bodies."""

    @abstractmethod
    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return the response to a request without a valid key; None for a valid one."""

    @abstractmethod
    async def read(self, request: Request, content: bytes) -> Creation:
        """Return the parsed creating request. Raises Refused."""

    @abstractmethod
    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Task:
        """Create, store and charge the task."""

    @abstractmethod
    async def respond_to_creation(
        self, request: Request, creation: Creation, task: Task, faults: tuple[Fault, ...]
    ) -> HttpResponse:
        """Do the rest of a creating request once the task exists, and return its response."""

    def on_ended(self, task: Task) -> None:
        """Handle the end of a task, for a refund or a statistic. Does nothing by default."""

    def routes(self) -> list[BaseRoute]:
        """Return the fake endpoints."""
        return [Mount(PATHS[self.name], app=Router(self.endpoints(), redirect_slashes=False))]

    async def create(self, request: Request, endpoint: str) -> Response:
        """Handle a creating request; `endpoint` is its name in the request log."""
        request_log = self.sandbox.request_log
        faults = self.receive(request, endpoint, "submit")
        content = await self._content(request)
        received = b"" if isinstance(content, HttpResponse) else content
        number = request_log.open(self.name, endpoint, received, self.sandbox.now())
        creation = early_response(faults, self.documented) or await self._read(request, content)
        if isinstance(creation, HttpResponse):
            request_log.close(number, "reset" if creation.delivery == "none" else f"refused {creation.status}")
            return await self.respond(creation, faults)
        task = self.accept(request, creation, faults)
        request_log.close(number, "created", task_id=task.task_id, model=task.model, charged=task.charged)
        return await self.respond(await self.respond_to_creation(request, creation, task, faults), faults)

    async def handle(self, request: Request, endpoint: str, on: str, work: Work, *, needs_key: bool = True) -> Response:
        """Handle any other request; `on` is the endpoint of faults, `work` may raise Refused."""
        faults = self.receive(request, endpoint, on)
        response = early_response(faults, self.documented) or (self.unauthorized(request) if needs_key else None)
        if response is None:
            content = await self._content(request)
            try:
                response = content if isinstance(content, HttpResponse) else work(content, faults)
            except Refused as refused:
                response = refused.response
        return await self.respond(response, faults)

    def receive(self, request: Request, endpoint: str, on: str) -> tuple[Fault, ...]:
        """Count a request, log keys of other services, and return the faults that affect it."""
        keys = credentials.carried(request.headers)
        for header, key in keys.items():
            if header != self.key_header:
                self._log_misplaced_key(request, header, "foreign header")
            elif self._is_foreign(key):
                self._log_misplaced_key(request, header, "foreign key")
        name = endpoint if self.name == "journeyapi" else f"{self.name}/{endpoint}"
        return self.sandbox.receive(name, f"{self.name}/{on}", is_keyed=bool(keys))

    async def respond(self, response: HttpResponse, faults: Iterable[Fault]) -> Response:
        """Send a response with the changes and the delay of the faults."""
        corrupted = corrupt(response, faults, self.documented)
        await wait_until(self.sandbox.settings.clock, self.sandbox.now() + corrupted.delay_s)
        return WireResponse(corrupted)

    def distorted(self, body: Mapping[str, Any], faults: Iterable[Fault]) -> dict[str, Any]:
        """Return a task object with the changes of the faults."""
        return distort(body, faults, percentage_field=self.progress_field)

    def settle(self) -> None:
        """Handle the tasks that have ended since the last request."""
        for task in self.sandbox.tasks.settle(self.sandbox.now(), self.name):
            self.on_ended(task)

    def find(self, task_id: str, faults: Iterable[Fault]) -> tuple[Task, float] | None:
        """Return a task and the time as of which to serialize it; None if this service does not know it."""
        self.settle()
        task, now = self.sandbox.tasks.find(task_id), self.sandbox.now()
        if task is None or task.service != self.name:
            return None
        self.sandbox.request_log.count_fetch(task_id)
        if find(faults, "backwards"):
            early = task.accepted_at + _BACKWARDS_SHARE * task.duration_s
            return replace(task, is_held=True), min(now, early)
        return task, now

    def notify(
        self,
        task: Task,
        url: str,
        serialize: Callable[[Task, float], Mapping[str, Any]],
        *,
        headers: Callable[[bytes], Mapping[str, str]],
        policy: WebhookPolicy,
    ) -> None:
        """Post the serialized task to `url` when it has ended; `headers` is called with the body."""
        self.sandbox.deliveries.start(partial(self._notify, task, url, serialize, headers, policy))

    async def _notify(
        self,
        task: Task,
        url: str,
        serialize: Callable[[Task, float], Mapping[str, Any]],
        headers: Callable[[bytes], Mapping[str, str]],
        policy: WebhookPolicy,
    ) -> None:
        clock = self.sandbox.settings.clock
        await wait_until(clock, task.ends_at)
        faults = self.sandbox.faults.take(f"{self.name}/webhook")
        if find(faults, "lost"):
            return
        response = corrupt(json_response(self.distorted(serialize(task, task.ends_at), faults)), faults, {})
        delivery = Delivery(
            task_id=task.task_id,
            url=url,
            content=response.content,
            headers={"Content-Type": "application/json", **headers(response.content)},
        )
        await wait_until(clock, self.sandbox.now() + response.delay_s)
        for _ in range(2 if find(faults, "duplicate") else 1):
            await self.sandbox.deliveries.deliver(delivery, policy)

    async def _content(self, request: Request) -> bytes | HttpResponse:
        """Return the body, or the response to one that is too large."""
        try:
            return await read_body(request, self._body_limit_bytes)
        except TooLargeError:
            return self.too_large()

    def too_large(self) -> HttpResponse:
        """Return the response to a body that is too large."""
        return self.error(413, "request body is too large")

    async def _read(self, request: Request, content: bytes | HttpResponse) -> Creation | HttpResponse:
        if unauthorized := self.unauthorized(request):
            return unauthorized
        if isinstance(content, HttpResponse):
            return content
        try:
            return await self.read(request, content)
        except Refused as refused:
            return refused.response

    def _is_foreign(self, key: str) -> bool:
        """Return whether a key belongs to another service and not also to this one."""
        keys = self.sandbox.settings.keys
        return key not in keys[self.name] and any(key in others for others in keys.values())

    def _log_misplaced_key(self, request: Request, header: str, reason: str) -> None:
        self.sandbox.request_log.add_misplaced_key(misplaced_key(request, header, reason))


def misplaced_key(request: Request, header: str, reason: str) -> MisplacedKey:
    """Return the log entry of a credential in `header` at the wrong place."""
    return MisplacedKey(path=request.url.path, host=request.headers.get("host", ""), header=header, reason=reason)


def read_object(content: bytes) -> dict[str, Any] | None:
    """Return a body's JSON object; None if it is not one."""
    try:
        body = json.loads(content)
        # JSON can contain half of a surrogate pair, which can be neither drawn nor sent
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def is_json(request: Request) -> bool:
    """Return whether a request declares its body as JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def origin_of(request: Request) -> str:
    """Return the origin at which the sandbox was reached."""
    return str(request.base_url.replace(path="")).rstrip("/")
