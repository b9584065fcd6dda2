"""The parser of JSON-RPC messages from clients, and the errors for lines that are not messages.

MCP over stdio is one message on each line, in UTF-8 (https://modelcontextprotocol.io/specification, "Transports").
Any other line gets an error of JSON-RPC 2.0 (section 5.1), with the id of the request if it can be read.
"""

import json
import re
from typing import Any, Final, NamedTuple, NoReturn

from journey_mcp.handshake.lines import MAX_BYTES, Overlong

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
_KINDS: Final = {PARSE_ERROR: "Parse error", INVALID_REQUEST: "Invalid request", INTERNAL_ERROR: "Unavailable"}

_MAX_DEPTH = 100
"""No message of MCP is nested so deeply, and parsers fail at some greater depth."""
_MAX_VALUES = 100_000
"""A value of two bytes takes up to 64 bytes of memory."""
_EXCERPT_BYTES = 60
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n"
_STRUCTURE = re.compile(rb'["\[{\]},]')
# possessive, so that the engine keeps no state for each of millions of characters
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)
_BACKSLASH = b"\\"[0]
_MEMBER = rb'"(?:jsonrpc|method|id)"\s*:\s*(?:"[ !#-\[\]-~]{0,200}"|-?(?:0|[1-9][0-9]{0,17}))\s*'
_FIRST_MEMBERS = re.compile(rb"\s*\{\s*((?:" + _MEMBER + rb",\s*)+)")
_LAST_MEMBERS = re.compile(rb",\s*(" + _MEMBER + rb"(?:,\s*" + _MEMBER + rb")*)\}\s*\Z")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ParsedLine(NamedTuple):
    """What a line holds, and how to respond; an empty line has neither."""

    message: dict[str, Any] | None = None
    """The message, if the line is one."""
    response: bytes | None = None
    """The error to send, as a line without its end."""
    problem: str | None = None
    """What is wrong with the line, for the log."""


class _UnparsableError(Exception):
    """A line is not a message; `id_` is the id of the intended message."""

    def __init__(self, code: int, problem: str, id_: object) -> None:
        super().__init__(problem)
        self.code, self.problem, self.id_ = code, problem, id_


def parse_line(line: bytes | Overlong) -> ParsedLine:
    """Parse a line, with or without its line feed."""
    if not isinstance(line, Overlong):
        line = line.strip(_WHITESPACE).removeprefix(_BYTE_ORDER_MARK).strip(_WHITESPACE)
        if not line:
            return ParsedLine()
    start = line.head if isinstance(line, Overlong) else line
    try:
        message = _parse(line)
    except _UnparsableError as error:
        return ParsedLine(
            response=error_line(error.code, error.problem, error.id_), problem=_with_excerpt(error.problem, start)
        )
    problem = _message_problem(message)
    if problem is None and _has_lone_surrogate(start, message):
        problem = "a lone surrogate (\\ud800) is not text"
    if problem is None:
        return ParsedLine(message=message)
    response = None if _expects_no_response(message) else error_line(INVALID_REQUEST, problem, _message_id(message))
    return ParsedLine(response=response, problem=_with_excerpt(problem, start))


def envelope_members(message: Overlong) -> dict[str, Any]:
    """Return `id` and `method` of a message, if they come first or last, as in all SDKs."""
    first, last = _FIRST_MEMBERS.match(message.head), _LAST_MEMBERS.search(message.tail)
    parts = [first[1].rstrip(b", \t\r\n")] if first else []
    parts += [last[1]] if last else []
    found: dict[str, Any] = json.loads(b"{%s}" % b",".join(parts))
    return found


def _parse(line: bytes | Overlong) -> Any:
    if isinstance(line, Overlong):
        raise _UnparsableError(INVALID_REQUEST, too_large_problem(), envelope_members(line).get("id"))
    if problem := structure_problem(line):
        raise _UnparsableError(PARSE_ERROR, problem, envelope_members(Overlong.of(line)).get("id"))
    try:
        return json.loads(line.decode(), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        raise _UnparsableError(PARSE_ERROR, f"byte {error.start + 1} is not UTF-8", _recover_id(line)) from error
    except ValueError as error:
        reason = re.split(r": line 1 |; ", str(error))[0]
        problem = f"this is not JSON ({reason}); send one message on each line"
        raise _UnparsableError(PARSE_ERROR, problem, _recover_id(line)) from error


def error_line(code: int, problem: str, id_: object) -> bytes:
    """Return an error of JSON-RPC, as a line without its end; an invalid id becomes `null`."""
    error = {"code": code, "message": f"{_KINDS[code]}: {problem}."}
    return json.dumps({"jsonrpc": "2.0", "id": id_ if _is_id(id_) else None, "error": error}).encode()


def too_large_problem() -> str:
    """Return what is wrong with a message of more than `MAX_BYTES`, and what to do."""
    return (
        f"a message may have at most {MAX_BYTES:,} bytes ({MAX_BYTES // 1024**2} MiB), and images as data take a "
        "third more than their files; give the image as a URL or as the id of an earlier image"
    )


def structure_problem(text: bytes) -> str | None:
    """Return why a JSON text is rejected unparsed, or `None`: parsed, it could take memory without a limit.

    Takes linear time, and reads at most the allowed number of values.
    """
    if len(text) < _MAX_VALUES and text.count(b"[") + text.count(b"{") <= _MAX_DEPTH:
        return None  # most messages: too short, and with too few brackets, for any of it
    depth = position = 0
    for _ in range(_MAX_VALUES):
        token = _STRUCTURE.search(text, position)
        if token is None:
            return None
        position = _end_of_string(text, token.start()) if token[0] == b'"' else token.end()
        depth += (token[0] in b"[{") - (token[0] in b"]}")
        if depth > _MAX_DEPTH:
            return f"it is nested more than {_MAX_DEPTH} levels deep"
    return f"it has more than {_MAX_VALUES:,} values"


def _end_of_string(text: bytes, start: int) -> int:
    end = text.find(b'"', start + 1)
    if end > 0 and text[end - 1] != _BACKSLASH:
        return end + 1  # for an image as data this is much faster than the expression
    string = _STRING.match(text, start)
    return string.end() if string else len(text)


def _message_problem(message: object) -> str | None:
    """Return why this is not a message of MCP, or `None`."""
    if not isinstance(message, dict):
        is_batch = isinstance(message, list)
        return "batches are not supported; send one message on each line" if is_batch else "it is not an object"
    if message.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0"'
    return _request_problem(message) if "method" in message else _response_problem(message)


def _request_problem(message: dict[str, Any]) -> str | None:
    if not isinstance(message["method"], str):
        return "method must be text"
    if "id" in message and not _is_id(message["id"]):
        return "id must be a whole number or text"
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        return "params must be an object"
    return None


def _response_problem(message: dict[str, Any]) -> str | None:
    result, error = message.get("result"), message.get("error")
    if "result" in message:
        return None if isinstance(result, dict) and _is_id(message.get("id")) else "this is not a response"
    if "error" not in message:
        return "it has no method"
    is_error = isinstance(error, dict) and type(error.get("code")) is int and isinstance(error.get("message"), str)
    has_id = "id" in message and (message["id"] is None or _is_id(message["id"]))
    return None if is_error and has_id else "this is not a response"


def _expects_no_response(message: object) -> bool:
    """Return whether this is a notification or a response; neither gets a response."""
    if not isinstance(message, dict):
        return False
    if "method" in message:
        return "id" not in message and isinstance(message["method"], str)
    return "result" in message or "error" in message


def _is_id(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value))


def _message_id(message: object) -> object:
    return message.get("id") if isinstance(message, dict) else None


def _recover_id(line: bytes) -> object:
    """Return the id of a line that is JSON except for some bytes or numbers."""
    try:
        return _message_id(json.loads(line.decode(errors="replace")))
    except ValueError:
        return None


def _has_lone_surrogate(line: bytes, message: object) -> bool:
    if not _SURROGATE.search(line):
        return False
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _with_excerpt(problem: str, line: bytes) -> str:
    """Return the problem with the start of the line, so that a person can see where the line is from."""
    start = line[:_EXCERPT_BYTES].decode(errors="replace")
    return f"{problem}: {start!r}{'…' if len(line) > _EXCERPT_BYTES else ''}"
