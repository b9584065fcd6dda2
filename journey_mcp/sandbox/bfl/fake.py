"""The fake of Black Forest Labs: an endpoint per model, get_result and credits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.sandbox.bfl.models import Model
from journey_mcp.sandbox.bfl.requests import (
    Creation,
    ValidationError,
    Webhook,
    check_sizes,
    format_of,
    model_of,
    read_parameters,
)
from journey_mcp.sandbox.bfl.responses import (
    BAD_KEY,
    ERROR,
    MODERATED,
    NO_CREDITS,
    NO_KEY,
    NOT_FOUND,
    PENDING,
    READY,
    RETRY_AFTER_S,
    TOO_MANY,
    invalid,
    task_object,
    unprocessable,
    webhook_auth_headers,
)
from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.inputs import UnreadableInput, load_inputs
from journey_mcp.sandbox.responses import HttpResponse, json_response
from journey_mcp.sandbox.service import Refused, Service, is_json, origin_of, read_object
from journey_mcp.sandbox.services import PATHS
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Link, Task

ENDPOINTS = ("submit", "get_result", "credits")
"""The names of its endpoints in the request log."""


class Bfl(Service[Creation]):
    """One account at Black Forest Labs and its tasks."""

    documented = {  # noqa: RUF012 - a mapping that is never changed
        401: BAD_KEY,
        402: NO_CREDITS,
        403: NO_KEY,
        422: {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]},
        429: TOO_MANY,
    }
    key_header = "x-key"

    def __init__(self, sandbox: Sandbox) -> None:
        self._settings = sandbox.settings.bfl
        super().__init__(sandbox, "bfl", body_limit_bytes=self._settings.body_limit_bytes)
        self.balance = self._settings.credits
        """Credits."""

    def endpoints(self) -> list[Route]:
        """Return the fake endpoints."""
        return [
            Route("/get_result", self.get_result, methods=["GET"]),
            Route("/credits", self.credits, methods=["GET"]),
            Route("/{model}", self.submit, methods=["POST"]),
        ]

    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error that consists of a text."""
        return json_response({"detail": message}, status)

    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return the response to a request without a valid key."""
        key, keys = request.headers.get("x-key"), self._settings.keys
        if bool(key) if keys is None else key in keys:
            return None
        return json_response(NO_KEY, 403) if self._settings.unauthorized == "403" else json_response(BAD_KEY, 401)

    async def submit(self, request: Request) -> Response:
        """Accept a task for the model in the path."""
        return await self.create(request, "submit")

    async def get_result(self, request: Request) -> Response:
        """Return a task."""
        task_id = request.query_params.get("id")
        return await self.handle(
            request,
            "get_result",
            "fetch",
            lambda _, faults: self._look_up(task_id, faults),
            needs_key=self._settings.poll_needs_key,
        )

    async def credits(self, request: Request) -> Response:
        """Return the balance."""
        return await self.handle(
            request,
            "credits",
            "account",
            lambda _, faults: json_response(self.distorted({"credits": self._settled_balance()}, faults)),
        )

    async def read(self, request: Request, content: bytes) -> Creation:
        """Return the parsed request, if balance and limits allow it. Raises Refused."""
        model = model_of(request.path_params["model"], self._settings)
        if model is None:
            raise Refused(self.error(404, "Not Found"))
        body = read_object(content) if is_json(request) else None
        if body is None:
            raise Refused(invalid(("body",), "Input should be a valid JSON object", "json_invalid"))
        try:
            creation = await self._read_creation(model, body)
        except ValidationError as error:
            raise Refused(unprocessable(error.problems)) from error
        except UnreadableInput as error:
            message = f"Value error, {error.message}"
            raise Refused(invalid(("body", error.name), message, "value_error")) from error
        self._check_limits(creation)
        return creation

    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Task:
        """Create and charge the task."""
        sandbox, settings = self.sandbox, self._settings
        now, seed = sandbox.now(), creation.params.get("seed", sandbox.rng.getrandbits(32))
        ends_at = now + sandbox.settings.shortened(sandbox.rng.uniform(*creation.model.seconds))
        lifetime_s = settings.link_lifetime_s
        if settings.shortens_links:
            lifetime_s = sandbox.settings.shortened(lifetime_s)
        failure, notes = self._failure(creation, faults)
        task = Task(
            task_id=sandbox.new_id(),
            service=self.name,
            kind="submit",
            model=creation.model.model_id,
            origin=origin_of(request),
            accepted_at=now,
            ends_at=ends_at,
            charged=creation.cost,
            seed=seed,
            images={f"sample.{creation.output_format}": creation.render_spec(seed)},
            failure=failure,
            is_held=find(faults, "hang") is not None,
            kept_bytes=creation.images.size_bytes,
            link=Link(
                signature=f"{sandbox.rng.getrandbits(128):032x}",
                expires_at=ends_at + lifetime_s,
                gone_status=settings.expired_status,
            ),
            notes={"prompt": creation.prompt, **notes},
        )
        self.balance -= task.charged
        sandbox.tasks.put(task)
        return task

    async def respond_to_creation(
        self,
        request: Request,  # noqa: ARG002 - as every service takes it
        creation: Creation,
        task: Task,
        faults: tuple[Fault, ...],
    ) -> HttpResponse:
        """Respond with the polling URL, or without it if a webhook is requested, which is then scheduled."""
        body: dict[str, Any] = {"id": task.task_id}
        if creation.webhook is None:
            foreign = find(faults, "foreign_url")
            origin = (foreign and foreign.origin) or task.origin
            body["polling_url"] = f"{origin}{PATHS[self.name]}/get_result?id={task.task_id}"
        else:
            body |= {"status": PENDING, "webhook_url": creation.webhook.url}
            if not task.is_held:
                self._send_webhook(task, creation.webhook)
        body |= {"cost": task.charged, "input_mp": creation.input_mp, "output_mp": creation.output_mp}
        return replace(json_response(self.distorted(body, faults)), headers=self._rate_headers())

    def on_ended(self, task: Task) -> None:
        """Refund the credits of a failed task, if the settings say so."""
        if task.failure is not None and self._settings.refunds_failed_tasks:
            self.balance += task.charged

    async def _read_creation(self, model: Model, body: Mapping[str, Any]) -> Creation:
        """Return the parsed request. Raises ValidationError and UnreadableInput."""
        params = read_parameters(body, model, self._settings)
        images = await load_inputs(self.sandbox, params, model.parameters, limit_bytes=self._settings.image_limit_bytes)
        check_sizes(images, self._settings.image_limit_px)
        return Creation(
            model=model, params=params, output_format=format_of(params, model, self._settings), images=images
        )

    def _check_limits(self, creation: Creation) -> None:
        """Raise Refused if there are too many tasks or too few credits."""
        self.settle()
        tasks, model_id = self.sandbox.tasks, creation.model.model_id
        limit = dict(self._settings.tasks_at_once_by_model).get(model_id, self._settings.tasks_at_once)
        if (
            tasks.running_of(self.name) >= self._settings.tasks_at_once
            or tasks.running_of(self.name, model_id) >= limit
        ):
            headers = {"Retry-After": str(RETRY_AFTER_S), **self._rate_headers()}
            raise Refused(replace(json_response(TOO_MANY, 429), headers=headers))
        if self.balance < creation.cost:
            raise Refused(json_response(NO_CREDITS, 402))

    def _rate_headers(self) -> dict[str, str]:
        limit = self._settings.tasks_at_once
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - self.sandbox.tasks.running_of(self.name))),
            "X-RateLimit-Reset": str(int(self.sandbox.calendar.unix(self.sandbox.now())) + RETRY_AFTER_S),
        }

    def _failure(self, creation: Creation, faults: tuple[Fault, ...]) -> tuple[str | None, dict[str, str]]:
        """Return why a task fails, and its status and error; fail_task may name a status."""
        fault = find(faults, "fail_task")
        if fault is not None and fault.error in MODERATED:
            return fault.error, {"status": fault.error}
        if fault is not None:
            return fault.error, {"status": ERROR, "error": "internal_error"}
        if self.sandbox.settings.blocked_word in creation.prompt:
            return MODERATED[0], {"status": MODERATED[0]}
        if creation.images.failure:
            return creation.images.failure, {"status": ERROR, "error": "invalid_image"}
        return None, {}

    def _send_webhook(self, task: Task, webhook: Webhook) -> None:
        self.notify(
            task,
            webhook.url,
            self._serialize_webhook,
            headers=lambda content: webhook_auth_headers(content, webhook.secret, self._settings.webhook_proof),
            policy=self._settings.webhooks,
        )

    def _look_up(self, task_id: str | None, faults: tuple[Fault, ...]) -> HttpResponse:
        if task_id is None:
            raise Refused(invalid(("query", "id"), "Field required", "missing"))
        found = self.find(task_id, faults)
        if found is None:
            return json_response(task_object(task_id, NOT_FOUND), int(self._settings.unknown_task))
        body = self.distorted(self._serialize(*found), faults)
        if "result" in body and body.get("status", READY) != READY:
            # a fault may replace the status of a ready task; no service returns a moderated image
            body["result"] = None
        return json_response(body)

    def _serialize(self, task: Task, now: float) -> dict[str, Any]:
        """Return the task object as of `now`."""
        if not task.is_over(now):
            return task_object(task.task_id, PENDING)
        if task.failure is None:
            result = {"sample": task.image_urls_of[0], "prompt": task.notes["prompt"], "seed": task.seed}
            return task_object(task.task_id, READY) | {"result": result}
        return task_object(task.task_id, task.notes["status"]) | self._explanation(task)

    def _serialize_webhook(self, task: Task, time: float) -> dict[str, Any]:
        """Return the body of a webhook."""
        body = self._serialize(task, time)
        names = ("id", "status", "result") if task.failure is None else ("id", "status", "error", "message")
        stamp = {"timestamp": self.sandbox.calendar.iso(time)}
        return {name: body[name] for name in names if name in body} | stamp

    def _explanation(self, task: Task) -> dict[str, str]:
        if not self._settings.explains_errors or "error" not in task.notes:
            return {}
        return {"error": task.notes["error"], "message": str(task.failure)}

    def _settled_balance(self) -> float:
        self.settle()
        return self.balance
