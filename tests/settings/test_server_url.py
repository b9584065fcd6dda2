"""The public address of the server over HTTP, and the origins of pages that may call it."""

import pytest

from journey_mcp.core.errors import SetupError
from journey_mcp.settings import read_settings


@pytest.mark.parametrize(
    ("text", "endpoint", "host"),
    [
        ("https://mcp.example.com", "https://mcp.example.com/mcp", "mcp.example.com"),
        ("https://mcp.example.com/mcp/", "https://mcp.example.com/mcp", "mcp.example.com:443"),
        ("https://example.com:8443/journey", "https://example.com:8443/journey/mcp", "example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/mcp", "127.0.0.1:8000"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/mcp", "[2001:db8::1]"),
        ("https://bücher.example", "https://bücher.example/mcp", "xn--bcher-kva.example"),
    ],
)
def test_the_server_url_names_the_endpoint_and_allows_its_host(text: str, endpoint: str, host: str) -> None:
    """With or without `/mcp`."""
    settings = read_settings({"JOURNEY_MCP_SERVER_URL": text})
    assert settings.endpoint_url == endpoint
    assert settings.hosts_over_http.allows(host)
    assert not settings.hosts_over_http.allows("evil.test")


def test_without_a_server_url_nothing_is_added() -> None:
    """The endpoint is unknown."""
    settings = read_settings({})
    assert (settings.endpoint_url, settings.hosts_over_http) == (None, settings.allowed_hosts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://mcp.example.com", "must be an https:// address"),
        ("mcp.example.com", "must be an address such as https://"),
        ("https://user:secret@mcp.example.com", "must have no user name or password: every client sees"),
        ("https://mcp.example.com/?key=1", "must have neither ? nor #: /mcp is appended to it"),
    ],
)
def test_an_address_that_cannot_be_public_is_refused(text: str, words: str) -> None:
    """With variable and form."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_SERVER_URL=") as raised:
        read_settings({"JOURNEY_MCP_SERVER_URL": text})
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_origins_are_compared_as_browsers_send_them() -> None:
    """Lower case, without a default port."""
    given = "HTTPS://App.Example.com:443/, http://localhost:6274,http://[::1]:80, https://bücher.example"
    origins = read_settings({"JOURNEY_MCP_ALLOWED_ORIGINS": given}).allowed_origins
    assert origins.origins == (
        "https://app.example.com",
        "http://localhost:6274",
        "http://[::1]",
        "https://xn--bcher-kva.example",
    )
    assert origins.allows("https://app.example.com")
    assert not origins.allows("http://app.example.com")
    assert not origins.allows("null")


@pytest.mark.parametrize(
    "text", ["*", "null", "app.example.com", "file:///a", "https://a.test/path", "https://u:secret@a.test"]
)
def test_text_that_is_not_an_origin_is_refused(text: str) -> None:
    """With variable, value and form."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_ALLOWED_ORIGINS=") as raised:
        read_settings({"JOURNEY_MCP_ALLOWED_ORIGINS": f"https://app.test, {text}"})
    assert "is not an origin; write each one whole" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_forwarded_addresses_are_ignored_unless_a_proxy_is_trusted() -> None:
    """In any case of letters."""
    assert read_settings({}).trust_proxy == "off"
    assert read_settings({"JOURNEY_MCP_TRUST_PROXY": "On"}).trust_proxy == "on"
