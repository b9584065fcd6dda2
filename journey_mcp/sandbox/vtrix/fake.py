"""The fake of Vtrix: one endpoint that creates tasks of all models, one that returns them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.inputs import InputImages, UnreadableInput, load_inputs
from journey_mcp.sandbox.responses import HttpResponse, json_response
from journey_mcp.sandbox.service import Refused, Service, is_json, origin_of, read_object
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task
from journey_mcp.sandbox.vtrix.requests import ParsedRequest, ValidationError, check_images, read_request

ENDPOINTS = ("generation", "task")
"""The names of its endpoints in the request log."""

_BLOCKED = "The content was blocked by our policy"
_EMPTY = {"message": "insufficient balance"}
_TOO_MANY = {"message": "rate limit exceeded"}
_UNAUTHORIZED = {"message": "invalid API key"}
_ERROR_FORMS: Mapping[str, Callable[[str], Any]] = {
    "object": lambda text: {"code": "000000000", "message": text},
    "number": lambda text: {"code": 123, "error_message": text},
    "text": lambda text: text,
}


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A validated request with its loaded images."""

    parsed: ParsedRequest
    images: InputImages

    @property
    def price_usd(self) -> Decimal:
        """The price of all its images."""
        return self.parsed.model.price_usd * self.parsed.count


class Vtrix(Service[Creation]):
    """One account at Vtrix and its tasks."""

    # no source shows a body: the vendor's client can parse this one
    documented = {  # noqa: RUF012 - a mapping that is never changed
        401: _UNAUTHORIZED,
        403: _EMPTY,
        429: _TOO_MANY,
        500: {"message": "internal error"},
    }

    def __init__(self, sandbox: Sandbox) -> None:
        self._settings = sandbox.settings.vtrix
        super().__init__(sandbox, "vtrix", body_limit_bytes=self._settings.body_limit_bytes)
        self.balance = self._settings.balance_usd
        """US dollars."""

    def endpoints(self) -> list[Route]:
        """Return the fake endpoints."""
        return [
            Route("/model/v1/generation", self.generation, methods=["POST"]),
            Route("/model/v1/generation/task/{task_id}", self.task, methods=["GET"]),
        ]

    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error; its format is not documented, the vendor's client can parse this one."""
        return json_response({"message": message}, status)

    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return the response to a request without a valid key."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        keys = self._settings.keys
        is_good = scheme == "Bearer" and (bool(key) if keys is None else key in keys)
        return None if is_good else json_response(_UNAUTHORIZED, 401)

    async def generation(self, request: Request) -> Response:
        """Accept a task."""
        return await self.create(request, "generation")

    async def task(self, request: Request) -> Response:
        """Return a task."""
        task_id = request.path_params["task_id"]
        return await self.handle(request, "task", "fetch", lambda _, faults: self._look_up(task_id, faults))

    async def read(self, request: Request, content: bytes) -> Creation:
        """Return the parsed request, if the balance allows it. Raises Refused."""
        body = read_object(content) if is_json(request) else None
        if body is None:
            raise Refused(self.error(400, "a JSON object is required"))
        try:
            parsed = read_request(body, self._settings)
            images = await load_inputs(
                self.sandbox, parsed.images, parsed.parameters, limit_bytes=parsed.model.images_limit_bytes
            )
            check_images(images, parsed.model)
        except ValidationError as error:
            raise Refused(self.error(400, str(error))) from error
        except UnreadableInput as error:
            raise Refused(self.error(400, f"{error.name}: {error.message}")) from error
        creation = Creation(parsed=parsed, images=images)
        self.settle()
        limit = self._settings.tasks_at_once
        if limit is not None and self.sandbox.tasks.running_of(self.name) >= limit:
            raise Refused(json_response(_TOO_MANY, 429))
        if self.balance < creation.price_usd:
            raise Refused(json_response(_EMPTY, 403))
        return creation

    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Task:
        """Create and charge the task."""
        sandbox, parsed = self.sandbox, creation.parsed
        failure = find(faults, "fail_task")
        is_blocked = sandbox.settings.blocked_word in parsed.prompt
        now, seed = sandbox.now(), parsed.params.get("seed")
        # -1 requests a random seed, like no seed
        seed = seed if isinstance(seed, int) and seed >= 0 else sandbox.rng.getrandbits(32)
        task = Task(
            task_id=sandbox.new_id(),
            service=self.name,
            kind="generation",
            model=parsed.model.model_id,
            origin=origin_of(request),
            accepted_at=now,
            ends_at=now + sandbox.settings.shortened(sandbox.rng.uniform(*parsed.model.seconds)),
            charged=float(creation.price_usd),
            seed=seed,
            images=parsed.render_specs(creation.images, seed),
            failure=(failure and failure.error) or (_BLOCKED if is_blocked else None) or creation.images.failure,
            is_held=find(faults, "hang") is not None,
            kept_bytes=creation.images.size_bytes,
        )
        self.balance -= task.charged
        sandbox.tasks.put(task)
        return task

    async def respond_to_creation(
        self,
        request: Request,  # noqa: ARG002 - as every service takes it
        creation: Creation,  # noqa: ARG002 - the same
        task: Task,
        faults: tuple[Fault, ...],
    ) -> HttpResponse:
        """Respond with the id and an initial status; results are available only by polling."""
        body = {**self._head(task), "status": self._settings.waiting_words[0], **self._time(task)}
        return json_response(self.distorted(body, faults))

    def on_ended(self, task: Task) -> None:
        """Refund a failed task, if the settings say so."""
        if task.failure is not None and self._settings.refunds_failed_tasks:
            self.balance += task.charged

    def _look_up(self, task_id: str, faults: tuple[Fault, ...]) -> HttpResponse:
        found = self.find(task_id, faults)
        if found is None:
            return self.error(404, "task not found")
        return json_response(self.distorted(self._serialize(*found), faults))

    def _serialize(self, task: Task, now: float) -> dict[str, Any]:
        """Return the task object as of `now`."""
        body = self._head(task)
        if not task.is_over(now):
            progress, words = task.progress(now), self._settings.waiting_words
            word = words[min(int(progress * len(words)), len(words) - 1)]
            return body | {"status": word, **self._time(task), "progress": round(min(progress, 0.99), 2)}
        if task.failure is not None:
            error = _ERROR_FORMS[self._settings.error_form](task.failure)
            return body | {"status": "failed", **self._time(task, is_over=True), "error": error}
        return body | {
            "status": "completed",
            **self._time(task, is_over=True),
            "output": [{"content": [{"type": "image", "url": url} for url in task.image_urls_of]}],
            "usage": {"cost": f"{task.charged:.4f}", "discount": 0},
            "metadata": {},
        }

    def _head(self, task: Task) -> dict[str, Any]:
        return {self._settings.task_id_field: task.task_id, "model": task.model}

    def _time(self, task: Task, *, is_over: bool = False) -> dict[str, Any]:
        calendar = self.sandbox.calendar
        if self._settings.created_at == "unix":
            return {"created_at": int(calendar.unix(task.accepted_at))}
        created = {"created_at": calendar.iso(task.accepted_at)}
        return created | ({"completed_at": calendar.iso(task.ends_at)} if is_over else {})
