"""Downloads: only from public and trusted hosts, at every hop, and bounded."""

import asyncio
import gzip
import socket
import threading
from pathlib import Path

import pytest
import trustme
from support import Authority

from journey_mcp.core.urls import HostPort
from journey_mcp.net.address_policy import FetchError, Gone, is_public
from journey_mcp.net.safe_http import Fetched, SafeHttpClient, resolve_by_system
from journey_mcp.settings.trusted_hosts import TrustedHosts
from net.sites import PNG, Names, listening, ok, redirect, serving

PUBLIC = "93.184.216.34"
NOBODY = TrustedHosts.parse([])
HERE = TrustedHosts.parse(["127.0.0.1"])


async def get(safe_http: SafeHttpClient, url: str, max_bytes: int = 100_000, within_s: float = 20.0) -> Fetched:
    """Download with generous bounds."""
    return await safe_http.get(url, max_bytes=max_bytes, within_s=within_s)


async def refusal(safe_http: SafeHttpClient, url: str, max_bytes: int = 100_000, within_s: float = 20.0) -> str:
    """Return the reason why nothing was downloaded."""
    with pytest.raises(FetchError) as caught:
        await get(safe_http, url, max_bytes, within_s)
    return str(caught.value)


def causes(error: BaseException | None) -> str:
    """Return the chain of causes of an error."""
    return "" if error is None else f"{error!r} {causes(error.__cause__ or error.__context__)}"


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("100.100.100.200", "168.63.129.16"),
        *("::", "::1", "fe80::1", "fe80::1%2", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1"),
        *("ff0e::1", "100::1", "2001:db8::1", "3fff::1", "2001::1", "5f00::1", "4000::1", "64:ff9b:1::808:808"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8"),
        *("64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1"),
    ],
)
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    """In every form of the address, also with an IPv4 address inside."""
    names = Names([address])
    reason = await refusal(SafeHttpClient(NOBODY, names), "https://pictures.test/a.png")
    assert '"pictures.test" is not a public host, or resolves to a private address' in reason
    assert "only public hosts are fetched from, and those in JOURNEY_MCP_TRUSTED_HOSTS" in reason
    assert address not in reason, "the addresses of a local network are private"
    assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "10.1.2.3", "[::ffff:127.0.0.1]", "[fd00:ec2::254]", "169.254.169.254", "0.0.0.0"),
        *("localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1"),  # as the system reads them
    ],
)
async def test_private_addresses_in_the_url_are_refused(host: str) -> None:
    """With the system's resolver."""
    reason = await refusal(SafeHttpClient(NOBODY), f"https://{host}:8787/a.png")
    assert "not a public host" in reason or "cannot be resolved" in reason or "not a valid" in reason


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    """The result must not depend on which of them responds."""
    for addresses in ([PUBLIC, "10.0.0.1"], ["::1", PUBLIC]):
        assert "not a public host" in await refusal(
            SafeHttpClient(NOBODY, Names(addresses)), "https://pictures.test/a.png"
        )


async def test_the_connection_goes_to_the_checked_address() -> None:
    """A name that is public at the first lookup and private at the second is looked up once."""
    async with serving({"/a.png": ok()}) as site:
        names = Names([PUBLIC], ["127.0.0.1"])
        with pytest.raises(FetchError, match=r'no connection to "pictures\.test"') as caught:
            await get(SafeHttpClient(NOBODY, names), site.url(host="pictures.test", scheme="https"), within_s=5)
        assert f"a test connects to {PUBLIC}" in causes(caught.value), "the guard of all tests saw another address"
        assert names.asked == [("pictures.test", site.port)]
        assert site.asked == []


async def test_a_trusted_name_is_looked_up_once_and_sent_as_the_host() -> None:
    """The address is used only below HTTP."""
    async with serving({"/a.png?size=2": ok(PNG, "content-type: Image/PNG; q=1")}) as site:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        url = site.url("/a.png?size=2", "Pictures.Test")
        fetched = await get(SafeHttpClient(TrustedHosts.parse(["pictures.test"]), names), url)
        assert fetched == Fetched(content=PNG, media_type="image/png", url=url)
        assert names.asked == [("pictures.test", site.port)]
        assert site.header("host") == f"pictures.test:{site.port}"


async def test_the_next_address_is_tried_if_one_does_not_respond() -> None:
    """Like in every browser."""
    async with serving({"/a.png": ok()}) as site:
        safe_http = SafeHttpClient(TrustedHosts.parse(["pictures.test"]), Names(["127.0.0.2", "127.0.0.1"]))
        assert (await get(safe_http, site.url(host="pictures.test"))).content == PNG


async def test_a_name_without_an_address_is_named() -> None:
    """For every failure of the resolver."""

    async def fails(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    reason = await refusal(SafeHttpClient(NOBODY, fails), "https://pictures.test/a.png")
    assert 'the name "pictures.test" cannot be resolved: "[Errno -2] Name or service not known"' in reason
    assert "has no address" in await refusal(SafeHttpClient(NOBODY, Names([])), "https://pictures.test/a.png")
    assert "cannot be resolved" in await refusal(SafeHttpClient(NOBODY), f"https://{'a' * 70}.test/a.png")


# --- what is trusted


def test_an_address_that_cannot_be_trusted_is_named() -> None:
    """Only http(s):// URLs can be trusted."""
    with pytest.raises(FetchError, match='"ftp://" is not fetched'):
        SafeHttpClient(NOBODY).with_trusted("ftp://files.test")


async def test_exactly_host_and_port_of_a_base_url_are_trusted() -> None:
    """The sandbox is reached, another port of its host is not."""
    async with serving({"/a.png": ok()}) as sandbox, serving({"/a.png": ok()}) as beside:
        plain = SafeHttpClient(NOBODY)
        safe_http = plain.with_trusted(sandbox.url("/v1"), "https://api.example.test")
        assert (await get(safe_http, sandbox.url())).content == PNG
        assert "plain http://" in await refusal(safe_http, beside.url())
        assert "not a public host" in await refusal(safe_http, beside.url(scheme="https"))
        assert "plain http://" in await refusal(plain, sandbox.url())
        assert safe_http.trusted.is_trusted(HostPort("api.example.test", 443))
        assert beside.asked == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://pictures.test/a.png", '"pictures.test" is not fetched over plain http://: give an https:// URL'),
        ("https://me:secret@pictures.test/a.png", '"pictures.test" has a user name or password'),
        ("https://me@pictures.test/a.png", '"pictures.test" has a user name or password'),
        ("ftp://pictures.test/a.png", '"ftp://" is not fetched'),
        ("file:///etc/passwd", '"file://" is not fetched'),
        ("data:image/png;base64,AAAA", '"data://" is not fetched'),
        ("https:///a.png", '"https://" is not fetched: give an https:// URL with a host'),
        ("pictures.test/a.png", "is not fetched"),
        ("https://pictures.test:secret/a.png", "it is not a valid https:// URL"),
        ("https://pictures.test:70000/a.png", '"pictures.test" has no port 70000'),
        ("https://pictures.test:0/a.png", '"pictures.test" has no port 0'),
        ("https://1.2.3.999/a.png", "it is not a valid https:// URL"),
        ("https://pictures.test/\r\nhost: other", "it is not a valid https:// URL"),
        ("https://[fe80::1]/a.png", "not a public host"),
    ],
)
async def test_urls_that_are_never_fetched(url: str, reason: str) -> None:
    """There is no lookup, and no password is repeated."""
    names = Names([PUBLIC])
    said = await refusal(SafeHttpClient(NOBODY, names), url)
    assert reason in said
    assert "secret" not in said
    assert names.asked == []


# --- redirects


async def test_redirects_are_followed_and_the_last_url_is_returned() -> None:
    """Also relative redirects."""
    answers = {"/1": redirect("/2", 301), "/2": redirect("../a.png#part", 307), "/a.png": ok()}
    async with serving(answers) as site:
        fetched = await get(SafeHttpClient(HERE), site.url("/1"))
        assert fetched == Fetched(content=PNG, media_type=None, url=site.url("/a.png#part"))


async def test_no_credentials_and_no_cookies_are_sent() -> None:
    """Not even cookies that the previous hop set."""
    cookie = b"HTTP/1.1 302 Elsewhere\r\nset-cookie: a=b\r\nlocation: /a.png\r\ncontent-length: 0\r\n\r\n"
    async with serving({"/1": cookie, "/a.png": ok()}) as site:
        await get(SafeHttpClient(HERE), site.url("/1"))
        names = {line.partition(":")[0].lower() for line in site.asked[-1].splitlines()[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding"}
        assert site.header("accept-encoding") == "identity"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://10.0.0.1/a.png", '"10.0.0.1" is not a public host'),
        ("https://inside.test/a.png", '"inside.test" is not a public host'),
        ("https://[::ffff:169.254.169.254]/latest", "is not a public host"),
        ("http://outside.test/a.png", '"outside.test" is not fetched over plain http://'),
        ("http://127.0.0.2/a.png", '"127.0.0.2" is not fetched over plain http://'),
        ("https://me:pw@outside.test/", "has a user name or password"),
        ("file:///etc/passwd", '"file://" is not fetched'),
    ],
)
async def test_every_hop_is_checked(location: str, reason: str) -> None:
    """A trusted host may redirect to a refused one."""

    async def resolve(host: str, _port: int) -> list[str]:
        return {"inside.test": ["192.168.0.7"], "outside.test": [PUBLIC]}[host]

    async with serving({"/1": redirect(location)}) as site:
        said = await refusal(SafeHttpClient(HERE, resolve), site.url("/1"))
        assert said.startswith("after a redirect, ")
        assert reason in said


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/1": redirect("/1")}, "it redirects more than 5 times"),
        ({"/1": redirect("/2"), "/2": redirect("/1")}, "it redirects more than 5 times"),
        ({"/1": b"HTTP/1.1 302 Elsewhere\r\ncontent-length: 0\r\n\r\n"}, "redirects without a target"),
        ({"/1": redirect("https://pictures.test:none/")}, "redirects without a target"),
    ],
)
async def test_redirects_that_lead_nowhere(answers: dict[str, bytes], reason: str) -> None:
    """There is an error."""
    async with serving(answers) as site:
        assert reason in await refusal(SafeHttpClient(HERE), site.url("/1"))
        assert len(site.asked) <= 6


async def test_five_redirects_are_followed() -> None:
    """That is the documented number."""
    answers = {f"/{number}": redirect(f"/{number + 1}") for number in range(5)}
    async with serving({**answers, "/5": ok()}) as site:
        assert (await get(SafeHttpClient(HERE), site.url("/0"))).url == site.url("/5")


# --- bounds


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(b"x" * 1001), "it is larger than 1,000 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, "it is larger than 1,000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n",
            "it is larger than 1,000 bytes",
        ),
        (ok(gzip.compress(bytes(300_000)), "content-encoding: gzip"), "it is larger than 1,000 bytes"),
        (
            ok(gzip.compress(gzip.compress(bytes(50_000_000), 1)), "content-encoding: gzip, gzip"),
            "it is larger than 1,000 bytes",
        ),
        (ok(b"no gzip", "content-encoding: gzip"), "was interrupted"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "was interrupted"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "was interrupted"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", "was interrupted"),
        (b"", "was interrupted"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "was interrupted"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", '"127.0.0.1" answered HTTP 404'),
        (b"HTTP/1.1 204 No Content\r\n\r\n", '"127.0.0.1" answered HTTP 204'),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", '"127.0.0.1" answered HTTP 304'),
    ],
)
async def test_responses_that_are_refused(answer: bytes, reason: str) -> None:
    """Too large, also after decompression; cut off; or without content."""
    async with serving({"/a.png": answer}) as site:
        assert reason in await refusal(SafeHttpClient(HERE), site.url(), max_bytes=1000)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Gone), (404, Gone), (410, Gone), (401, FetchError), (429, FetchError), (503, FetchError)]
)
async def test_a_host_may_say_that_there_is_nothing_any_more(status: int, kind: type[FetchError]) -> None:
    """Other statuses may be of the moment."""
    async with serving({"/a.png": f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode()}) as site:
        with pytest.raises(FetchError) as caught:
            await get(SafeHttpClient(HERE), site.url())
        assert type(caught.value) is kind


async def test_an_announced_size_is_refused_before_the_body() -> None:
    """The server never sends the body."""
    async with serving({"/a.png": b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"}, hangs_after=True) as site:
        assert await refusal(SafeHttpClient(HERE), site.url(), max_bytes=1000) == "it is larger than 1,000 bytes"


async def test_the_largest_allowed_size_is_accepted() -> None:
    """Compressed or not."""
    answers = {"/1": ok(b"x" * 1000), "/2": ok(gzip.compress(b"x" * 1000), "content-encoding: gzip")}
    async with serving(answers) as site:
        assert [len((await get(SafeHttpClient(HERE), site.url(path), 1000)).content) for path in answers] == [
            1000,
            1000,
        ]


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
async def test_a_response_that_is_too_late_is_abandoned(answer: bytes | None) -> None:
    """No response, or a delay in the head or the body."""
    loop = asyncio.get_running_loop()
    async with serving({} if answer is None else {"/a.png": answer}, hangs_after=True) as site:
        began = loop.time()
        assert await refusal(SafeHttpClient(HERE), site.url(), within_s=20) == "it took more than 20 s"
        assert loop.time() - began == pytest.approx(20, abs=0.001)


async def test_a_slow_stream_ends_with_the_timeout() -> None:
    """Each byte is in time, but the whole response is not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(1)

    loop = asyncio.get_running_loop()
    async with listening(drip) as port:
        began = loop.time()
        said = await refusal(SafeHttpClient(HERE), f"http://127.0.0.1:{port}/", within_s=20)
        assert said == "it took more than 20 s"
        assert loop.time() - began == pytest.approx(20, abs=0.001)


async def test_lookups_do_not_wait_for_other_work_of_the_process() -> None:
    """Otherwise lookups that hang would use up the shared threads."""
    is_over = threading.Event()
    loop = asyncio.get_running_loop()
    hanging = [loop.run_in_executor(None, is_over.wait) for _ in range(100)]
    try:
        assert "127.0.0.1" in await resolve_by_system("127.0.0.1", 443)
    finally:
        is_over.set()
        await asyncio.gather(*hanging)


async def test_a_resolver_that_hangs_ends_with_the_timeout() -> None:
    """The lookup is part of the time limit."""

    async def never(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (
        await refusal(SafeHttpClient(NOBODY, never), "https://pictures.test/", within_s=20) == "it took more than 20 s"
    )
    assert loop.time() - began == pytest.approx(20, abs=0.001)


async def test_a_refused_connection_names_the_host() -> None:
    """No server listens there."""
    async with serving({}) as site:
        url = site.url()
    assert 'no connection to "127.0.0.1"' in await refusal(SafeHttpClient(HERE), url)


async def test_http_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would look up names themselves."""
    async with serving({"/a.png": ok()}) as site, serving({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert (await get(SafeHttpClient(HERE), site.url())).content == PNG
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("named", "media_type"),
    [
        ("text/html; charset=utf-8", "text/html"),
        ("IMAGE/SVG+XML", "image/svg+xml"),
        ("", None),
        ("nonsense", None),
        ("image/png, text/html", None),
        (f"image/{'x' * 65}", None),
    ],
)
async def test_a_valid_media_type_is_returned(named: str, media_type: str | None) -> None:
    """Without parameters, in lower case; other text is dropped."""
    async with serving({"/a.png": ok(PNG, f"content-type: {named}")}) as site:
        assert (await get(SafeHttpClient(HERE), site.url())).media_type == media_type


# --- certificates


async def test_certificates_are_verified_against_the_name(authority: Authority) -> None:
    """Although the connection goes to an address."""
    names = Names(["127.0.0.1"])
    safe_http = SafeHttpClient(TrustedHosts.parse(["pictures.test", "other.test", "127.0.0.1"]), names)
    async with serving({"/a.png": ok()}, authority.server("pictures.test")) as site:
        url = site.url(host="pictures.test", scheme="https")
        assert await get(safe_http, url) == Fetched(content=PNG, media_type=None, url=url)
        said = await refusal(safe_http, site.url(host="other.test", scheme="https"))
        assert 'no connection to "other.test"' in said
        assert "certificate is not valid for 'other.test'" in said
        assert "IP address mismatch" in await refusal(safe_http, site.url(scheme="https"))
        assert len(site.asked) == 1


async def test_a_certificate_for_an_address_is_valid_for_it(authority: Authority) -> None:
    """In this case no name is sent."""
    async with serving({"/a.png": ok()}, authority.server("127.0.0.1")) as site:
        assert (await get(SafeHttpClient(HERE), site.url(scheme="https"))).content == PNG


async def test_every_name_at_one_address_needs_its_certificate(authority: Authority) -> None:
    """A redirect to another name does not reuse the connection of the first."""
    async with serving({"/a.png": ok()}, authority.server("pictures.test")) as site:
        site.answers["/1"] = redirect(site.url(host="other.test", scheme="https"))
        safe_http = SafeHttpClient(TrustedHosts.parse(["pictures.test", "other.test"]), Names(["127.0.0.1"]))
        said = await refusal(safe_http, site.url("/1", "pictures.test", "https"))
        assert 'after a redirect, no connection to "other.test"' in said
        assert "not valid for 'other.test'" in said


async def test_https_redirects_to_http_at_trusted_hosts_only(authority: Authority) -> None:
    """Elsewhere the content could be replaced in transit."""
    async with (
        serving({"/a.png": ok()}) as plain,
        serving({}, authority.server("pictures.test")) as site,
    ):
        safe_http = SafeHttpClient(TrustedHosts.parse([f"pictures.test:{site.port}"]), Names(["127.0.0.1"]))
        site.answers["/1"] = redirect(plain.url(host="pictures.test"))
        first = site.url("/1", "pictures.test", "https")
        assert "plain http://" in await refusal(safe_http, first)
        assert plain.asked == []
        assert (await get(safe_http.with_trusted(plain.url(host="pictures.test")), first)).content == PNG


async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    """The environment's authorities replace the system's."""
    stranger = Authority(trustme.CA(), tmp_path / "stranger.pem")
    async with serving({"/a.png": ok()}, stranger.server("127.0.0.1")) as site:
        assert "CERTIFICATE_VERIFY_FAILED" in await refusal(SafeHttpClient(HERE), site.url(scheme="https"))
        assert site.asked == []


async def test_unreadable_authorities_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    said = await refusal(SafeHttpClient(HERE), "https://127.0.0.1:1/a.png")
    assert "the certificate authorities cannot be read" in said
    assert "SSL_CERT_FILE" in said


async def test_many_downloads_at_once_share_the_authorities(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read once, also for a client with more trusted hosts."""
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with serving({"/a.png": ok()}, authority.server("127.0.0.1")) as site:
        safe_http = SafeHttpClient(NOBODY)
        wider = safe_http.with_trusted(site.url(scheme="https"))
        await asyncio.gather(*(get(wider, site.url(scheme="https")) for _ in range(5)))
        file.unlink()
        assert (await get(safe_http.with_trusted(site.url(scheme="https")), site.url(scheme="https"))).content == PNG
