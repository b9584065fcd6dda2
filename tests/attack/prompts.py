"""Texts of tens of megabytes in arguments, over HTTP: rejected, while other calls are answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

from processes import TIMEOUT_S, Usage
from support import coarse, environment_of, free_port, until_listening

from attack.attempts import Ground, Outcome
from attack.idle_connections import client, response_text, serving
from journey_mcp import sandbox

_MOST_COMPUTED_S = 3.0
"""The CPU time of the process for one call: all other calls wait for that."""
_LONGEST_ANSWER = 10_000
_LONGEST_LISTING = 60_000
"""The length of the whole response: text and object, with 20 tasks in each."""
_ARGUMENTS = (
    "prompt",
    "negative_prompt",
    "model",
    "aspect_ratio",
    "seed",
    "webhook_url",
    "provider",
    "resolution",
    "x",
)
_PIECES: tuple[str, ...] = (
    "x",
    "ab ",
    "\u200b",
    "é",
    "\U0001f600",
    "\\",
    '"',
    "\n",
    "--ar 1:1 ",
    "\ufffd",
    "[",
    "--no ",
)


def _call(random: Random, size: int) -> tuple[str, bytes]:
    """Return the name of an argument, and a call with `size` bytes in it."""
    piece = random.choice(_PIECES)
    text = piece * (size // len(json.dumps(piece, ensure_ascii=False).encode()))
    name = random.choice(_ARGUMENTS)
    arguments: dict[str, Any] = {"prompt": "a kite", "wait_s": 0, name: text}
    if name == "x":
        arguments = {"prompt": "a kite", text: 1}
    params = {"name": "imagine", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return name, json.dumps(message, ensure_ascii=False).encode()


def _held(content: bytes, genuine: Callable[[], Any]) -> AsyncIterator[bytes]:
    """Yield the content; the last byte follows when a genuine call has been answered."""

    async def parts() -> AsyncIterator[bytes]:
        yield content[:-1]
        await genuine()
        yield content[-1:]

    return parts()


async def huge_texts(ground: Ground) -> Outcome:
    """Sequential calls, each with a genuine call in the middle and at the end of its body, and with listings."""
    outcome = Outcome(unit="calls with up to 40 MB of text")
    port, most_s = free_port(), 0.0
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_of(upstream, ground.folder, "journeyapi", JOURNEY_MCP_LOG_LEVEL="error")
        with serving(environment, ground.folder / "log", "--http", f"127.0.0.1:{port}") as server:
            await until_listening(port)
            for number in range(20):
                long = {"prompt": f"kite {number} " + "é" * 30_000, "model": "z-image"}
                await response_text(port, "tools/call", name="imagine", arguments=long)
            for _ in range(ground.count(25)):
                name, content = _call(ground.random, ground.random.randrange(1_000_000, 40_000_000))
                made, before = len(upstream.sandbox.request_log.submissions), Usage.of(server.pid).computed_s
                async with client() as http, asyncio.timeout(TIMEOUT_S):
                    body = _held(content, lambda: response_text(port, "tools/list"))
                    sending = asyncio.create_task(
                        http.post(f"http://127.0.0.1:{port}/mcp", content=body, headers=headers)
                    )
                    listed = await response_text(port, "tools/call", name="fetch_task", arguments={})
                    answer = await sending
                computed_s = Usage.of(server.pid).computed_s - before
                most_s = max(most_s, computed_s)
                is_free = len(upstream.sandbox.request_log.submissions) == made
                is_short = len(answer.content) < _LONGEST_ANSWER and len(listed) < _LONGEST_LISTING
                is_refused = '"isError":true' in answer.text
                what = f"{len(content):,} bytes in {name}: {computed_s:.1f} s, {len(listed)} listed, {answer.text:.200}"
                held = is_free and is_short and is_refused and computed_s < _MOST_COMPUTED_S
                outcome.attempt(held=held, what=what)
    outcome.remark = f"at most {most_s:.1f} s of CPU time for one, with a concurrent listing"
    return outcome
