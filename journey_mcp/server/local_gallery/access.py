"""Who may use the gallery: the one browser that redeemed the token of this run.

Any web page and any user of this machine can send requests to a loopback port. So the token works once, the cookie is
`SameSite=Strict` and bound to a secret path (cookies ignore ports, and other servers on this machine would receive it),
and every request must name this address as its host, and as its origin if it has one.
"""

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers

ENTRANCE = "/"
"""The path that takes the token."""
_HOSTS = ("127.0.0.1", "localhost")
_HTTP_PORT = 80
_TOKEN_BYTES = 32
_SAME_SITE = {"same-origin", "none"}
"""The values of `Sec-Fetch-Site` for requests of our page and of the person (the address bar)."""


class Access:
    """The token, the session and the addresses of one run."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token: str | None = secrets.token_urlsafe(_TOKEN_BYTES)
        self._session = secrets.token_urlsafe(_TOKEN_BYTES)
        self.path = f"/{secrets.token_urlsafe(16)}/"
        """The path of the page, which only the session's browser learns."""
        self.url = f"http://{_HOSTS[0]}:{port}{ENTRANCE}?token={self._token}"
        """The address that opens the gallery, once."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The values that the `Host` header may have."""
        named = tuple(f"{host}:{self._port}" for host in _HOSTS)
        return (*named, *_HOSTS) if self._port == _HTTP_PORT else named

    def redeem(self, token: str) -> bool:
        """Return whether this is the token, which then works no more."""
        is_right = self._token is not None and _is_same(token, self._token)
        if is_right:
            self._token = None
        return is_right

    def cookie(self) -> str:
        """Return the `Set-Cookie` header of the session; the cookie ends with the browser."""
        return f"{self._cookie_name}={self._session}; Path={self.path}; HttpOnly; SameSite=Strict"

    def has_session(self, cookies: Mapping[str, str]) -> bool:
        """Return whether these are the cookies of the session's browser."""
        return _is_same(cookies.get(self._cookie_name, ""), self._session)

    def refusal(self, method: str, path: str, headers: Headers) -> str | None:
        """Return why a request is not one of this gallery's page or of the person; `None` if it is.

        A `POST` must state its origin: every browser sends it. The address with the token may be a link in a terminal
        that is a web page itself.
        """
        host, origin, site = headers.get("host", ""), headers.get("origin"), headers.get("sec-fetch-site")
        if host not in self.hosts:
            return "the host of this address is not allowed"
        if origin is None and method == "POST":
            return "a call without an origin is not allowed"
        if origin is not None and origin != f"http://{host}":
            return "pages of other origins are not allowed"
        if path != ENTRANCE and site is not None and site not in _SAME_SITE:
            return "requests of other sites are not allowed"
        return None

    @property
    def _cookie_name(self) -> str:
        return f"journey_gallery_{self._port}"


def _is_same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(), expected.encode())
