"""Trusted hosts, as the setting has them."""

import pytest

from journey_mcp.core.urls import HostPort
from journey_mcp.settings.trusted_hosts import TrustedHosts


@pytest.mark.parametrize(
    ("texts", "trusted", "not_trusted"),
    [
        (["NAS.local"], [("nas.local", 80), ("nas.local", 8443)], [("local", 80), ("a.nas.local", 80)]),
        (["nas.local:8080"], [("nas.local", 8080)], [("nas.local", 80), ("nas.local", 443)]),
        ([" 127.0.0.1:443 "], [("127.0.0.1", 443)], [("127.0.0.1", 80), ("127.0.0.2", 443), ("localhost", 443)]),
        (["[::1]:80", "FD00:0::1"], [("::1", 80), ("fd00::1", 7)], [("::1", 81), ("::2", 80)]),
        (["b\u00fccher.example"], [("xn--bcher-kva.example", 443)], [("b\u00fccher.example", 443)]),
        ([], [], [("localhost", 80)]),
    ],
)
def test_named_hosts_are_trusted(
    texts: list[str], trusted: list[tuple[str, int]], not_trusted: list[tuple[str, int]]
) -> None:
    """With their port, or with every port if none is named."""
    parsed = TrustedHosts.parse(texts)
    assert [pair for pair in trusted if not parsed.is_trusted(HostPort(*pair))] == []
    assert [pair for pair in not_trusted if parsed.is_trusted(HostPort(*pair))] == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://nas.local", "nas.local/path", "user@nas.local", "nas.local:", "nas.local:0", "nas.local:65536"),
        *("nas.local:http", "*.local", "two hosts", "[::1", "::1:80:90:100:110:120:130:140", "10.0.0.0/8"),
        "999.0.0.1",
    ],
)
def test_text_that_is_not_a_host_is_named(text: str) -> None:
    """A wrong setting must not be read as a narrower one."""
    with pytest.raises(ValueError, match="is neither host nor host:port") as caught:
        TrustedHosts.parse(["localhost", text])
    assert str(caught.value).startswith(repr(text))
