"""Lines from a client: messages, and lines that are not messages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCRequest, jsonrpc_message_adapter

from journey_mcp.handshake.lines import Collected, Overlong, Splitter
from journey_mcp.server.transports import jsonrpc
from journey_mcp.server.transports.jsonrpc import INVALID_REQUEST, PARSE_ERROR, ParsedLine

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def error_of(parsed: ParsedLine) -> tuple[int, Any]:
    """Return code and id of the error for a line; check that the line is also logged."""
    assert parsed.message is None
    assert parsed.problem
    assert parsed.response is not None
    assert b"\n" not in parsed.response
    answer = jsonrpc_message_adapter.validate_json(parsed.response)
    assert isinstance(answer, JSONRPCError)
    assert answer.error.message
    return answer.error.code, answer.id


@pytest.mark.parametrize(
    "line",
    [
        PING,
        PING + b"\r\n",
        PING + b"\n",
        b" \t" + PING + b" ",
        b"\xef\xbb\xbf" + PING,
        b'{"jsonrpc":"2.0","id":9,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud83d\\ude00 \\u0000 \xf0\x9f\x98\x80","b":1e999}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 98 + b"{}" + b"}" * 98 + b"}",
    ],
)
def test_a_message_is_parsed(line: bytes) -> None:
    """Without a byte order mark and its line feed."""
    parsed = jsonrpc.parse_line(line)
    assert (parsed.response, parsed.problem) == (None, None)
    assert parsed.message is not None
    message = jsonrpc_message_adapter.validate_python(parsed.message, by_name=False)
    assert isinstance(message, JSONRPCRequest)
    assert (message.id, message.method) == (1, "ping")


@pytest.mark.parametrize("line", [b"", b"\n", b"\r\n", b" \t \r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_line_is_ignored(line: bytes) -> None:
    """It is not logged."""
    assert jsonrpc.parse_line(line) == ParsedLine()


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"hello", PARSE_ERROR, None),
        (b"Content-Length: 40\r\n", PARSE_ERROR, None),
        (b"{", PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"', PARSE_ERROR, None),
        (PING + PING, PARSE_ERROR, None),
        (b"'" + PING + b"'", PARSE_ERROR, None),
        (b"\0\0\0\0", PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a\0b"}', PARSE_ERROR, None),
        (b"[" * 10_000, PARSE_ERROR, None),
        (b"[" * 10_000 + b"]" * 10_000, PARSE_ERROR, None),
        (b'{"a":' * 10_000, PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":' + b"[" * 10_000, PARSE_ERROR, 7),
        (b'{"method":"a","params":{"x":' + b"[" * 500 + b"]" * 500 + b'},"jsonrpc":"2.0","id":"k"}', PARSE_ERROR, "k"),
        (b"[" + b"[]," * 100_000 + b"[]]", PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":"\xff"}}', PARSE_ERROR, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":"\xed\xa0\x80"}}', PARSE_ERROR, 7),
        (PING.decode().encode("utf-16"), PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":NaN}}', PARSE_ERROR, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":-Infinity}}', PARSE_ERROR, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":' + b"1" * 5000 + b"}}", PARSE_ERROR, None),
        (b"[]", INVALID_REQUEST, None),
        (b"[" + PING + b"]", INVALID_REQUEST, None),
        (b"null", INVALID_REQUEST, None),
        (b"5", INVALID_REQUEST, None),
        (b'"ping"', INVALID_REQUEST, None),
        (b"{}", INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":7}', INVALID_REQUEST, 7),
        (b'{"id":7,"method":"ping"}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","method":5}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":""}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":"\\ud800"}}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"\\uDFFF":1}}', INVALID_REQUEST, 7),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"a"}', INVALID_REQUEST, None),
    ],
)
def test_a_line_that_is_not_a_message_gets_an_error(line: bytes, code: int, id_: Any) -> None:
    """With the id of the request, if it can be read."""
    assert error_of(jsonrpc.parse_line(line)) == (code, id_)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"notifications/x","params":[1]}',
        b'{"jsonrpc":"1.0","method":"notifications/x"}',
        b'{"jsonrpc":"2.0","method":"notifications/x","params":{"x":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":7,"result":"text"}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":"x"}}',
        b'{"jsonrpc":"2.0","result":{}}',
    ],
)
def test_notifications_and_responses_get_no_response(line: bytes) -> None:
    """Their ids do not belong to requests of the client."""
    parsed = jsonrpc.parse_line(line)
    assert (parsed.message, parsed.response) == (None, None)
    assert parsed.problem


def test_the_log_shows_the_start_of_a_line_in_one_line() -> None:
    """So that a person can see where it is from."""
    problem = jsonrpc.parse_line(b"npm warn\x1b[2J deprecated " + b"x" * 500).problem
    assert problem is not None
    assert "'npm warn\\x1b[2J deprecated xxx" in problem
    assert len(problem) < 200


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
members = {
    "jsonrpc": st.just("2.0") | plain,
    "id": plain | st.integers(0, 9),
    "method": st.just("ping") | plain,
    "params": st.dictionaries(st.text(), plain, max_size=3) | plain,
    "result": st.dictionaries(st.text(), plain, max_size=2) | plain,
    "error": st.fixed_dictionaries({"code": plain, "message": plain}) | plain,
}
objects = st.fixed_dictionaries({}, optional=dict(members))
texts = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass"),
    objects | plain | st.lists(objects, max_size=2),
    st.booleans(),
)


@given(texts | st.binary(max_size=60))
def test_the_sdk_accepts_every_parsed_message(line: bytes) -> None:
    """Other lines get an error or are only logged; none raises."""
    for parsed in (jsonrpc.parse_line(part) for part in line.split(b"\n")):
        if parsed.message is not None:
            jsonrpc_message_adapter.validate_python(parsed.message, by_name=False)
        elif parsed.response is not None:
            error_of(parsed)


def split(content: bytes, size: int, **limits: int) -> Iterator[bytes | Overlong]:
    """Yield the lines of a content that arrives in pieces of this size."""
    splitter = Splitter(**limits)
    for start in range(0, len(content), size):
        yield from splitter.split(content[start : start + size])
    yield from splitter.rest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_arrive_as_they_were_sent(size: int) -> None:
    """In any pieces, with either line ending, empty lines too; the last line may have no ending."""
    assert list(split(b"a\r\n\nbc\n\xffd", size)) == [b"a\r", b"", b"bc", b"\xffd"]
    assert list(split(b"a\n", size)) == [b"a"]
    assert list(split(b"", size)) == []


@pytest.mark.parametrize("size", [5, 64, 100_000])
@pytest.mark.parametrize(
    ("start", "end", "id_", "method"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":"', b'"}}', 7, "tools/call"),
        (b'{"method":"tools/call","params":{"x":"', b'"},"jsonrpc":"2.0","id":"k"}', "k", "tools/call"),
        (b'{ "method" : "tools/call" , "params":{"x":"', b'"}, "jsonrpc": "2.0", "id": 7 }', 7, "tools/call"),
        (b'{"params":{"id":5,"x":"', b'"}}', None, None),
        (b'{"params":{"x":"', b'","id":5}}', None, None),
        (b'{"jsonrpc":"2.0","id":007,"params":"', b'"}', None, None),
        (b"\xff", b"", None, None),
    ],
)
def test_only_the_ends_of_an_overlong_line_are_kept(
    size: int, start: bytes, end: bytes, id_: Any, method: str | None
) -> None:
    """The next line is not affected."""
    overlong, ping = split(start + b"A" * 30_000 + end + b"\n" + PING + b"\n", size, most=1000)
    assert isinstance(overlong, Overlong)
    assert len(overlong.head) + len(overlong.tail) < 10_000
    known = jsonrpc.envelope_members(overlong)
    assert (known.get("id"), known.get("method")) == (id_, method)
    parsed = jsonrpc.parse_line(overlong)
    assert error_of(parsed) == (INVALID_REQUEST, id_)
    assert b"100,663,296 bytes (96 MiB)" in (parsed.response or b"")
    assert ping == PING


def test_memory_for_a_line_is_limited() -> None:
    """For a line of any length."""
    collected = Collected(most=100)
    sizes = []
    for _ in range(50):
        collected.add(b"x" * 40)
        sizes.append(collected.size)
    assert max(sizes) <= 100
    assert isinstance(collected.take(), Overlong)
    collected.add(b"y")
    assert collected.take() == b"y"
