"""The limit of failed authentications: floods of requests without a valid credential get 429."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from manual_clock import ManualClock
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from journey_mcp.server.transports import auth_failure_limit
from journey_mcp.server.transports.auth_failure_limit import AuthFailureLimit, client_address, network_of

GOOD = {"authorization": "Bearer jmcp_good"}
BURST = int(auth_failure_limit.BURST)
PER_S = int(auth_failure_limit.PER_S)


class Service:
    """An application with authentication that can withdraw its only token."""

    is_withdrawn = False
    asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 401 without the token."""
        self.asked += 1
        is_known = Request(scope).headers.get("authorization") == GOOD["authorization"] and not self.is_withdrawn
        is_public = scope["method"] == "GET"
        await Response(status_code=200 if is_known or is_public else 401)(scope, receive, send)


@pytest.fixture
def service() -> Service:
    """Return the application behind the limit."""
    return Service()


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client at 203.0.113.5."""
    transport = httpx2.ASGITransport(app=AuthFailureLimit(service, trusts_proxy=False), client=("203.0.113.5", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://mcp.test") as opened:
        yield opened


async def statuses(http: httpx2.AsyncClient, count: int, headers: dict[str, str] | None = None) -> list[int]:
    """Send so many requests and return their statuses."""
    return [(await http.post("/mcp", headers=headers or {})).status_code for _ in range(count)]


async def test_a_flood_gets_429_and_a_known_token_passes(http: httpx2.AsyncClient, service: Service) -> None:
    """Refusals that reach the limit cost no further check of a token."""
    clock = ManualClock()
    assert await statuses(http, 1, GOOD) == [200]
    assert set(await statuses(http, BURST)) == {401}
    asked = service.asked
    answer = await http.post("/mcp", headers={"authorization": "Bearer guess"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"]["message"].startswith("Unavailable: too many requests without a valid credential")
    assert service.asked == asked
    assert await statuses(http, 3, GOOD) == [200] * 3
    clock.advance(1)
    assert await statuses(http, PER_S + 2) == [401] * PER_S + [429] * 2


async def test_a_withdrawn_token_does_not_pass(http: httpx2.AsyncClient, service: Service) -> None:
    """It was accepted before."""
    assert await statuses(http, 1, GOOD) == [200]
    assert set(await statuses(http, BURST)) == {401}
    service.is_withdrawn = True
    assert await statuses(http, 2, GOOD) == [401, 429]


async def test_what_everybody_may_read_proves_no_token(http: httpx2.AsyncClient) -> None:
    """The metadata of the resource, for example."""
    guess = {"authorization": "Bearer guess"}
    assert (await http.get("/.well-known/oauth-protected-resource", headers=guess)).status_code == 200
    assert set(await statuses(http, BURST)) == {401}
    assert await statuses(http, 1, guess) == [429]


async def test_valid_requests_are_not_counted(http: httpx2.AsyncClient) -> None:
    """However many they are."""
    assert set(await statuses(http, 2 * BURST, GOOD)) == {200}
    assert await statuses(http, 1) == [401]


async def test_memory_is_bounded(service: Service) -> None:
    """Of many addresses and tokens, the oldest are forgotten."""
    limit = AuthFailureLimit(service, trusts_proxy=True)
    transport = httpx2.ASGITransport(app=limit)
    async with httpx2.AsyncClient(transport=transport, base_url="http://mcp.test") as http:
        for number in range(20):
            await http.post("/mcp", headers={"x-forwarded-for": f"203.0.113.{number}"})
    for number in range(10_100):
        limit._bucket(str(number))  # noqa: SLF001  # as many requests would take long
    assert len(limit._buckets) == 10_000  # noqa: SLF001


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8:1:2::5]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::5]", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_ipv6_addresses_of_one_network_count_together(address: str, network: str) -> None:
    """One customer has them all."""
    assert network_of(address) == network


def test_a_forwarded_address_counts_only_from_a_trusted_proxy() -> None:
    """The last one: clients write the others."""
    scope: Scope = {"client": ("10.0.0.1", 1)}
    headers = Headers(raw=[(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2"), (b"x-forwarded-for", b"3.3.3.3")])
    assert client_address(scope, headers, trusts_proxy=False) == "10.0.0.1"
    assert client_address(scope, headers, trusts_proxy=True) == "3.3.3.3"
    assert client_address(scope, Headers(), trusts_proxy=True) == "10.0.0.1"
    assert not client_address({}, Headers(), trusts_proxy=False)
