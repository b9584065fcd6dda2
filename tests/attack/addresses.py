"""Image addresses: private ones in every notation, redirects to them, and names whose address changes."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from access import connections_checked_by
from net.sites import redirect, serving

from attack.attempts import Ground, Outcome
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings.trusted_hosts import TrustedHosts

_PRIVATE = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
_METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16")
_PUBLIC = "93.184.216.34"
_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９。")


def forms(address: ipaddress.IPv4Address) -> Iterator[str]:
    """Yield the notations of an IPv4 address that URL parsers write or accept."""
    number, parts = int(address), address.packed
    a, b, c, d = parts
    yield from (str(address), f"{address}.", str(number), hex(number), f"0{number:o}")
    yield from (".".join(map(hex, parts)), ".".join(f"0{part:o}" for part in parts), f"{a}.{number & 0xFFFFFF}")
    yield from (f"{a}.{b}.{(c << 8) | d}", f"{hex(a)}.{b}.0{c:o}.{d}", ".".join(f"{part:03}" for part in parts))
    yield from (
        str(address).translate(_FULL_WIDTH),
        str(address).replace(".", "%2e"),
        f"%{ord(str(a)[0]):x}{str(address)[1:]}",
    )
    hexadecimal = f"{number >> 16:x}:{number & 0xFFFF:x}"
    for prefix in ("::ffff:", "::", "64:ff9b::", "::ffff:0:", "0:0:0:0:0:ffff:"):
        yield from (f"[{prefix}{address}]", f"[{prefix}{hexadecimal}]")
    yield from (
        f"[2002:{hexadecimal}::]",
        f"[2002:{hexadecimal}::1]",
        f"[64:ff9b:1::{hexadecimal}]",
        "[fe80::1%25eth0]",
    )
    yield from (f"[2001:0:{hexadecimal}::1]", f"[fd00::{hexadecimal}]", f"[fec0::{hexadecimal}]")


def some_private(random: Random, count: int) -> Iterator[ipaddress.IPv4Address]:
    """Yield the metadata addresses of clouds and some random private addresses."""
    yield from map(ipaddress.IPv4Address, _METADATA)
    for _ in range(count):
        network = ipaddress.IPv4Network(random.choice(_PRIVATE))
        yield network[random.randrange(network.num_addresses)]


@contextmanager
def connections(*, but: int | None = None) -> Iterator[list[str]]:
    """Collect the addresses that this process tries to connect to; only this port of 127.0.0.1 is reachable."""
    made: list[str] = []

    def refuse(address: Any) -> None:
        if address[:2] != ("127.0.0.1", but):
            made.append(address[0])
            raise PermissionError("no attack leaves this machine")

    with connections_checked_by(refuse):
        yield made


async def _refused(safe_http: SafeHttpClient, url: str) -> bool:
    try:
        await safe_http.get(url, max_bytes=1000, within_s=5)
    except FetchError:
        return True
    return False


async def private_addresses(ground: Ground) -> Outcome:
    """Fetch private addresses; no connection to one is made."""
    outcome = Outcome(unit="notations of private addresses")
    safe_http = SafeHttpClient(TrustedHosts.parse([]))
    for address in some_private(ground.random, ground.count(24)):
        for host in forms(address):
            with connections() as made:
                refused = await _refused(safe_http, f"https://{host}:{ground.random.randrange(1, 65536)}/a.png")
            outcome.attempt(held=refused and not made, what=f"{host} ({address})")
    return outcome


async def redirects(ground: Ground) -> Outcome:
    """Redirect the client from a trusted host; no other host is connected to."""
    outcome = Outcome(unit="redirects")
    schemes = ("https://{}/a", "http://{}/a", "//{}/a", "https://user:secret@{}/a", "ftp://{}/a", "gopher://{}:70/_x")
    places = [host for address in some_private(ground.random, ground.count(4)) for host in forms(address)]
    others = [
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "https://\x00/",
        "javascript:alert(1)",
        "",
        "\\\\host\\share",
    ]
    targets = [ground.random.choice(schemes).format(place) for place in places] + others
    async with serving({f"/{n}": redirect(target.replace("\r", "")) for n, target in enumerate(targets)}) as site:
        safe_http = SafeHttpClient(TrustedHosts.parse([f"127.0.0.1:{site.port}"]))
        for number, target in enumerate(targets):
            with connections(but=site.port) as made:
                refused = await _refused(safe_http, site.url(f"/{number}"))
            outcome.attempt(held=refused and not made, what=target)
    return outcome


async def rebinding(ground: Ground) -> Outcome:
    """Use names that resolve to a public address first and a private one later, or to both at once."""
    outcome = Outcome(unit="names whose address changes")
    for private in some_private(ground.random, ground.count(60)):
        answers = ground.random.choice(
            ([[_PUBLIC], [str(private)]], [[str(private)], [_PUBLIC]], [[_PUBLIC, str(private)]])
        )

        async def resolve(_host: str, _port: int, answers: list[list[str]] = answers) -> list[str]:
            return answers.pop(0) if len(answers) > 1 else answers[0]

        with connections() as made:
            await _refused(SafeHttpClient(TrustedHosts.parse([]), resolve), "https://rebind.test/a.png")
        outcome.attempt(held=set(made) <= {_PUBLIC}, what=f"{private} for {answers}")
    return outcome
