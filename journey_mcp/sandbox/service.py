"""What all imitated services have in common: how a request arrives, becomes a task, and is answered."""

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
"""An accepted creating request, in the words of its service."""

Work = Callable[[bytes, tuple[Fault, ...]], HttpResponse]
"""What an endpoint does with a body, and with the faults that hit the request."""

_BACKWARDS_SHARE = 0.04
"""Where a task seems to be again for the fault `backwards`."""


class Refused(Exception):
    """A request is not taken; `response` says why, in the service's own form."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class Service(ABC, Generic[Creation]):
    """One account at one imitated service, and its tasks.

    A subclass reads requests into orders, makes tasks of them, and tells how tasks are. The way of a request
    through faults, ledger and key is the same for all and stands here.
    """

    documented: ClassVar[Mapping[int, Any]] = {}
    """The bodies, or whole answers, that this service gives with a status; a fault without a body uses them."""
    progress_field: ClassVar[str] = "progress"
    """Where a task object tells its progress."""
    key_header: ClassVar[str] = "authorization"
    """The header that carries the key."""
    balance: float
    """What is left on the account, in the service's own unit. May be set."""

    def __init__(self, sandbox: Sandbox, name: str, *, body_limit_bytes: int) -> None:
        self.sandbox = sandbox
        self.name = name
        self._body_limit_bytes = body_limit_bytes

    @abstractmethod
    def endpoints(self) -> list[Route]:
        """Return the routes of this service, relative to its path."""

    @abstractmethod
    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error in this service's form, for paths, methods and bodies that no endpoint takes."""

    @abstractmethod
    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return what a request without a good key is told; None for a good one."""

    @abstractmethod
    async def read(self, request: Request, content: bytes) -> Creation:
        """Return what is ordered. Raises Refused."""

    @abstractmethod
    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Task:
        """Create, keep and charge the task."""

    @abstractmethod
    async def respond_to_creation(
        self, request: Request, creation: Creation, task: Task, faults: tuple[Fault, ...]
    ) -> HttpResponse:
        """Do what the creating request does when the task exists, and return its answer."""

    def on_ended(self, task: Task) -> None:
        """Note that a task is over: a refund, a statistic. By default nothing."""

    def routes(self) -> list[BaseRoute]:
        """Return the imitated endpoints."""
        return [Mount(PATHS[self.name], app=Router(self.endpoints(), redirect_slashes=False))]

    async def create(self, request: Request, endpoint: str) -> Response:
        """Answer a creating request; `endpoint` is its name in the ledger."""
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
        """Answer any other request; `on` is where faults strike, `work` may raise Refused."""
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
        """Count a request, note keys of others, and return the faults that hit it."""
        keys = credentials.carried(request.headers)
        for header, key in keys.items():
            if header != self.key_header:
                self._log_misplaced_key(request, header, "foreign header")
            elif self._is_foreign(key):
                self._log_misplaced_key(request, header, "foreign key")
        name = endpoint if self.name == "journeyapi" else f"{self.name}/{endpoint}"
        return self.sandbox.receive(name, f"{self.name}/{on}", is_keyed=bool(keys))

    async def respond(self, response: HttpResponse, faults: Iterable[Fault]) -> Response:
        """Send an answer as the faults leave it, when they let it."""
        corrupted = corrupt(response, faults, self.documented)
        await wait_until(self.sandbox.settings.clock, self.sandbox.now() + corrupted.delay_s)
        return WireResponse(corrupted)

    def distorted(self, keys: Mapping[str, Any], faults: Iterable[Fault]) -> dict[str, Any]:
        """Return a task object as the faults tell it."""
        return distort(keys, faults, percentage_field=self.progress_field)

    def settle(self) -> None:
        """Book what has ended since the last request."""
        for task in self.sandbox.tasks.settle(self.sandbox.now(), self.name):
            self.on_ended(task)

    def find(self, task_id: str, faults: Iterable[Fault]) -> tuple[Task, float] | None:
        """Return a task and the moment that it is to be told of; None for one that this service does not know."""
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
        """Post what `serialize` says of a task to `url` when it is over; `headers` is given the body."""
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
        """Return the body, or what is answered to one that is too large."""
        try:
            return await read_body(request, self._body_limit_bytes)
        except TooLargeError:
            return self.too_large()

    def too_large(self) -> HttpResponse:
        """Return what is answered to a body that is too large."""
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
        """Whether a key is one of another service's, and not of this one's too."""
        keys = self.sandbox.settings.keys
        return key not in keys[self.name] and any(key in others for others in keys.values())

    def _log_misplaced_key(self, request: Request, header: str, reason: str) -> None:
        self.sandbox.request_log.misplaced_key(misplaced_key(request, header, reason))


def misplaced_key(request: Request, header: str, reason: str) -> MisplacedKey:
    """Return the note that `request` carried a credential in `header` where it has no business."""
    return MisplacedKey(path=request.url.path, host=request.headers.get("host", ""), header=header, reason=reason)


def read_object(content: bytes) -> dict[str, Any] | None:
    """Return a body's JSON object; None when it is none."""
    try:
        body = json.loads(content)
        # half of a surrogate pair can be written in JSON, but neither be drawn nor told on
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def is_json(request: Request) -> bool:
    """Whether a request says that its body is JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def origin_of(request: Request) -> str:
    """Return where the sandbox was reached."""
    return str(request.base_url.replace(path="")).rstrip("/")
