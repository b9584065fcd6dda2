"""Asking the person behind a client whether a call may cost so much, in both eras of the protocol."""

from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext

from journey_mcp.core.errors import NotConfirmed
from journey_mcp.engine.budget import Confirm, ConfirmationRequest

SEVERAL_ROUND_TRIPS = "2026-07-28"
"""From this revision on a question is a result, and the client calls again with the answer; before, it is a request."""
_KEY = "cost"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "agree": {"type": "boolean", "title": "Spend it", "description": "Make the picture at this cost."},
    },
    "required": ["agree"],
}


class Asked(Exception):
    """The question is on its way; the client calls again with the answer."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("the person is asked")
        self.result = result


def confirmer(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> Confirm | None:
    """Asks through this call's client; `None` when the client cannot ask."""
    if not shows_forms(ctx.session.client_capabilities):
        return None

    async def confirm(question: ConfirmationRequest) -> bool:
        if ctx.protocol_version >= SEVERAL_ROUND_TRIPS:
            return _is_agreed(_answered(question, params))
        try:
            answer = await ctx.session.elicit_form(_message(question), _SCHEMA, related_request_id=ctx.request_id)
        except MCPError as error:
            raise NotConfirmed(f"{question} is more than may be spent without asking: {error}.") from error
        return _is_agreed(answer)

    return confirm


def shows_forms(capabilities: types.ClientCapabilities | None) -> bool:
    """Whether a client can put questions to a person; one that names no way takes forms."""
    able = capabilities.elicitation if capabilities else None
    return able is not None and (able.form is not None or able.url is None)


def _answered(question: ConfirmationRequest, params: types.CallToolRequestParams) -> Any:
    """The answer that came with the call, if it is one to this very question.

    Raises:
        Asked: it is still to come.
    """
    answers = params.input_responses or {}
    if _KEY in answers and params.request_state == str(question):
        return answers[_KEY]
    form = types.ElicitRequestFormParams(message=_message(question), requested_schema=_SCHEMA)
    raise Asked(
        types.InputRequiredResult(request_state=str(question), input_requests={_KEY: types.ElicitRequest(params=form)})
    )


def _is_agreed(answer: Any) -> bool:
    return getattr(answer, "action", None) == "accept" and (answer.content or {}).get("agree") is True


def _message(question: ConfirmationRequest) -> str:
    return f"Make a picture with {question}?"
