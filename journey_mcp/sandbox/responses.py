"""Responses as values: what a fake responds, and how faults change it before it is sent."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Literal

from journey_mcp.sandbox.faults import Fault

HUGE_BODY_BYTES = 10_000_000
_BAD_GATEWAY_PAGE = b"<html><body><h1>The service is taking a break</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """One HTTP response before it is sent."""

    content: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Literal["whole", "cut", "drip", "none"] = "whole"
    """cut: half of the body, then the connection closes. drip: one byte at a time. none: it closes at once."""
    delay_s: float = 0.0
    """The delay before it is sent."""
    pace_s: float = 0.0
    """drip: the pause between two bytes."""


def json_response(body: Any, status: int = 200) -> HttpResponse:
    """Return a response with `body` as JSON."""
    return HttpResponse(content=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), status=status)


def early_response(faults: Iterable[Fault], documented: Mapping[int, Any]) -> HttpResponse | None:
    """Return the response of a fault that applies before any work is done; None if there is no such fault.

    `documented` maps a status to the body, or the whole response, that the real service sends; faults without a body
    use it.
    """
    for fault in faults:
        if fault.kind == "status":
            return _status_response(fault, documented)
        if fault.kind == "reset":
            return HttpResponse(content=b"", delivery="none")
        if fault.kind == "dead_image":
            return json_response({}, 404)
    return None


def corrupt(response: HttpResponse, faults: Iterable[Fault], documented: Mapping[int, Any]) -> HttpResponse:
    """Return the response after all faults that apply when the work is done."""
    return reduce(lambda result, fault: _corrupted(result, fault, documented), faults, response)


def distort(body: Mapping[str, Any], faults: Iterable[Fault], *, percentage_field: str) -> dict[str, Any]:
    """Return a task object (or an account) with the changes of the faults."""
    distorted = dict(body)
    for fault in faults:
        if fault.kind == "status_word" and "status" in distorted:
            distorted["status"] = fault.word
        elif fault.kind == "percentage":
            distorted[percentage_field] = fault.percentage
        elif fault.kind == "drop_fields":
            distorted = {name: value for name, value in distorted.items() if name not in fault.fields}
    return distorted


def _status_response(fault: Fault, documented: Mapping[int, Any]) -> HttpResponse:
    status = fault.status or 500
    body = documented.get(status, {}) if fault.body is None else fault.body
    if isinstance(body, HttpResponse):
        return replace(body, status=status, headers={**body.headers, **fault.headers})
    plain = (
        HttpResponse(content=body.encode(), media_type="text/plain") if isinstance(body, str) else json_response(body)
    )
    return replace(plain, status=status, headers=fault.headers)


def _corrupted(response: HttpResponse, fault: Fault, documented: Mapping[int, Any]) -> HttpResponse:
    if fault.kind == "status_after":
        return _status_response(fault, documented)
    change = _CHANGES.get(fault.kind)
    return replace(response, **change(response, fault)) if change else response


_CHANGES: Mapping[str, Callable[[HttpResponse, Fault], dict[str, Any]]] = {
    "delay": lambda response, fault: {"delay_s": response.delay_s + (fault.delay_s or 0.0)},
    "reset_after": lambda _answer, _fault: {"delivery": "none"},
    "cut_body": lambda _answer, _fault: {"delivery": "cut"},
    "drip": lambda _answer, fault: {"delivery": "drip", "pace_s": fault.delay_s},
    "wrong_type": lambda _answer, _fault: {"content": _BAD_GATEWAY_PAGE, "media_type": "text/html"},
    "bad_json": lambda response, _fault: {"content": b"no json: " + response.content},
    "huge_body": lambda response, _fault: {"content": _padded(response.content)},
    "empty_object": lambda _answer, _fault: {"content": b"{}"},
}


def _padded(content: bytes) -> bytes:
    body = json.loads(content)
    return json.dumps({"padding": "x" * HUGE_BODY_BYTES, **body}).encode()
