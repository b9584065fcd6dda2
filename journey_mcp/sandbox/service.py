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
from journey_mcp.sandbox.request_log import Stray
from journey_mcp.sandbox.responses import Answer, corrupt, distort, json_answer, refusal
from journey_mcp.sandbox.services import PATHS
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task
from journey_mcp.sandbox.webhook_policy import WebhookPolicy
from journey_mcp.sandbox.webhooks import Delivery
from journey_mcp.sandbox.wire import TooLargeError, WireResponse, read_body

Order = TypeVar("Order")
"""An accepted creating request, in the words of its service."""

Work = Callable[[bytes, tuple[Fault, ...]], Answer]
"""What an endpoint does with a body, and with the faults that hit the request."""

_BACKWARDS_SHARE = 0.04
"""Where a task seems to be again for the fault `backwards`."""


class Refused(Exception):
    """A request is not taken; `answer` says why, in the service's own form."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Service(ABC, Generic[Order]):
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
    def error(self, status: int, message: str) -> Answer:
        """Return an error in this service's form, for paths, methods and bodies that no endpoint takes."""

    @abstractmethod
    def unauthorized(self, request: Request) -> Answer | None:
        """Return what a request without a good key is told; None for a good one."""

    @abstractmethod
    async def read(self, request: Request, content: bytes) -> Order:
        """Return what is ordered. Raises Refused."""

    @abstractmethod
    def accept(self, request: Request, order: Order, faults: tuple[Fault, ...]) -> Task:
        """Create, keep and charge the task."""

    @abstractmethod
    async def begin(self, request: Request, order: Order, task: Task, faults: tuple[Fault, ...]) -> Answer:
        """Do what the creating request does when the task exists, and return its answer."""

    def book(self, task: Task) -> None:
        """Note that a task is over: a refund, a statistic. By default nothing."""

    def routes(self) -> list[BaseRoute]:
        """Return the imitated endpoints."""
        return [Mount(PATHS[self.name], app=Router(self.endpoints(), redirect_slashes=False))]

    async def create(self, request: Request, endpoint: str) -> Response:
        """Answer a creating request; `endpoint` is its name in the ledger."""
        request_log = self.sandbox.request_log
        faults = self.arrive(request, endpoint, "submit")
        content = await self._content(request)
        received = b"" if isinstance(content, Answer) else content
        number = request_log.open(self.name, endpoint, received, self.sandbox.now())
        order = refusal(faults, self.documented) or await self._read(request, content)
        if isinstance(order, Answer):
            request_log.close(number, "reset" if order.delivery == "none" else f"refused {order.status}")
            return await self.respond(order, faults)
        task = self.accept(request, order, faults)
        request_log.close(number, "created", task_id=task.task_id, model=task.model, charged=task.charged)
        return await self.respond(await self.begin(request, order, task, faults), faults)

    async def ask(self, request: Request, endpoint: str, on: str, work: Work, *, needs_key: bool = True) -> Response:
        """Answer any other request; `on` is where faults strike, `work` may raise Refused."""
        faults = self.arrive(request, endpoint, on)
        answer = refusal(faults, self.documented) or (self.unauthorized(request) if needs_key else None)
        if answer is None:
            content = await self._content(request)
            try:
                answer = content if isinstance(content, Answer) else work(content, faults)
            except Refused as refused:
                answer = refused.answer
        return await self.respond(answer, faults)

    def arrive(self, request: Request, endpoint: str, on: str) -> tuple[Fault, ...]:
        """Count a request, note keys of others, and return the faults that hit it."""
        told = credentials.carried(request.headers)
        for header, key in told.items():
            if header != self.key_header:
                self._stray(request, header, "foreign header")
            elif self._is_foreign(key):
                self._stray(request, header, "foreign key")
        name = endpoint if self.name == "journeyapi" else f"{self.name}/{endpoint}"
        return self.sandbox.arrive(name, f"{self.name}/{on}", is_keyed=bool(told))

    async def respond(self, answer: Answer, faults: Iterable[Fault]) -> Response:
        """Send an answer as the faults leave it, when they let it."""
        spoiled = corrupt(answer, faults, self.documented)
        await wait_until(self.sandbox.settings.clock, self.sandbox.now() + spoiled.delay_s)
        return WireResponse(spoiled)

    def distorted(self, told: Mapping[str, Any], faults: Iterable[Fault]) -> dict[str, Any]:
        """Return a task object as the faults tell it."""
        return distort(told, faults, percentage_field=self.progress_field)

    def settle(self) -> None:
        """Book what has ended since the last request."""
        for task in self.sandbox.tasks.settle(self.sandbox.now(), self.name):
            self.book(task)

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
        tell: Callable[[Task, float], Mapping[str, Any]],
        *,
        headers: Callable[[bytes], Mapping[str, str]],
        policy: WebhookPolicy,
    ) -> None:
        """Post what `tell` says of a task to `url` when it is over; `headers` is given the body."""
        self.sandbox.deliveries.start(partial(self._notify, task, url, tell, headers, policy))

    async def _notify(
        self,
        task: Task,
        url: str,
        tell: Callable[[Task, float], Mapping[str, Any]],
        headers: Callable[[bytes], Mapping[str, str]],
        policy: WebhookPolicy,
    ) -> None:
        clock = self.sandbox.settings.clock
        await wait_until(clock, task.ends_at)
        faults = self.sandbox.faults.take(f"{self.name}/webhook")
        if find(faults, "lost"):
            return
        answer = corrupt(json_answer(self.distorted(tell(task, task.ends_at), faults)), faults, {})
        delivery = Delivery(
            task_id=task.task_id,
            url=url,
            content=answer.content,
            headers={"Content-Type": "application/json", **headers(answer.content)},
        )
        await wait_until(clock, self.sandbox.now() + answer.delay_s)
        for _ in range(2 if find(faults, "duplicate") else 1):
            await self.sandbox.deliveries.deliver(delivery, policy)

    async def _content(self, request: Request) -> bytes | Answer:
        """Return the body, or what is answered to one that is too large."""
        try:
            return await read_body(request, self._body_limit_bytes)
        except TooLargeError:
            return self.too_large()

    def too_large(self) -> Answer:
        """Return what is answered to a body that is too large."""
        return self.error(413, "request body is too large")

    async def _read(self, request: Request, content: bytes | Answer) -> Order | Answer:
        if unauthorized := self.unauthorized(request):
            return unauthorized
        if isinstance(content, Answer):
            return content
        try:
            return await self.read(request, content)
        except Refused as refused:
            return refused.answer

    def _is_foreign(self, key: str) -> bool:
        """Whether a key is one of another service's, and not of this one's too."""
        keys = self.sandbox.settings.keys
        return key not in keys[self.name] and any(key in others for others in keys.values())

    def _stray(self, request: Request, header: str, reason: str) -> None:
        self.sandbox.request_log.stray(stray(request, header, reason))


def stray(request: Request, header: str, reason: str) -> Stray:
    """Return the note that `request` carried a credential in `header` where it has no business."""
    return Stray(path=request.url.path, host=request.headers.get("host", ""), header=header, reason=reason)


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
