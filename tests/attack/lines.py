"""Lines on stdin that are not messages, among genuine requests: each request is answered, and the log stays small."""

import json
from collections.abc import Callable
from random import Random

from processes import TIMEOUT_S, in_thread
from system.test_stdio import DISCOVER, INITIALIZE, META, running_server

from attack.attempts import Ground, Outcome

_LONGEST_LOG = 60
"""Lines. Ten are logged in a minute."""
_PLAIN = b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"a kite"}}'
_DIGITS = b'{"jsonrpc":"2.0","id":%s,"method":"ping"}'


def _nested(random: Random) -> bytes:
    opening = random.choice((b"[", b'{"a":', b'[{"a":', b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":'))
    return opening * random.choice((1, 101, 10_000, 300_000))


def _altered(random: Random) -> bytes:
    """Return a message with some bytes changed; it may still be valid."""
    line = bytearray(_PLAIN)
    for _ in range(random.randrange(1, 6)):
        line[random.randrange(len(line))] = random.choice((*b'"{}[]:,\\\0\r7', 0x80, 0xC0, 0xED, 0xFF))
    return bytes(line[: random.randrange(1, len(line) + 1)])


_MALFORMED: tuple[Callable[[Random], bytes], ...] = (
    _nested,
    _altered,
    _altered,
    _altered,
    lambda random: random.randbytes(random.randrange(200)),
    lambda random: b" " * random.choice((0, 1, 1_000_000)),
    lambda random: b"9" * random.choice((1, 5_000, 1_000_000)),
    lambda random: _DIGITS % (random.choice((b"1e400", b"-0", b"1.5", b"NaN", b"true", b"null", b"[]", b"9" * 5_000))),
    lambda random: b"[" + b",".join([_PLAIN] * random.randrange(4)) + b"]",
    lambda random: b"[" + b"0," * random.choice((1, 200_000)) + b"0]",
    lambda random: (
        b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"%s"}}' % (b"\\ud800" * random.choice((1, 50_000)))
    ),
    lambda random: b'{"jsonrpc":"2.0","id":7,' + b'"id":7,' * random.randrange(1, 500) + b'"method":5}',
    lambda random: b"\xef\xbb\xbf" * random.randrange(1, 4) + b"{",
    lambda _random: b"\xff\xfe" + _PLAIN.decode().encode("utf-16-le").replace(b"\n", b""),
    lambda random: b'{"jsonrpc":"2.0","id":"%s","result":{}}' % (b"x" * random.choice((1, 1_000_000))),
    lambda random: (
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"genuine 1","reason":%s}}'
        % (b"[" * random.randrange(1, 200))
    ),
    lambda _random: b"Content-Length: 44\r\n\r",
)


def unanswered(request_ids: list[str], lines: list[bytes]) -> list[str]:
    """Return the requests without exactly one result, and the lines that are not messages."""
    results: dict[str, int] = dict.fromkeys(request_ids, 0)
    wrong = []
    for line in lines:
        try:
            message = json.loads(line)
            results[message["id"]] += "result" in message
        except (ValueError, TypeError):
            wrong.append(f"not a message: {line!r:.100}")
        except KeyError:
            pass  # the error for a malformed line
    return wrong + [f"{id_} has {count} responses" for id_, count in results.items() if count != 1]


def _lines(random: Random, count: int) -> tuple[bytes, list[str]]:
    """Return `count` malformed lines, with a request after each ten, and the ids of the requests."""
    first = random.choice((DISCOVER, INITIALIZE))
    listing = '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{%s}}' % (META if first == DISCOVER else "")
    lines, request_ids = [], list[str]()
    for number in range(count):
        lines.append(random.choice(_MALFORMED)(random).replace(b"\n", b"") + b"\n")
        if number % 10 == 9:
            line = listing if request_ids else first % 1
            request_ids.append(f"genuine {len(request_ids)}")
            line = line.replace('"id":1', f'"id":"{request_ids[-1]}"')
            lines.append(line.encode() + random.choice((b"\n", b"\r\n", b" \n")))
    return b"".join(lines), request_ids


async def malformed_lines(ground: Ground) -> Outcome:
    """Send malformed lines in both eras of the protocol: the process keeps working and ends cleanly with its stdin."""
    outcome = Outcome(unit="lines on stdin that are not messages")
    for number in range(ground.count(4)):
        count = 500
        content, request_ids = _lines(ground.random, count)
        with running_server(ground.folder / f"{number}") as server:
            output, errors = await in_thread(server.process.communicate, content, TIMEOUT_S)
        log = errors.decode()
        outcome.attempts += count
        outcome.succeeded += unanswered(request_ids, output.splitlines())
        code = server.process.returncode
        outcome.attempt(held=code == 0, what=f"it ended with {code}: {log[-200:]}")
        is_small = log.count("\n") <= _LONGEST_LOG and len(log) < 400 * _LONGEST_LOG and "Traceback" not in log
        outcome.attempt(held=is_small, what=f"{len(log):,} characters of log: {log[:200]}")
    return outcome
