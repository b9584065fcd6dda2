"""Which addresses are public, and which hosts are trusted."""

import pytest

from journey_mcp.net.address_policy import Trusted, is_public


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
    ("texts", "trusted", "not_trusted"),
    [
        (["nas.local"], [("nas.local", 80), ("NAS.local", 8443)], [("local", 80), ("a.nas.local", 80)]),
        (["nas.local:8080"], [("nas.local", 8080)], [("nas.local", 80), ("nas.local", 443)]),
        ([" 127.0.0.1:443 "], [("127.0.0.1", 443)], [("127.0.0.1", 80), ("127.0.0.2", 443), ("localhost", 443)]),
        (["[::1]:80", "fd00::1"], [("::1", 80), ("fd00:0::1", 7)], [("::1", 81), ("::2", 80)]),
        (["bücher.example"], [("xn--bcher-kva.example", 443)], [("bücher.example", 443)]),
        ([], [], [("localhost", 80)]),
    ],
)
def test_hosts_are_trusted_as_they_are_named(
    texts: list[str], trusted: list[tuple[str, int]], not_trusted: list[tuple[str, int]]
) -> None:
    """With their port where they have one, with every port where not."""
    parsed = Trusted.parse(texts)
    assert [pair for pair in trusted if not parsed.is_trusted(*pair)] == []
    assert [pair for pair in not_trusted if parsed.is_trusted(*pair)] == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://nas.local", "nas.local/path", "user@nas.local", "nas.local:", "nas.local:0", "nas.local:65536"),
        *("nas.local:http", "*.local", "two hosts", "[::1", "::1:80:90:100:110:120:130:140", "10.0.0.0/8"),
        "999.0.0.1",
    ],
)
def test_what_is_no_host_is_named(text: str) -> None:
    """A setting that cannot be understood must not be taken for a narrower one."""
    with pytest.raises(ValueError, match="is neither host nor host:port") as caught:
        Trusted.parse(["localhost", text])
    assert str(caught.value).startswith(repr(text))


def test_a_base_address_that_is_none_is_named() -> None:
    """In the words of the one who configured it."""
    with pytest.raises(ValueError, match='base address cannot be used: "ftp://" is not fetched'):
        Trusted().with_base_urls(["ftp://files.test"])
