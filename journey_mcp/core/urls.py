"""URLs: base URLs of services without their credentials, and checks of URLs that callers give."""

import base64
import ipaddress
import re
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.redaction import without_userinfo

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@%*\[\]\\]+)(?::([0-9]{1,5}))?")
_IPV4_STYLE = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_LAST_PORT = 65535
_HTTPS_PORT = 443
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The usual names of this machine, as a URL has them."""


class HostPort(NamedTuple):
    """A host, in the form of `canonical_host`, and a port."""

    host: str
    port: int | None = None
    """`None` is any port."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host` or `host:port`; an IPv6 address is in brackets before a port.

        Raises:
            ValueError: the text is neither; names it without a user name and password.
        """
        bare = text.strip()
        match = _HOST_AND_PORT.fullmatch(f"[{bare}]" if is_ip_address(bare) and ":" in bare else bare)
        try:
            if match and (match[2] is None or is_port(int(match[2]))):
                return cls(canonical_host(match[1].strip("[]")), int(match[2]) if match[2] else None)
        except ValueError:
            pass  # an IP address or an international name that is not valid
        shown = without_userinfo(text) if ":" in text.rpartition("@")[0] else text  # no colon: no password
        raise ValueError(f"{shown!r} is neither host nor host:port")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class HttpsOrigin(HostPort):
    """The origin of an HTTPS URL; its port is always known."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `https://host` or `https://host:port`; the scheme may be left out.

        Raises:
            ValueError: the text is neither.
        """
        scheme, separator, rest = text.rpartition("://")
        try:
            if not separator or scheme.lower() == "https":
                host, port = HostPort.parse(rest.rstrip("/"))
                return cls(host, _HTTPS_PORT if port is None else port)
        except ValueError:
            pass  # the text is not repeated: part of it may be a password
        raise ValueError("must be origins such as https://hooks.example.com or https://hooks.example.com:8443")

    def __str__(self) -> str:
        return f"https://{HostPort(self.host, None if self.port == _HTTPS_PORT else self.port)}"


class BaseUrl(str):
    """The base URL of a service: `http://` or `https://`, a host, and no slash at the end.

    A given user name and password are not part of this text, so they are neither shown nor stored, and no HTTP client
    replaces a key with them. URLs that differ only in them are equal.
    """

    __slots__ = ("_userinfo",)
    _userinfo: str

    def __new__(cls, text: str) -> Self:
        """Parse a URL.

        Raises:
            ValueError: it is not a base URL; states the form without repeating the text.
        """
        if not is_web_address(text) or not _is_host(urlsplit(text).hostname or ""):
            raise ValueError("must be an address such as https://host/path (http:// for a local one)")
        parts = urlsplit(text)
        userinfo, at, _ = parts.netloc.rpartition("@")
        new = super().__new__(cls, text.replace(f"{userinfo}{at}", "", 1).rstrip("/"))
        new._userinfo = userinfo
        return new

    @property
    def has_userinfo(self) -> bool:
        """Whether a user name or a password was given."""
        return bool(self._userinfo)

    @property
    def authorization(self) -> str | None:
        """The `authorization` header with user name and password for a gateway (RFC 7617); `None` without them."""
        if not self._userinfo:
            return None
        user, _, password = self._userinfo.partition(":")
        return f"Basic {base64.b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the password, or a token in place of both, and the header's value."""
        user, colon, password = self._userinfo.partition(":")
        return (unquote(password if colon else user), self.authorization) if self.authorization else ()


def canonical_host(host: str) -> str:
    """Return a host in the one form that is compared: lower case, ASCII (IDNA), an IP address as short as can be.

    Raises:
        ValueError: it has the form of an IP address and is not one, or is not an international name.
    """
    if ":" in host or _IPV4_STYLE.fullmatch(host):
        return str(ipaddress.ip_address(host))
    if host.isascii():
        return host.lower()
    import idna  # noqa: PLC0415  # for these few hosts only

    return idna.encode(host.lower()).decode()


def is_ip_address(host: str) -> bool:
    """Return whether a host is an IP address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host, an IPv6 address with or without brackets, is this machine."""
    bare = host.strip("[]")
    return host.lower() == "localhost" or (is_ip_address(bare) and ipaddress.ip_address(bare).is_loopback)


def is_port(number: int) -> bool:
    """Return whether this is the number of a TCP port."""
    return 1 <= number <= _LAST_PORT


def is_web_address(text: str) -> bool:
    """Return whether the text is exactly an HTTP or HTTPS URL with a host."""
    return _has_scheme_and_host(text, {"http", "https"})


def is_secure(url: str) -> bool:
    """Return whether the text is a URL whose content cannot be changed on the way: HTTPS, or on this machine."""
    return is_web_address(url) and (urlsplit(url).scheme == "https" or is_loopback(urlsplit(url).hostname or ""))


def check_webhook_url(url: str) -> None:
    """Refuse a webhook URL that is not HTTPS.

    Raises:
        InvalidWebhook: names the URL.
    """
    if not _has_scheme_and_host(url, {"https"}):
        raise InvalidWebhook(f"webhook_url={without_userinfo(url)[:120]!r} is not an HTTPS URL.")


def webhook_host(url: str) -> str:
    """Return the host of a webhook URL, with a port other than 443: webhooks there are slow or down together."""
    return urlsplit(url).netloc.rpartition("@")[2].lower().removesuffix(":443")


def _has_scheme_and_host(url: str, schemes: set[str]) -> bool:
    # parsers differ about characters that cannot be seen
    if " " in url or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    try:
        return bool(canonical_host(text))
    except ValueError:
        return False
