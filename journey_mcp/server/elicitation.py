"""Elicitation: a person confirms the cost of a call, in any revision of the protocol."""

from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext

from journey_mcp.core.errors import NotConfirmed
from journey_mcp.engine.budget import Confirm, ConfirmationRequest, InputRequired

MULTI_ROUND_TRIP_SINCE = "2026-07-28"
"""The first revision in which a question is a result, and the client repeats the call with the answer.

Until then the server sends a request to the client.
"""
_KEY = "cost"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "agree": {"type": "boolean", "title": "Spend it", "description": "Make the image at this cost."},
    },
    "required": ["agree"],
}


class Elicited(InputRequired):
    """The question goes to the client as the call's result."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("input required")
        self.result = result


def make_confirm(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> Confirm | None:
    """Return what asks a person through this call's client, or `None` when the client cannot ask."""
    if not supports_forms(ctx.session.client_capabilities):
        return None

    async def ask(question: ConfirmationRequest) -> bool:
        if ctx.protocol_version >= MULTI_ROUND_TRIP_SINCE:
            return _is_accepted(_answer_given(question, params))
        try:
            answer = await ctx.session.elicit_form(_message(question), _SCHEMA, related_request_id=ctx.request_id)
        except MCPError as error:
            raise NotConfirmed(f"{question} needs a confirmation, which failed: {error}.") from error
        return _is_accepted(answer)

    return Confirm(ask)


def supports_forms(capabilities: types.ClientCapabilities | None) -> bool:
    """Return whether a client can show a form; a client that declares no mode supports forms."""
    elicitation = capabilities.elicitation if capabilities else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _answer_given(question: ConfirmationRequest, params: types.CallToolRequestParams) -> Any:
    """Return the answer in the call, if it answers this very question.

    Raises:
        Elicited: there is no such answer yet.
    """
    answers = params.input_responses or {}
    if _KEY in answers and params.request_state == str(question):
        return answers[_KEY]
    form = types.ElicitRequestFormParams(message=_message(question), requested_schema=_SCHEMA)
    raise Elicited(
        types.InputRequiredResult(request_state=str(question), input_requests={_KEY: types.ElicitRequest(params=form)})
    )


def _is_accepted(answer: Any) -> bool:
    return getattr(answer, "action", None) == "accept" and (answer.content or {}).get("agree") is True


def _message(question: ConfirmationRequest) -> str:
    return f"Make an image with {question}?"
