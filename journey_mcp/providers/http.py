"""HTTP for the adapters: one request, bounded in time and size, with errors that say whether anything was sent."""

import asyncio
import json
import math
import os
import re
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast
from urllib.parse import quote
from urllib.request import getproxies

import httpx2

from journey_mcp.core import telemetry
from journey_mcp.core.errors import SetupError, Unreachable, UpstreamError
from journey_mcp.core.redaction import Redactor, redactor_of, without_userinfo
from journey_mcp.core.text import quoted
from journey_mcp.core.urls import LOOPBACK_HOSTS, is_loopback, is_web_address
from journey_mcp.net import certificates, socks
from journey_mcp.net.direct_transport import DirectTransport

Result = TypeVar("Result")
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
_MAX_URL_LENGTH = 8192
"""Web servers refuse longer ones."""
_URL_CHARACTERS = r"A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;="
_URL = re.compile(rf"(?i:https?)://(?:[{_URL_CHARACTERS}]|%[0-9A-Fa-f]{{2}})+")
_NOT_IN_URLS = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%{_URL_CHARACTERS}]")
"""Outside of the alphabet of RFC 3986; percent-encoded."""
_MAX_ID_LENGTH = 200
_WORD = re.compile(r"[A-Za-z0-9\-._~%:/@!$&*+,;=]{1,40}")

SUBMIT_TIMEOUT_S = 320.0
"""A synchronous creating request lasts as long as the work: 90 s are usual, and this is far above (U13)."""
MAX_SUBMIT_S = 600.0
"""The limit of every creating request, whatever its size."""
POLL_TIMEOUT_S = 20.0
"""A poll is answered at once, or repeated."""

# a request is bounded as a whole: a timer for each of its reads and writes would only cost time
_EXTENSIONS = {"timeout": httpx2.Timeout(None, connect=10.0).as_dict()}
# A kept connection that the server closes at the same moment would leave a paid request unconfirmed,
# so connections are reused only within one burst of calls.
_MAX_IDLE, _IDLE_S = 20, 2.0

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def new_http_client(*, local_only: bool = False) -> httpx2.AsyncBaseTransport:
    """Return the one HTTP client of a process: a transport, which follows no redirects and adds nothing to requests.

    So a key goes to the configured address only.

    With `local_only` it connects to this machine only, and reads neither proxies nor certificates of the environment.

    Raises:
        SetupError: a proxy or a certificate file of the environment cannot be used; names the variable.
    """
    try:
        with socks.version_named():
            return _new_client(local_only=local_only)
    except OSError as error:
        raise _unusable("The certificate authorities", _CERTIFICATES, error) from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise _unusable("The proxy", _PROXIES, error) from error


def _unusable(what: str, variables: Sequence[str], error: Exception) -> SetupError:
    """Return the error for settings of the environment, without user names and passwords of URLs."""
    names = [name for variable in variables for name in (variable, variable.lower()) if os.environ.get(name)]
    given = ", ".join(f"{name}={without_userinfo(os.environ[name])!r}" for name in names)
    has_userinfo = any("@" in os.environ[name] for name in names)
    reason = "its address cannot be read" if has_userinfo else getattr(error, "strerror", None) or str(error)
    if "socks://" in given.lower():
        reason = f"{reason}; nothing there answers as a SOCKS5 proxy: start it, and write socks5:// for it"
    form = ": a proxy is written as http://HOST:PORT or socks5://HOST:PORT" if variables == _PROXIES else ""
    return SetupError(
        f"{what} of the environment cannot be used ({given}): {reason}.",
        next_step=f"Correct or unset this variable where the server is started{form}.",
    )


def _new_client(*, local_only: bool) -> httpx2.AsyncBaseTransport:
    if local_only:
        return DirectTransport(None, max_idle=_MAX_IDLE, idle_s=_IDLE_S)
    if getproxies().keys().isdisjoint({"http", "https", "all"}):
        return DirectTransport(certificates.context(), max_idle=_MAX_IDLE, idle_s=_IDLE_S)
    return _ProxiedTransport(
        httpx2.AsyncClient(
            verify=certificates.context(),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=_MAX_IDLE, keepalive_expiry=_IDLE_S),
            # a proxy of the environment is for other machines: the sandbox is on this one
            mounts={f"all://{host}": None for host in LOOPBACK_HOSTS},
        )
    )


class _ProxiedTransport(httpx2.AsyncBaseTransport):
    """A client with the proxies of the environment: it knows which hosts `NO_PROXY` names."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; return its response once the headers have arrived."""
        return await self._client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


@dataclass(frozen=True, kw_only=True, slots=True)
class Auth:
    """The header that authenticates a request."""

    header: str
    value: str = field(repr=False)
    """Appears nowhere but in the header."""
    secrets: tuple[str, ...] = field(repr=False)
    """Values to redact from every response, which may echo them."""

    def redacting(self, secret: str) -> "Auth":
        """Return the header for a request that contains one more secret."""
        return replace(self, secrets=(*self.secrets, secret))


def raw_key(key: str) -> Auth:
    """Return the header with the key as it is, in `authorization`."""
    return Auth(header="authorization", value=key, secrets=(key,))


def bearer(key: str) -> Auth:
    """Return the header with a bearer token."""
    return Auth(header="authorization", value=f"Bearer {key}", secrets=(key,))


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpResponse:
    """The status, and the body if it was JSON."""

    status: int
    body: Any
    """Parsed JSON; `None` when it was not JSON."""
    text: str
    """The start of the body, for messages."""
    retry_after_s: float | None = None

    @property
    def mapping(self) -> dict[str, Any]:
        """The body as an object; empty when it was something else."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True, slots=True)
class Later(Generic[Result]):
    """A call that starts when it is awaited. Unlike a coroutine, it may stay unawaited without a warning."""

    begin: Callable[[], Awaitable[Result]]

    def __await__(self) -> Generator[Any, Any, Result]:
        return self.begin().__await__()


class IncompleteResponse(UpstreamError):
    """The request was sent, and no complete response came. The adapter decides what that means."""

    retryable = True


def http_request(
    http: httpx2.AsyncBaseTransport,
    method: Literal["GET", "POST"],
    url: httpx2.URL,
    *,
    auth: Auth,
    timeout_s: float,
    body: Any = None,
    files: Mapping[str, tuple[str, bytes, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Awaitable[HttpResponse]:
    """Encode one request now; send it and read the whole response when the result is awaited.

    `body` is sent as JSON, `files` (name, content, type) as a form.

    Raises:
        SetupError: at once, because the request cannot be encoded; nothing can be sent.
        Unreachable: no connection; nothing was sent.
        IncompleteResponse: cut off, timed out, or larger than 4 MiB.
    """
    try:
        sent = _sendable({auth.header: auth.value, "accept": "application/json", **(headers or {})})
        # built here and not by the client, which would merge its defaults into every request
        if files is None:
            request = _json_request(method, url, sent, body)
        else:
            request = httpx2.Request(method, url, headers=sent, files=files, extensions=_EXTENSIONS)
    except (TypeError, ValueError) as error:  # also what UTF-8 cannot encode
        raise SetupError(
            f"The request to {url.host} cannot be written: {_reason(error, redactor_of(*auth.secrets))}.",
            next_step="Nothing was sent or charged. Change the arguments, or look at the provider's key.",
        ) from None
    return Later(partial(_sent, http, request, redactor_of(*auth.secrets), timeout_s))


def _json_request(method: str, url: httpx2.URL, headers: Mapping[str, str], body: Any) -> httpx2.Request:
    """Return a request as httpx2 makes it from `json`, with all of its headers: completing them takes twice as long."""
    text = "" if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    content = text.encode()
    length = {} if method == "GET" and body is None else {"Content-Length": str(len(content))}
    kind = {} if body is None else {"Content-Type": "application/json"}
    return httpx2.Request(
        method,
        url,
        headers={"Host": url.netloc.decode("ascii"), **headers, **length, **kind},
        stream=httpx2.ByteStream(content),
        extensions=_EXTENSIONS,
    )


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers once checked; the client finds, and shows, a line break in one only when it sends them."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"its header {name} has characters that cannot be sent")
    return headers


def _proxy_to(url: httpx2.URL) -> str:
    """Return how a message names the proxy of the environment, if the connection uses one."""
    proxy = None if is_loopback(url.host) else socks.named_for(url.scheme, url.host)
    return f" through the proxy {quoted(without_userinfo(proxy))} of the environment" if proxy else ""


async def _sent(
    http: httpx2.AsyncBaseTransport, request: httpx2.Request, redactor: Redactor, timeout_s: float
) -> HttpResponse:
    host = request.url.host
    if trace := telemetry.trace_headers():
        request.headers.update(trace)
    try:
        async with asyncio.timeout(timeout_s):
            response = await http.handle_async_request(request)
            try:
                raw = await _read_bounded(response, host)
            finally:
                await response.aclose()
    except _NOTHING_SENT as error:
        raise Unreachable(f"No connection to {host}{_proxy_to(request.url)}: {_reason(error, redactor)}.") from error
    except (httpx2.HTTPError, TimeoutError) as error:
        raise IncompleteResponse(f"The request to {host} broke off: {_reason(error, redactor)}.") from error
    body, text = _redacted(redactor, raw)
    return HttpResponse(
        status=response.status_code,
        body=body,
        text=text[:2000],
        retry_after_s=_seconds(response.headers.get("retry-after")) if response.is_error else None,
    )


def read_json(raw: bytes, secrets: Sequence[str]) -> Any:
    """Parse JSON that a provider sent in a webhook, with the secrets redacted; `None` when it is not JSON."""
    return _redacted(redactor_of(*secrets), raw)[0]


def read_id(value: Any) -> str | None:
    """Return a provider's id: up to 200 printable characters without blanks; `None` for anything else.

    It is needed to fetch a paid result, so any other text is accepted. Messages show it as `core.text.encoded_id` does.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text.isprintable() and " " not in text and 0 < len(text) <= _MAX_ID_LENGTH else None


def read_word(value: Any) -> str | None:
    """Return a word that may be shown as it is: up to 40 characters of a narrow alphabet; `None` for anything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def read_url(value: Any) -> str | None:
    """Return a provider's web URL, in the alphabet of RFC 3986 and of at most 8,192 characters.

    A URL in this form stays as it is. Other characters are percent-encoded, or encoded by IDNA in the host name.
    Anything that is not a web URL, or has control characters, is `None`.
    """
    if not isinstance(value, str) or len(value) > _MAX_URL_LENGTH:
        return None
    try:
        url = value if _URL.fullmatch(value) else _encoded(value)
    except (ValueError, httpx2.InvalidURL):
        return None
    return url if is_web_address(url) and len(url) <= _MAX_URL_LENGTH else None


def _encoded(url: str) -> str:
    return _NOT_IN_URLS.sub(lambda strange: quote(strange[0], safe=""), str(httpx2.URL(url)))


async def _read_bounded(response: httpx2.Response, host: str) -> bytes:
    chunks, size = [], 0
    # most bodies are not compressed, and the decoder costs as much as all the rest of reading them
    is_encoded = "content-encoding" in response.headers
    async for chunk in response.aiter_bytes() if is_encoded else cast(httpx2.AsyncByteStream, response.stream):
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise IncompleteResponse(f"{host} sent more than {_MAX_BODY_BYTES} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _redacted(redactor: Redactor, raw: bytes) -> tuple[Any, str]:
    """Return body and text without the key: an upstream may echo it, and no message or database may contain it."""
    body, text = _parsed(raw), raw.decode("utf-8", "replace")
    redacted = redactor.plain(body)
    # if JSON escaped it, the text contains it in another form
    return redacted, redactor.text(text) if redacted == body else json.dumps(redacted, ensure_ascii=False)


def _seconds(header: str | None) -> float | None:
    """Return a `Retry-After` in seconds; dates and invalid values count as absent."""
    try:
        seconds = float(header or "nan")
    except ValueError:
        return None
    return min(max(seconds, 0.0), 3600.0) if math.isfinite(seconds) else None


def _reason(error: Exception, redactor: Redactor) -> str:
    return quoted(redactor.text(str(error)) or type(error).__name__)
