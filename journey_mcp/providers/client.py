"""HTTP for the adapters: one exchange, bounded in time and size, with failures told apart by what was sent."""

import asyncio
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from journey_mcp.errors import Unreachable, UpstreamError, quoted

_MAX_BODY_BYTES = 4 * 1024 * 1024
_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)
_SHORTEST_SECRET = 12
"""A shorter key is a made-up one, such as a sandbox takes, and may be part of any word."""
_HERE = ("127.0.0.1", "localhost", "[::1]")

SUBMIT_WITHIN_S = 320.0
"""A synchronous creating request works while it is held: far above the 90 s that are usual (U13)."""
ASK_WITHIN_S = 20.0
"""A question is answered at once, or asked again."""


def new_http_client() -> httpx2.AsyncClient:
    """The one client of a process. It follows no redirects: a key goes to the configured address only."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(SUBMIT_WITHIN_S, connect=10.0),
        # A kept connection that the other side closes in the same moment would leave a paid request
        # unconfirmed, so connections are reused only within one burst of calls.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0),
        follow_redirects=False,
        # a proxy of the environment is for others' machines: the sandbox is on this one
        mounts={f"all://{host}": None for host in _HERE},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: the status, and the body when it was JSON."""

    status: int
    body: Any
    """Parsed JSON; `None` when it was none."""
    text: str
    """The start of the body, for messages."""
    retry_after_s: float | None = None

    @property
    def mapping(self) -> dict[str, Any]:
        """The body as an object; empty when it was something else."""
        return self.body if isinstance(self.body, dict) else {}


class ExchangeBroken(UpstreamError):
    """The request left, and no whole answer came. What that means, the adapter says."""

    retryable = True


async def exchange(
    http: httpx2.AsyncClient,
    method: Literal["GET", "POST"],
    url: httpx2.URL,
    *,
    key: str,
    within_s: float,
    body: Any = None,
) -> Answer:
    """Send one request and read the whole answer. `key` goes into the header as it is, and shows up nowhere else.

    Raises:
        Unreachable: no connection; nothing was sent.
        ExchangeBroken: cut off, timed out, or larger than any answer may be.
    """
    # built here and not by the client: it would merge defaults that nobody asks for, in every exchange
    headers = {"authorization": key, "accept": "application/json"}
    request = httpx2.Request(method, url, headers=headers, json=body, extensions={"timeout": http.timeout.as_dict()})
    try:
        async with asyncio.timeout(within_s):
            response = await http.send(request, stream=True)
            try:
                raw = await _read_bounded(response)
            finally:
                await response.aclose()
    except _NOTHING_SENT as error:
        raise Unreachable(f"No connection to {url.host}: {_reason(error)}.") from error
    except (httpx2.HTTPError, TimeoutError) as error:
        raise ExchangeBroken(f"The exchange with {url.host} broke off: {_reason(error)}.") from error
    if len(key) >= _SHORTEST_SECRET:
        raw = raw.replace(key.encode(), b"[secret]")  # an upstream may echo it: it reaches no message, no database
    return Answer(
        status=response.status_code,
        body=_parsed(raw),
        text=raw[:2000].decode("utf-8", "replace"),
        retry_after_s=_seconds(response.headers.get("retry-after")),
    )


async def _read_bounded(response: httpx2.Response) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise ExchangeBroken(f"{response.url.host} sent more than {_MAX_BODY_BYTES} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _seconds(header: str | None) -> float | None:
    """A `Retry-After` in seconds; dates and nonsense count as not told."""
    try:
        seconds = float(header or "nan")
    except ValueError:
        return None
    return min(max(seconds, 0.0), 3600.0) if math.isfinite(seconds) else None


def _reason(error: Exception) -> str:
    return quoted(str(error) or type(error).__name__)
