"""The limit of failed authentications: a bounded number of requests without a valid credential from each address.

It stops floods and nothing else: hosted clients share a few addresses, so it is high, and a credential that was
accepted passes whatever others send from the same address. Limits of callers come after authentication.
"""

import hashlib
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from journey_mcp.core.urls import is_ip_address
from journey_mcp.server.transports.responses import busy_response

BURST: Final = 500.0
"""How many refused requests of an address are answered at once."""
PER_S: Final = 50.0
"""How many more in each second."""
_MAX_ADDRESSES = 10_000
_MAX_ACCEPTED = 10_000
_IPV6_NETWORK = 64
"""The bits of an IPv6 address that one customer of a network usually has alone."""
_UNAUTHORIZED = 401
_FIRST_ERROR = 400
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Bucket:
    """How many more refusals an address may have, and when that was so."""

    left: float
    at: float

    def refill(self, now: float) -> None:
        self.left = min(BURST, self.left + (now - self.at) * PER_S)
        self.at = now


class AuthFailureLimit:
    """ASGI middleware that answers 429 to an address with too many requests that authentication has refused."""

    def __init__(self, app: ASGIApp, *, trusts_proxy: bool) -> None:
        self._app = app
        self._trusts_proxy = trusts_proxy
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        """Digests of credentials that were accepted lately."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address = network_of(client_address(scope, headers, trusts_proxy=self._trusts_proxy))
        credential = hashlib.sha256(headers.get("authorization", "").encode("latin-1")).digest()
        if credential not in self._accepted and self._bucket(address).left < 1:
            response = busy_response(429, "too many requests without a valid credential come from this address")
            await response(scope, receive, send)
            return

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # another method may be served to everybody
                is_call = scope["method"] == "POST" and "authorization" in headers
                self._note(address, credential, message["status"], is_call=is_call)
            await send(message)

        await self._app(scope, receive, send_noted)

    def _note(self, address: str, credential: bytes, status: int, *, is_call: bool) -> None:
        if status == _UNAUTHORIZED:
            self._accepted.pop(credential, None)
            self._bucket(address).left -= 1
        elif status < _FIRST_ERROR and is_call:
            _touch(self._accepted, credential, None, _MAX_ACCEPTED)

    def _bucket(self, address: str) -> _Bucket:
        now = anyio.current_time()
        bucket = self._buckets.get(address) or _Bucket(BURST, now)
        bucket.refill(now)
        _touch(self._buckets, address, bucket, _MAX_ADDRESSES)
        return bucket


def client_address(scope: Scope, headers: Headers, *, trusts_proxy: bool) -> str:
    """Return the address of the client: of the connection, or the one that a trusted proxy has added last."""
    forwarded = ",".join(headers.getlist("x-forwarded-for")) if trusts_proxy else ""
    return forwarded.rpartition(",")[2].strip() or (scope.get("client") or ("", 0))[0]


def network_of(address: str) -> str:
    """Return the network whose requests are counted together: an IPv4 address, or 64 bits of an IPv6 address.

    Some proxies add the port of the client, which is another one for each connection.
    """
    bare = address.rpartition(":")[0].strip("[]")
    text = next((text for text in (address.strip("[]"), bare) if is_ip_address(text)), None)
    if text is None:
        return address
    parsed = ipaddress.ip_address(text)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))


def _touch(entries: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Store an entry as the newest, and drop the oldest above the limit."""
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > most:
        entries.popitem(last=False)
