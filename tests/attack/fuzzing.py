"""Random inputs over HTTP: to every tool, from its schema, and to every route. Nothing fails in our code."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from mcp.shared.inbound import encode_header_value
from processes import TIMEOUT_S
from server.auth.served import ERAS, NEW, add_token
from support import coarse, environment_of, free_port, until_listening

from attack.attempts import Ground, Outcome
from attack.calls import is_sendable, random_value
from attack.idle_connections import resident_mib, serving
from attack.recorded_logs import problems_in
from attack.wire import Response, exchange, raw
from journey_mcp import sandbox

_HOST = "127.0.0.1"
_PREFIX = "io.modelcontextprotocol/"
_MAX_ITEMS = 2_000
"""Lists that are repeated several times would grow beyond what the client can send."""
_LARGEST_GROWTH_MIB = 200
"""Of the server, over all inputs: modules, caches, and the largest bodies that it held at once."""
_AT_ONCE = 64
"""Inputs: so many that the server always has one to work on, also on a busy machine."""
_PARTS = 5
"""After each part of the inputs, the memory of the server is noted."""
_METHODS = (
    ("POST",) * 8 + ("GET",) * 4 + ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "x", "P\xc3\xa4")
)
_PATHS = (
    *("/mcp", "/mcp", "/mcp", "/mcp", "/mcp/", "/mcp//", "//mcp", "/MCP", "/mcp/x", "/mcp?x=1", "/mcp?access_token=a"),
    *(
        "/images",
        "/images",
        "/images?mask_of=up_x",
        "/images/",
        "//images",
        "/images/%2e%2e",
        "/images/..%2f..%2ftasks.db",
    ),
    *(
        "/images/tsk_aaaaaaaaaaaaaaaaaaaaaa.1.png?e=1&s=x",
        "/images/%00.png",
        "/images/\\..\\x.png",
        "/images/%ff?e=%ff&s=%ff",
    ),
    *("/healthz", "/readyz", "/metrics", "/metrics/", "/", "", "*", "/%", "/%2", "/..;/mcp", "http://evil.test/mcp"),
    *(
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/favicon.ico",
        "/" + "a" * 5_000,
    ),
)
_RPC = (
    *(
        "tools/call",
        "tools/call",
        "tools/list",
        "initialize",
        "ping",
        "server/discover",
        "resources/read",
        "resources/list",
    ),
    *("resources/templates/list", "prompts/list", "prompts/get", "completion/complete", "tasks/get", "tasks/update"),
    *("tasks/cancel", "logging/setLevel", "notifications/initialized", "notifications/cancelled", "rpc.discover", ""),
)
_HEADER_NAMES = (
    *("content-type", "accept", "origin", "host", "authorization", "mcp-method", "mcp-name", "mcp-protocol-version"),
    *(
        "mcp-session-id",
        "last-event-id",
        "x-forwarded-for",
        "forwarded",
        "range",
        "if-none-match",
        "if-range",
        "cookie",
    ),
    *("traceparent", "content-encoding", "expect", "connection", "upgrade", "transfer-encoding", "content-length", "x"),
)
_HEADER_VALUES = (
    *(
        "",
        " ",
        "*/*",
        "text/plain",
        "application/json",
        "application/json; charset=utf-16",
        "text/event-stream",
        "gzip",
    ),
    *(
        "2026-07-28",
        "2025-11-25",
        "1999-01-01",
        "tools/call",
        "imagine",
        "=?base64?4pi6?=",
        "=?base64?%%%?=",
        "=?base64?/w==?=",
    ),
    *(
        "null",
        "http://localhost",
        "https://evil.test",
        "evil.test",
        "localhost:99999",
        "[::1",
        "bytes=0-",
        "bytes=-0",
        "*",
    ),
    *("127.0.0.1, evil", "00-0-0-0", "100-continue", "close", "h2c", "websocket", "chunked", "-1", "9" * 30, "0x10"),
    *(
        "Bearer",
        "Bearer x y",
        "Basic eDp5",
        "Bearer jmcp_" + "A" * 43,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "\x1b[31m",
        "\xff",
    ),
    *("a\tb", "\x00", "☺", "x" * 4_000, '"', "%0d%0aset-cookie: a=b"),
)


@dataclass(frozen=True)
class Target:
    """A server, the tokens of its principals, and the schemas of its tools."""

    address: str
    tokens: tuple[str, ...]
    schemas: Mapping[str, Any]

    def headers(self, token: str) -> dict[str | bytes, str | bytes]:
        """Return the headers that each call has."""
        return {
            "host": _HOST,
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "connection": "close",
        }

    async def send(self, token: str, era: str, method: str, params: Mapping[str, Any]) -> Response:
        """Send a request of JSON-RPC as clients do."""
        plain, headers = dict(params), {**self.headers(token), "mcp-protocol-version": era}
        if era == NEW:
            plain["_meta"] = {f"{_PREFIX}protocolVersion": NEW, f"{_PREFIX}clientCapabilities": {}}
            headers["mcp-method"] = method
            headers |= {"mcp-name": encode_header_value(plain["name"])} if "name" in plain else {}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": plain}).encode()
        headers["content-length"] = str(len(body))
        return await exchange(self.address, raw("POST", "/mcp", headers.items(), body))


Fuzz = Callable[[Target, Random], Awaitable[tuple[str, Response]]]
"""Sends one random input; returns what was sent, and the response."""


async def target_at(address: str, *tokens: str) -> Target:
    """Return a target with the tools that a server lists."""
    unprepared = Target(address, tokens, {})
    listed = await unprepared.send(tokens[0], NEW, "tools/list", {})
    return Target(address, tokens, {tool["name"]: tool["inputSchema"] for tool in listed.message["result"]["tools"]})


# --- tools


def sample(schema: Mapping[str, Any], random: Random) -> Any:
    """Return a value that a JSON schema allows, at or within its bounds."""
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return sample(random.choice(schema[name]), random)
    if "enum" in schema:
        return random.choice(schema["enum"])
    kind = schema.get("type", "string")
    makers: dict[str, Callable[[], Any]] = {
        "boolean": lambda: random.random() < 0.5,
        "integer": lambda: int(_number(schema, random)),
        "number": lambda: _number(schema, random),
        "array": lambda: [sample(schema.get("items", {}), random) for _ in range(random.randrange(3))],
        "object": lambda: _object(schema, random),
        "string": lambda: random.choice(_TEXTS),
        "null": lambda: None,
    }
    return makers[random.choice(kind) if isinstance(kind, list) else kind]()


_PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
    )
).decode()
_TEXTS = (
    *("a kite", "a kite", "tsk_" + "A" * 22, "tsk_" + "A" * 22 + ".1", "up_" + "A" * 22, "16:9", "3:2", "midjourney"),
    *(
        f"data:image/png;base64,{_PIXEL}",
        "https://[::1]/a.png",
        "https://10.0.0.1/a.png",
        "vary",
        "2026-01-01T00:00:00Z",
    ),
)


def _number(schema: Mapping[str, Any], random: Random) -> float:
    least, most = schema.get("minimum", 0), schema.get("maximum", 100)
    return float(random.choice((least, most, random.uniform(least, most))))


def _object(schema: Mapping[str, Any], random: Random) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    properties = schema.get("properties", {})
    return {name: sample(of, random) for name, of in properties.items() if name in required or random.random() < 0.3}


def mutated(value: Any, random: Random) -> Any:
    """Return a copy in which one part is replaced, removed, repeated or nested."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        name = random.choice(list(value))
        rest = {other: part for other, part in value.items() if other != name}
        changed = (rest, {**value, name: mutated(value[name], random)}, {**value, f"{name}\u200b": value[name]})
        return random.choice((*changed, {**rest, name.upper(): value[name]}))
    if isinstance(value, list) and value and random.random() < 0.8:
        return random.choice(((value * random.choice((2, 500)))[:_MAX_ITEMS], [mutated(value[0], random), *value[1:]]))
    if isinstance(value, str) and random.random() < 0.5:
        position = random.randrange(len(value) + 1)
        return value[:position] + random.choice(_INSERTED) + value[position:]
    return random.choice((random_value(random), [value], {"x": value}))


_INSERTED = (
    "\x00",
    "\x1b]0;x\x07",
    "\r\nset-cookie: a=b",
    "\u202e",
    "\ud800",
    "../",
    "%2f",
    "'",
    '"',
    "☺",
    "\x7f",
    "\x9b31m",
)


async def fuzz_tool(target: Target, random: Random) -> tuple[str, Response]:
    """Call a tool with arguments from its schema, mostly mutated; return what was sent, and the response."""
    name = random.choice(list(target.schemas))
    arguments = sample(target.schemas[name], random)
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        arguments = mutated(arguments, random)
    if isinstance(arguments, dict) and "wait_s" in target.schemas[name]["properties"]:
        arguments["wait_s"] = 0
    if not is_sendable(arguments) and random.random() < 0.8:
        arguments = {}
    given = {"name": name, "arguments": arguments}
    answer = await target.send(random.choice(target.tokens), random.choice(ERAS), "tools/call", given)
    return f"{given!r:.600}", answer


# --- routes


def _body(random: Random) -> bytes:
    params = random.choice(
        ({}, {"name": "imagine", "arguments": {"prompt": "a kite", "wait_s": 0}}, random_value(random))
    )
    message: Any = {"jsonrpc": "2.0", "id": random.choice((1, "a", None, 1.5, 2**70)), "method": random.choice(_RPC)}
    message["params"] = params
    if random.random() < 0.3:
        message = mutated(message, random)
    text = bytearray(json.dumps(message, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass"))
    for _ in range(random.choice((0, 0, 0, 1, 5))):
        text[random.randrange(len(text))] = random.randrange(256)
    wrong = (
        b"",
        b"[]",
        b"null",
        b"\x00",
        b"[" * 200,
        b"{" * 99,
        b'{"a":' * 101,
        b"9" * 5_000,
        b"1e999",
        b"\xff\xfe{\x00}\x00",
    )
    images = (b"<svg/>", b"\x89PNG\r\n\x1a\n", random.randbytes(50), base64.b64decode(_PIXEL), b"GIF89a")
    cut = bytes(text[: random.randrange(len(text) + 1)])
    chosen = random.choice((bytes(text), bytes(text), bytes(text), cut, random.choice(wrong), random.choice(images)))
    return random.choice((chosen, chosen, chosen, json.dumps({"a": 1}).encode("utf-16"), b"\xef\xbb\xbf" + chosen))


def _framed(body: bytes, random: Random) -> tuple[dict[str | bytes, str | bytes], bytes, bool]:
    """Return headers that say how long a body is, the body as it is sent, and whether a response is due."""
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    framings: tuple[tuple[dict[str | bytes, str | bytes], bytes, bool], ...] = (
        ({"content-length": str(len(body))}, body, True),
        ({"transfer-encoding": "chunked"}, chunked, True),
        ({"content-length": str(len(body) + 9)}, body, False),
        ({"content-length": str(max(len(body) - 3, 0))}, body, True),
        ({"transfer-encoding": "chunked"}, b"zz\r\n" + body, True),
        ({"transfer-encoding": "chunked", "content-length": "3"}, chunked, True),
        ({"content-length": random.choice(("-1", "x", "1e3", "9" * 40))}, body, True),
    )
    return random.choice((*framings[:1] * 9, *framings))


async def fuzz_route(target: Target, random: Random) -> tuple[str, Response]:
    """Send a request with a random method, path, headers and body; return what was sent, and the response."""
    method, path = random.choice(_METHODS), random.choice(_PATHS)
    if random.random() < 0.1:
        position = random.randrange(len(path) + 1)
        path = path[:position] + random.choice(("%00", "%0d%0a", "\t", "#", "?", ";", "\\", "%", "é")) + path[position:]
    framing, body, is_due = _framed(_body(random), random)
    headers = {**target.headers(random.choice(target.tokens)), "mcp-protocol-version": random.choice(ERAS), **framing}
    for _ in range(random.choice((0, 0, 1, 1, 3))):
        name = random.choice(_HEADER_NAMES)
        if name in {"content-length", "transfer-encoding", "connection", "expect"}:
            is_due = False
        headers[name] = random.choice(_HEADER_VALUES)
    if random.random() < 0.1:
        headers.pop(random.choice(list(headers)))
    sent = raw(method, path, headers.items(), body)
    return f"{sent!r:.900}", await exchange(target.address, sent, reads=is_due and b"connection" in sent)


async def fuzz(target: Target, random: Random, count: int, outcome: Outcome) -> None:
    """Send so many inputs, to tools and routes in turn, some of them at once; each has a seed of its own."""
    numbers, seed = iter(range(count)), random.getrandbits(64)

    async def send_others() -> None:
        for number in numbers:
            await _fuzz_once(target, f"{seed} {number}", fuzz_tool if number % 2 else fuzz_route, outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(send_others())


async def _fuzz_once(target: Target, seed: str, send: Fuzz, outcome: Outcome) -> None:
    try:
        sent, answer = await send(target, Random(seed))
    except TimeoutError:
        outcome.attempt(held=False, what=f"no end of a response to {seed!r}")
    else:
        outcome.attempt(held=not answer.is_failure, what=f"{seed!r}, {sent}: {answer.status} {answer.body[:300]}")


# --- a process


@asynccontextmanager
async def serving_tokens(folder: Path, **more: str) -> AsyncIterator[tuple[Target, int, Path]]:
    """Run a server with two principals in a process; yield it, its id and its log."""
    file, port = folder / "tokens", free_port()
    tokens = [add_token(file, name) for name in ("ada", "bob")]
    settings = {"JOURNEY_MCP_TOKENS_FILE": str(file), "JOURNEY_MCP_LOG_LEVEL": "info", **more}
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        environment = environment_of(upstream, folder, **settings)
        with serving(environment, folder / "log", "--host", _HOST, "--port", str(port)) as server:
            await until_listening(port, seconds=TIMEOUT_S)
            yield await target_at(f"http://{_HOST}:{port}", *tokens), server.pid, folder / "log"


async def fuzzed_service(ground: Ground) -> Outcome:
    """Random calls of the tools and requests at the routes: no failure, no traceback, bounded memory."""
    outcome = Outcome(unit="random calls and requests over HTTP")
    async with serving_tokens(ground.folder) as (target, pid, log):
        sizes = [resident_mib(pid)]
        for _ in range(_PARTS):
            await fuzz(target, ground.random, ground.count(50_000 // _PARTS), outcome)
            sizes.append(resident_mib(pid))
    outcome.succeeded += problems_in(log.read_text("utf-8").splitlines())
    listed = ", ".join(map(str, sizes))
    outcome.attempt(held=max(sizes) - sizes[0] < _LARGEST_GROWTH_MIB, what=f"memory grew: {listed} MiB")
    outcome.remark = f"memory of the server before, and after each fifth: {listed} MiB"
    return outcome
