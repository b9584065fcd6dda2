"""Requests to providers, as they leave."""

from collections.abc import Mapping
from typing import Any, Literal

import httpx2
import pytest

from journey_mcp.providers.http import bearer, http_request

URL = httpx2.URL("http://provider.example:8080/v1/images")


class Recording(httpx2.AsyncBaseTransport):
    """A provider that answers every request with an empty object."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.requests: list[httpx2.Request] = []
        self._status = status
        self._headers = headers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Record the request and answer."""
        self.requests.append(request)
        return httpx2.Response(self._status, headers=self._headers, json={})


@pytest.mark.parametrize(
    ("method", "body"),
    [("GET", None), ("GET", {"n": 1}), ("POST", None), ("POST", {}), ("POST", {"prompt": "un château", "n": 1})],
)
async def test_a_request_is_the_one_that_httpx2_would_make(method: Literal["GET", "POST"], body: Any) -> None:
    """The same headers and the same body: only the way there is shorter."""
    provider = Recording()
    await http_request(provider, method, URL, auth=bearer("key"), timeout_s=5, body=body, headers={"prefer": "wait"})
    (sent,) = provider.requests
    given = {"authorization": "Bearer key", "accept": "application/json", "prefer": "wait"}
    expected = httpx2.Request(method, URL, headers=given, json=body)
    assert sorted(sent.headers.raw) == sorted(expected.headers.raw)
    assert await sent.aread() == expected.read()


@pytest.mark.parametrize(("status", "retry_after_s"), [(429, 7.0), (503, 7.0), (200, None)])
async def test_only_an_error_says_when_to_try_again(status: int, retry_after_s: float | None) -> None:
    """An answer has nothing to repeat."""
    provider = Recording(status, {"retry-after": "7"})
    response = await http_request(provider, "GET", URL, auth=bearer("key"), timeout_s=5)
    assert (response.status, response.retry_after_s) == (status, retry_after_s)
