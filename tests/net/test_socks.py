"""SOCKS proxies of the environment, for provider requests and images."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import Authority, coarse, created, make_request, running_studio, serving, settings_for

from journey_mcp import sandbox
from journey_mcp.core.errors import SetupError, Unreachable
from journey_mcp.core.predictions import Status
from journey_mcp.net import socks
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings.trusted_hosts import TrustedHosts

PUBLIC = "93.184.216.34"
IPV4, NAME = 1, 3
GRANTED, UNREACHABLE = b"\x00", b"\x04"


@dataclass
class Proxy:
    """A SOCKS5 proxy (RFC 1928) that connects every request to this machine."""

    port: int = 0
    leads_to: int | None = None
    """The port that replaces the requested one."""
    refused: frozenset[str] = frozenset()
    asked: list[tuple[str, int]] = field(default_factory=list)

    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start a connection."""
        self.connections.add(asyncio.create_task(self._handle(reader, writer)))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly((await reader.readexactly(2))[1])
            writer.write(b"\x05\x00")
            kind = (await reader.readexactly(4))[3]
            assert kind in {IPV4, NAME}
            raw = await reader.readexactly(4 if kind == IPV4 else (await reader.readexactly(1))[0])
            host = ".".join(map(str, raw)) if kind == IPV4 else raw.decode()
            port = int.from_bytes(await reader.readexactly(2), "big")
            self.asked.append((host, port))
            if host in self.refused:
                writer.write(b"\x05" + UNREACHABLE + b"\x00\x01" + bytes(6))
            else:
                writer.write(b"\x05" + GRANTED + b"\x00\x01" + bytes(6))
                there = await asyncio.open_connection("127.0.0.1", self.leads_to or port)
                await asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))
        await _close(writer)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
    await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


REFUSING = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""httpcore2 leaves the connection to a proxy that refuses to the garbage collector; such a test lets it run."""


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Yield a running proxy."""
    here = Proxy()
    server = await asyncio.start_server(here.accept, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    yield here
    server.close()
    await asyncio.gather(*here.connections)


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks", "SOCKS"])
async def test_provider_requests_use_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, variable: str, scheme: str
) -> None:
    """By host name. `socks://` means version 5 if a version 5 proxy responds."""
    monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:{proxy.port}/")
    async with sandbox.running(coarse(speed=0)) as upstream:
        port = int(upstream.origin.rpartition(":")[2])
        base_url = upstream.base_url.replace("127.0.0.1", "api.example.test")
        async with running_studio(settings_for(base_url, tmp_path)) as studio:
            task = await studio.wait_for_new(await created(studio, make_request()), 300)
        assert task.status is Status.SUCCEEDED
    assert set(proxy.asked) == {("api.example.test", port)}


@REFUSING
async def test_a_proxy_that_cannot_connect_makes_the_provider_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    """Nothing was sent, so nothing is charged."""
    proxy.refused = frozenset({"api.example.test"})
    monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
    async with running_studio(settings_for("http://api.example.test:9/api/v1", tmp_path)) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
    assert task.failure is not None
    assert task.failure.code == Unreachable.code
    gc.collect()


async def test_socks_without_a_version_and_without_a_socks5_proxy_is_a_setup_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may respond there."""
    async with serving(Starlette()) as other:
        monkeypatch.setenv("ALL_PROXY", other.replace("http://", "socks://"))
        with pytest.raises(SetupError, match="nothing there answers as a SOCKS5 proxy"):
            async with running_studio(settings_for("https://api.example.test", tmp_path)):
                pass


@asynccontextmanager
async def images(authority: Authority) -> AsyncIterator[int]:
    """Yield the port of a site with one image."""

    async def image(_request: Request) -> Response:
        return Response(b"png", media_type="image/png")

    async with serving(Starlette(routes=[Route("/a.png", image)]), authority.server("images.example.test")) as origin:
        yield int(origin.rpartition(":")[2])


async def fetched(url: str, addresses: list[str]) -> bytes:
    """Return the content; the name has these addresses."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return addresses

    return (await SafeHttpClient(TrustedHosts(), resolve).get(url, max_bytes=100, within_s=20)).content


@REFUSING
@pytest.mark.parametrize("scheme", ["socks5", "socks"])
async def test_an_image_is_fetched_through_the_proxy_from_the_checked_address(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, proxy: Proxy, scheme: str
) -> None:
    """The proxy gets the address, not the name; the certificate is still verified against the name."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port}/")
    async with images(authority) as proxy.leads_to:
        assert await fetched("https://images.example.test/a.png", [PUBLIC]) == b"png"
        proxy.refused = frozenset({"93.184.216.35"})
        assert await fetched("https://images.example.test/a.png", ["93.184.216.35", PUBLIC]) == b"png"
        with pytest.raises(FetchError, match=r'no connection to "images\.example\.test"'):
            await fetched("https://images.example.test/a.png", ["93.184.216.35"])
        with pytest.raises(FetchError, match="certificate"):
            await fetched("https://other.example.test/a.png", [PUBLIC])
        with pytest.raises(FetchError, match="not a public host"):
            await fetched("https://images.example.test/a.png", ["10.0.0.1"])
    assert {host for host, _ in proxy.asked} == {PUBLIC, "93.184.216.35"}
    gc.collect()


async def test_hosts_without_a_proxy_are_fetched_directly(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, proxy: Proxy
) -> None:
    """Hosts in NO_PROXY, and all hosts if the proxy is not a SOCKS proxy."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with images(authority) as port:
        safe_http = SafeHttpClient(TrustedHosts.parse(["images.example.test"]), resolve)
        url = f"https://images.example.test:{port}/a.png"
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        assert (await safe_http.get(url, max_bytes=100, within_s=20)).content == b"png"
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ALL_PROXY": "socks5://a:1"}, "socks5://a:1"),
        ({"HTTPS_PROXY": "socks5h://a:1", "ALL_PROXY": "http://b:2"}, "socks5h://a:1"),
        ({"HTTPS_PROXY": "http://b:2", "ALL_PROXY": "socks5://a:1"}, None),
        ({"ALL_PROXY": "socks5://a:1", "NO_PROXY": "example.test"}, None),
        ({"ALL_PROXY": "socks5://a:1", "NO_PROXY": "*"}, None),
        ({"ALL_PROXY": "socks5://a:1", "NO_PROXY": "other.test"}, "socks5://a:1"),
        ({"HTTPS_PROXY": "http://b:2"}, None),
        ({}, None),
    ],
)
def test_the_proxy_for_a_request(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    """The proxy of the scheme has priority over the general one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert socks.proxy_for("https", "images.example.test") == expected
