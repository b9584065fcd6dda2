"""Allowed host names, as the setting has them and as clients send them."""

import pytest

from journey_mcp.core.errors import SetupError
from journey_mcp.settings import read_settings
from journey_mcp.settings.allowed_hosts import AllowedHosts


@pytest.mark.parametrize(
    ("named", "host", "is_allowed"),
    [
        ((), "127.0.0.1:8000", True),
        ((), "localhost", True),
        ((), "LOCALHOST:1", True),
        ((), "localhost.:8000", True),
        ((), "[::1]:8000", True),
        ((), "", False),
        ((), "evil.test", False),
        ((), "evil.test:8000", False),
        ((), "localhost.evil.test", False),
        ((), "127.0.0.1.evil.test:8000", False),
        ((), "evil.test:8000#localhost", False),
        ((), "localhost@evil.test", False),
        ((), "evil.test/localhost", False),
        ((), "localhost:8000:8000", False),
        ((), "localhost:99999", False),
        ((), "host.docker.internal:8000", False),
        (("host.docker.internal",), "host.docker.internal:8000", True),
        (("host.docker.internal",), "Host.Docker.Internal", True),
        (("host.docker.internal",), "a.host.docker.internal:8000", False),
        (("host.docker.internal:*",), "host.docker.internal:9", True),
        (("Studio.Local:8000",), "studio.local:8000", True),
        (("studio.local:8000",), "studio.local:8001", False),
        (("studio.local:8000",), "studio.local", False),
        (("[fd00::1]:8000",), "[FD00::1]:8000", True),
        (("my_host", "studio"), "studio:1", True),
    ],
)
def test_a_named_host_is_allowed(named: tuple[str, ...], host: str, is_allowed: bool) -> None:
    """With its port, or with every port; loopback hosts always are."""
    hosts = AllowedHosts.parse(named)
    assert hosts.allows(host) is is_allowed
    assert hosts.allows_origin(f"http://{host}") is is_allowed
    assert hosts.allows_origin(f"HTTPS://{host}") is is_allowed


@pytest.mark.parametrize("origin", ["null", "localhost:8000", "file://", "chrome-extension://localhost", "http://"])
def test_an_origin_that_is_not_http_is_refused(origin: str) -> None:
    """Browsers send other values too."""
    assert not AllowedHosts.parse().allows_origin(origin)


@pytest.mark.parametrize(
    "text",
    ["http://host", "host/path", "*", "*.local", "host:x", "host:70000", "a b", "user@host", "[::1", "bücher.de"],
)
def test_text_that_is_not_a_host_is_refused_at_the_start(text: str) -> None:
    """With variable, value and form."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_ALLOWED_HOSTS=") as raised:
        read_settings({"JOURNEY_MCP_ALLOWED_HOSTS": f"studio.local, {text}"})
    assert f"{text!r} is neither host, host:port nor host:*" in str(raised.value)


def test_hosts_are_separated_by_commas() -> None:
    """Like other lists."""
    settings = read_settings({"JOURNEY_MCP_ALLOWED_HOSTS": "host.docker.internal, studio.local:8000"})
    assert settings.allowed_hosts.named == ("host.docker.internal", "studio.local:8000")
