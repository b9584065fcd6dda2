"""The OAuth client of the SDK, with a person who logs in at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

_REDIRECT = "http://127.0.0.1:9/callback"
"""Nobody listens there: the browser of the test reads the address."""
_MOST_REDIRECTS = 10


class Storage:
    """What a client keeps; a `TokenStorage` of the SDK."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.registered: OAuthClientInformationFull | None = None

    @property
    def access_token(self) -> str:
        """The access token that the client has now."""
        assert self.tokens is not None
        return self.tokens.access_token

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return what the client was registered as."""
        return self.registered

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep what the client was registered as."""
        self.registered = client_info


class _Browser:
    """A browser that follows the redirects of the authorization server back to the client."""

    def __init__(self) -> None:
        self._arrived = ""

    async def open(self, url: str) -> None:
        """Follow the redirects."""
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            for _ in range(_MOST_REDIRECTS):
                answer = await http.get(url)
                url = urljoin(url, answer.headers["location"])
                if url.startswith(_REDIRECT):
                    self._arrived = url
                    return
        raise AssertionError(f"the authorization server does not return: {url}")

    async def result(self) -> AuthorizationCodeResult:
        """Return what the authorization server gave back."""
        given = {name: values[0] for name, values in parse_qs(urlsplit(self._arrived).query).items()}
        return AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))


@asynccontextmanager
async def connected(url: str, storage: Storage, mode: str) -> AsyncIterator[Client]:
    """Open a client, which discovers, registers, asks the person, and keeps its tokens in the storage."""
    browser = _Browser()
    metadata = OAuthClientMetadata(
        client_name="a client",
        redirect_uris=[AnyUrl(_REDIRECT)],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="none",
        application_type="native",
    )
    auth = OAuthClientProvider(url, metadata, storage, redirect_handler=browser.open, callback_handler=browser.result)
    async with (
        httpx2.AsyncClient(auth=auth, trust_env=False, verify=False, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client
