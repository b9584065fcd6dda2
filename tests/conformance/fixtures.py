"""The server with the tools that the `tasks-*` scenarios call, and with the tasks that those tools create.

All requests go through the product's extension; only the source of the tasks differs.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp import MCPError
from mcp.server.lowlevel.server import Server

from journey_mcp.core.errors import UnknownTask
from journey_mcp.server.app import make_server
from journey_mcp.server.extensions import tasks
from journey_mcp.server.extensions.tasks import Context, Plain, TaskSource, TaskView
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.settings import Settings


@dataclass(eq=False)
class Job:
    """Work that a tool has started."""

    id: str
    created_at: float = field(default_factory=time.time)
    status: Any = "working"
    outcome: Plain | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    open_questions: dict[str, Plain] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    is_answered: anyio.Event = field(default_factory=anyio.Event)

    async def ask(self, *keys: str) -> Mapping[str, Any]:
        """Ask the client these questions and return its answers to all of them."""
        self.open_questions, self.status = {key: _question(key) for key in keys}, "input_required"
        await self.is_answered.wait()
        self.status = "working"
        return self.answers

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Accept the requested answers and ignore others."""
        self.answers |= {
            key: responses[key]
            for key in list(self.open_questions)
            if key in responses and self.open_questions.pop(key)
        }
        if not self.open_questions:
            self.is_answered.set()

    def view(self) -> TaskView:
        """Return the view that the extension serializes."""
        return TaskView(
            task_id=self.id,
            status=self.status,
            created_at=self.created_at,
            updated_at=time.time(),
            ttl_ms=3_600_000,
            poll_interval_ms=200,
            outcome=self.open_questions if self.status == "input_required" else self.outcome,
        )


Body = Callable[[Plain, Job], Awaitable[types.CallToolResult]]


class Jobs:
    """The jobs of a running server; a `TaskSource`."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._jobs: dict[str, Job] = {}

    def start(self, body: Body, given: Plain) -> TaskView:
        """Start a job."""
        job = Job(f"job-{len(self._jobs) + 1}")
        self._jobs[job.id] = job
        self._group.start_soon(self._run, job, body, given)
        return job.view()

    async def get(self, task_id: str) -> TaskView:
        """Return the state of a job."""
        return self._job(task_id).view()

    async def update(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Pass answers to a job."""
        self._job(task_id).answer(responses)

    async def cancel(self, task_id: str) -> None:
        """Cancel a job."""
        self._job(task_id).scope.cancel()

    def _job(self, task_id: str) -> Job:
        if task_id not in self._jobs:
            raise UnknownTask(task_id)
        return self._jobs[task_id]

    async def _run(self, job: Job, body: Body, given: Plain) -> None:
        status, outcome = "cancelled", None
        with job.scope:
            try:
                outcome = (await body(given, job)).model_dump(by_alias=True, mode="json", exclude_none=True)
                status = "completed"
            except MCPError as error:
                outcome = error.error.model_dump(by_alias=True, mode="json", exclude_none=True)
                status = "failed"
        job.status, job.outcome = status, outcome


async def _greet(given: Plain, _job: Job) -> types.CallToolResult:
    return _text(f"Hello, {given['name']}!")


async def _compute(given: Plain, _job: Job) -> types.CallToolResult:
    await anyio.sleep(given["seconds"])
    return _text(f"Computed {given['label']}.")


async def _fail(_given: Plain, _job: Job) -> types.CallToolResult:
    await anyio.sleep(0.2)
    return _text("It did not work.", is_error=True)


async def _break(_given: Plain, _job: Job) -> types.CallToolResult:
    raise MCPError(types.INTERNAL_ERROR, "The job broke.")


async def _confirm(given: Plain, job: Job) -> types.CallToolResult:
    return _text(f"{given['filename']}: {await job.ask('confirm')}")


async def _inputs(_given: Plain, job: Job) -> types.CallToolResult:
    return _text(f"{await job.ask('name', 'colour')}")


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """A tool that the suite calls by name."""

    description: str
    body: Body
    takes: Mapping[str, str] = field(default_factory=dict)
    """Its arguments and their types."""
    becomes_task: bool = True
    needs_task: bool = False
    """Whether it is an error without the extension."""
    asks_for: str | None = None
    """An argument that it asks the user for before a task exists."""

    async def call(self, ctx: Context, params: types.CallToolRequestParams, jobs: Jobs) -> Any:
        """Return a result, a question or a task, as every tool may."""
        given = params.arguments or {}
        if self.needs_task:
            tasks.require_declared(ctx)
        if self.asks_for:
            answer: Any = (params.input_responses or {}).get(self.asks_for)
            if answer is None:
                request = types.ElicitRequest.model_validate(_question(self.asks_for))
                return types.InputRequiredResult(input_requests={self.asks_for: request}, request_state="asked")
            given = {**given, **answer.content}
        if self.becomes_task and tasks.is_declared(ctx):
            return tasks.created(jobs.start(self.body, given))
        return await self.body(given, Job("none"))

    def listed(self, name: str) -> types.Tool:
        """Return the tool's entry in `tools/list`."""
        properties = {argument: {"type": kind} for argument, kind in self.takes.items()}
        return types.Tool(
            name=name, description=self.description, input_schema={"type": "object", "properties": properties}
        )


FIXTURES: Mapping[str, Fixture] = {
    "greet": Fixture(description="Greet a person.", body=_greet, takes={"name": "string"}, becomes_task=False),
    "slow_compute": Fixture(
        description="Take some time.", body=_compute, takes={"seconds": "number", "label": "string"}
    ),
    "failing_job": Fixture(description="Fail, as a tool does.", body=_fail, needs_task=True),
    "protocol_error_job": Fixture(description="Fail, as the protocol does.", body=_break),
    "confirm_delete": Fixture(description="Ask one question.", body=_confirm, takes={"filename": "string"}),
    "multi_input": Fixture(description="Ask two questions at once.", body=_inputs),
    "test_tool_with_task": Fixture(
        description="Ask for a name, then greet in a task.", body=_greet, needs_task=True, asks_for="name"
    ),
}


@asynccontextmanager
async def fixture_server(settings: Settings) -> AsyncIterator[Server[Any]]:
    """Open the server with these additional tools, and with their jobs in place of the studio's tasks."""
    server = make_server(Lifespan(settings, is_local=False))
    listing, calling = server.get_request_handler("tools/list"), server.get_request_handler("tools/call")
    if listing is None or calling is None:
        raise LookupError("the server has no tools")
    async with anyio.create_task_group() as group:
        jobs = Jobs(group)

        async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
            own: Any = await listing.handler(ctx, params)
            more = [fixture.listed(name) for name, fixture in FIXTURES.items()]
            return types.ListToolsResult(tools=[*own.tools, *more])

        async def call_tool(ctx: Context, params: Any) -> Any:
            if fixture := FIXTURES.get(params.name):
                return await fixture.call(ctx, params, jobs)
            return await calling.handler(ctx, params)

        async def open_jobs(_ctx: Context) -> TaskSource:
            return jobs

        server.add_request_handler("tools/list", listing.params_type, list_tools)
        server.add_request_handler("tools/call", calling.params_type, call_tool)
        tasks.install(server, open_jobs)
        yield server
        group.cancel_scope.cancel()


def _question(key: str) -> Plain:
    schema = {"type": "object", "properties": {key: {"type": "string"}}}
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": f"Please enter the {key}.", "requestedSchema": schema},
    }


def _text(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)
