"""Which addresses are public, and what a URL's origin is."""

import pytest

from journey_mcp.core.urls import HostPort
from journey_mcp.net.address_policy import is_public, origin_of


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    """So are those that carry a public IPv4 address inside."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Pictures.test/a", "pictures.test:443"),
        ("http://pictures.test:8080", "pictures.test:8080"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example:443"),
        ("http://[0:0::1]:80/", "[::1]:80"),
        ("http://127.0.0.1:80/", "127.0.0.1:80"),
    ],
)
def test_an_origin_is_read_from_a_url_as_from_a_setting(url: str, origin: str) -> None:
    """The HTTP client and the settings have the same form of a host."""
    assert str(origin_of(url)) == origin
    assert HostPort.parse(url.partition("//")[2].partition("/")[0]).host == origin_of(url).host
