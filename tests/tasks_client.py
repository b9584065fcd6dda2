"""The client side of the tasks extension, on the SDK's client: a call returns a handle to poll."""

from collections.abc import Sequence
from typing import Any, Literal

import anyio
import mcp_types as types
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from pydantic import ConfigDict

EXTENSION = "io.modelcontextprotocol/tasks"
TIMEOUT_S = 60.0


class Handle(types.Result):
    """The result of a call that became a task, with every received field."""

    model_config = ConfigDict(**{**types.Result.model_config, "extra": "allow"})

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int


class State(types.Result):
    """The result of `tasks/get`, with every received field."""

    model_config = ConfigDict(**{**types.Result.model_config, "extra": "allow"})

    result_type: Literal["complete"]
    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int
    result: dict[str, Any] | None = None


class Ack(types.Result):
    """An acknowledgement without content."""

    model_config = ConfigDict(**{**types.Result.model_config, "extra": "allow"})

    result_type: Literal["complete"]


class OneTask(types.RequestParams):
    """Parameters with a task id."""

    task_id: str


class Responses(OneTask):
    """Parameters with a task id and input responses."""

    input_responses: dict[str, Any]


class Get(types.Request[OneTask, Literal["tasks/get"]]):
    """A request for the state of a task."""

    method: Literal["tasks/get"] = "tasks/get"
    name_param = "taskId"


class Cancel(types.Request[OneTask, Literal["tasks/cancel"]]):
    """A request to cancel a task."""

    method: Literal["tasks/cancel"] = "tasks/cancel"
    name_param = "taskId"


class Update(types.Request[Responses, Literal["tasks/update"]]):
    """A request with input responses for a task."""

    method: Literal["tasks/update"] = "tasks/update"
    name_param = "taskId"


class Tasks(ClientExtension):
    """Extension, as a client declares it. `Client.call_tool` then waits for the task; `begin` returns the handle."""

    identifier = EXTENSION

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Claim results that are task handles."""
        return [ResultClaim(result_type="task", model=Handle, resolve=self._resolve)]

    async def _resolve(self, handle: Handle, context: ClaimContext) -> types.CallToolResult:
        while True:
            state = await context.session.send_request(Get(params=OneTask(task_id=handle.task_id)), State)
            if state.result is not None:
                return types.CallToolResult.model_validate(state.result)
            await anyio.sleep(state.poll_interval_ms / 1000)


async def begin(client: Client, tool: str, **arguments: Any) -> Handle:
    """Call a tool and return the task handle."""
    handle = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(handle, Handle), handle
    return handle


async def get(client: Client, task_id: str) -> State:
    """Return the state of a task."""
    return await client.session.send_request(Get(params=OneTask(task_id=task_id)), State)


async def wait_for_status(client: Client, task_id: str, *statuses: str) -> State:
    """Return the task once it has one of these statuses; it is polled often at first."""
    pause_s = 0.01
    with anyio.fail_after(TIMEOUT_S):
        while (state := await get(client, task_id)).status not in statuses:
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
    return state


async def cancel(client: Client, task_id: str) -> Ack:
    """Cancel a task."""
    return await client.session.send_request(Cancel(params=OneTask(task_id=task_id)), Ack)


async def update(client: Client, task_id: str, **responses: Any) -> Ack:
    """Send input responses to a task."""
    return await client.session.send_request(Update(params=Responses(task_id=task_id, input_responses=responses)), Ack)
