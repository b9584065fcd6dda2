"""URLs: base URLs of services without their credentials, and checks of URLs that callers give."""

import base64
from typing import Self
from urllib.parse import unquote, urlsplit

from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.redaction import without_userinfo


class BaseUrl(str):
    """Where a service is asked: `http://` or `https://`, a host, and no slash at the end.

    A user name and a password that were given with it are no part of this text, so they are neither shown nor stored,
    and no HTTP client puts them in the place of a key. Addresses that differ in nothing else are equal.
    """

    __slots__ = ("_userinfo",)
    _userinfo: str

    def __new__(cls, text: str) -> Self:
        """Read an address.

        Raises:
            ValueError: it is none; says what is, and repeats nothing of it.
        """
        try:
            parts = urlsplit(text)
            is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        # what cannot be seen is passed over by some who read addresses, and not by others
        if not is_address or not text.isprintable() or " " in text:
            raise ValueError("must be an address such as https://host/path (http:// for a local one)")
        userinfo, at, _ = parts.netloc.rpartition("@")
        new = super().__new__(cls, text.replace(f"{userinfo}{at}", "", 1).rstrip("/"))
        new._userinfo = userinfo
        return new

    @property
    def has_userinfo(self) -> bool:
        """Whether a user name or a password was given with it."""
        return bool(self._userinfo)

    @property
    def authorization(self) -> str | None:
        """The header's value that tells user name and password to a gateway (RFC 7617); `None` without any."""
        if not self._userinfo:
            return None
        user, _, password = self._userinfo.partition(":")
        return f"Basic {base64.b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen of that: the password, or the token in place of both; and the header's value."""
        user, colon, password = self._userinfo.partition(":")
        return (unquote(password if colon else user), self.authorization) if self.authorization else ()


def is_web_address(text: str) -> bool:
    """HTTP or HTTPS, with a host, and nothing around it."""
    return _has_scheme_and_host(text, {"http", "https"})


def check_webhook_url(url: str) -> None:
    """Refuse a webhook address that is not HTTPS.

    Raises:
        InvalidWebhook: names the address.
    """
    if not _has_scheme_and_host(url, {"https"}):
        raise InvalidWebhook(f"webhook_url={without_userinfo(url)[:120]!r} is not an HTTPS URL.")


def webhook_host(url: str) -> str:
    """The host of a webhook address, with its port where it names one: what is slow or gone is the same there."""
    return urlsplit(url).netloc.rpartition("@")[2].lower().removesuffix(":443")


def _has_scheme_and_host(url: str, schemes: set[str]) -> bool:
    if any(character.isspace() or not character.isprintable() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
