"""Responses of Black Forest Labs: status words, bodies and the headers of webhooks."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from journey_mcp.sandbox.parameters import Problem
from journey_mcp.sandbox.responses import HttpResponse, json_response

PENDING, READY, ERROR = "Pending", "Ready", "Error"
MODERATED = ("Request Moderated", "Content Moderated")
NOT_FOUND = "Task not found"

RETRY_AFTER_S = 5
"""Invented: the documents show the field without explaining its value."""
NO_KEY = {"detail": "Not authenticated"}
BAD_KEY = {"error": "invalid_api_key", "message": "The API key is missing or invalid"}
NO_CREDITS = {"error": "insufficient_credits", "message": "Not enough credits"}
TOO_MANY = {
    "error": "rate_limit_exceeded",
    "message": "Too many active tasks",
    "retry_after": RETRY_AFTER_S,
}


def task_object(task_id: str, status: str) -> dict[str, Any]:
    """Return the get_result response for a task without a result."""
    return {"id": task_id, "status": status, "result": None, "progress": None, "details": None, "preview": None}


def invalid(location: tuple[str, ...], message: str, kind: str) -> HttpResponse:
    """Return the validation error with one problem at `location`."""
    return json_response({"detail": [{"loc": list(location), "msg": message, "type": kind}]}, 422)


def unprocessable(problems: Iterable[Problem]) -> HttpResponse:
    """Return the validation error with all problems of a body."""
    detail = [{"loc": ["body", found.name], "msg": found.message, "type": found.type} for found in problems]
    return json_response({"detail": detail}, 422)


def webhook_auth_headers(content: bytes, secret: str | None, form: str) -> dict[str, str]:
    """Return the headers that authenticate a webhook."""
    if not secret:
        return {}
    signature = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    headers = {"X-Webhook-Secret": secret, "X-BFL-Signature": f"sha256={signature}"}
    wanted = {"secret": ["X-Webhook-Secret"], "signature": ["X-BFL-Signature"]}.get(form, list(headers))
    return {name: value for name, value in headers.items() if name in wanted}
