"""Public addresses, and the origin of a URL."""

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
    """Also addresses that contain a public IPv4 address."""
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
def test_urls_and_settings_have_the_same_form_of_a_host(url: str, origin: str) -> None:
    """The HTTP client and the settings parse it separately."""
    assert str(origin_of(url)) == origin
    assert HostPort.parse(url.partition("//")[2].partition("/")[0]).host == origin_of(url).host
