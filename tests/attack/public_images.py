"""Links to stored images, forged and swapped; and pages that pass themselves off as images."""

import math
import re
from base64 import b64encode
from random import Random
from typing import Any
from urllib.parse import quote

import httpx2
from server.auth.served import SERVER, Served, serving_with
from server.auth.test_two_principals import two_principals

from attack.attempts import Ground, Outcome
from attack.wire import Response, exchange, raw
from journey_mcp import sandbox
from journey_mcp.core.principals import Principal
from journey_mcp.engine.purge import Purge, Selection
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import open_store

_COPIED: dict[str, Any] = {"model": "flux-2-pro", "provider": "bfl", "wait_s": 60}
"""Its links expire soon, so that results carry links of ours."""
_LINK = re.compile(r"(/images/)([^?]+)\?e=(\d+)&s=([0-9a-f]+)")
_SHOWN_BY_BROWSERS = {"image/png", "image/jpeg", "image/webp", "image/avif", "image/gif"}
_DISGUISED = (
    *("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "<?xml version='1.0'?><svg/>", "\ufeff<svg/>"),
    *("<!doctype html><script>alert(1)</script>", "<html>", " \n<HTML><body onload=alert(1)>", "<!-- --><script>"),
    *("GIF89a=1/*<script>alert(1)</script>*/", "GIF87a<svg onload=alert(1)>", "BM<script>", "%PDF-1.7 <script>"),
    *("javascript:alert(1)", "RIFF0000WEBP<script>", '{"image": "<svg/>"}', "#!/bin/sh\necho", "<xsl:stylesheet/>"),
)


async def _get(served: Served, target: str, method: str = "GET", **headers: str) -> Response:
    usual = {"host": "cdn.test", "connection": "close"} | {n.replace("_", "-"): value for n, value in headers.items()}
    return await exchange(served.address, raw(method, target, usual.items()))


async def _linked(served: Served, token: str, prompt: str) -> str:
    """Make an image and return its link, without the server's URL."""
    made = (await served.call(token, "imagine", prompt=prompt, **_COPIED)).structured
    return str(made["images"][0]["url"]).removeprefix(SERVER)


def _forged(random: Random, link: str, other: str) -> str:
    """Return a link that is not ours, made of two that are."""
    match, foreign = _LINK.fullmatch(link), _LINK.fullmatch(other)
    assert match
    assert foreign
    path, name, expiry, signature = match.groups()
    position = random.randrange(len(signature))
    digit = random.choice([digit for digit in "0123456789abcdef" if digit != signature[position]])
    names = (
        *(foreign[2], f"../images/{name}", f"x/../{name}", f"./{name}", f"{name}/", f"{name}%00", f"{name}%00.png"),
        *(
            name.replace(".1", ".2"),
            name.replace(".", "%252e"),
            name.replace(".jpg", ".svg"),
            name.replace(".jpg", ".html"),
        ),
        *(
            name.upper(),
            f"..%2f..%2ftasks.db%23{name}",
            f"%2e%2e%2f{name}",
            f"..%5c{name}",
            f"//{name}",
            f"{name};.svg",
        ),
    )
    signatures = (
        *(
            signature[:position],
            signature + "0",
            signature.upper(),
            signature[:position] + digit + signature[position + 1 :],
        ),
        *("", foreign[4], "%00" + signature, signature + "%0a", quote("é" * 32), f"{signature}&s={foreign[4]}"),
    )
    expiries = (
        str(int(expiry) + random.choice((1, 3600, -3600))),
        "9" * 12,
        f"0{expiry}",
        f"{expiry}.0",
        f"+{expiry}",
        "inf",
    )
    return random.choice(
        (
            f"{path}{random.choice(names)}?e={expiry}&s={signature}",
            f"{path}{name}?e={expiry}&s={random.choice(signatures)}",
            f"{path}{name}?e={random.choice(expiries)}&s={signature}",
            f"{path}{foreign[2]}?e={foreign[3]}&s={signature}",
            f"{path}{name}",
            f"{path}{name}?s={signature}",
            f"{path}{name}?E={expiry}&S={signature}",
        )
    )


async def image_links(ground: Ground) -> Outcome:
    """Forged, swapped, and kept beyond the deletion of the image: all answers are those for an unknown image."""
    outcome = Outcome(unit="requests with links to images")
    folder = ground.folder
    async with two_principals(folder, JOURNEY_MCP_SERVER_URL=SERVER) as (served, ada, bob):
        links = [await _linked(served, ada, "a kite"), await _linked(served, bob, "a boat")]
        unknown = await _get(served, f"/images/tsk_{'A' * 22}.1.jpg?e=1795880123&s={'0' * 32}")
        outcome.attempt(held=unknown.status == 404, what=f"{unknown.status} for an unknown image")
        for _ in range(ground.count(2_000)):
            forged = _forged(ground.random, *ground.random.sample(links, 2))
            if forged in links:
                continue
            method = ground.random.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT"))
            headers = ground.random.choice(
                ({}, {"range": "bytes=0-"}, {"if_none_match": "*"}, {"x_original_url": links[0]})
            )
            answer = await _get(served, forged, method, **headers)
            held = answer.status in {404, 405} and (method != "GET" or _told(answer) == _told(unknown))
            outcome.attempt(held=held, what=f"{method} {forged} {headers}: {answer.status}")
        await _genuine(served, links, ground, outcome)
        async with open_store(f"sqlite:///{folder}/tasks.db") as store:
            deletion = Selection(before=math.inf, principal=Principal("token:ada"))
            await Purge(store, ImageFolder(folder)).run(deletion)
        deleted, kept = [await _get(served, link) for link in links]
        outcome.attempt(held=_told(deleted) == _told(unknown), what=f"{deleted.status} for a deleted image")
        outcome.attempt(held=kept.status == 200, what=f"{kept.status} for the image of another principal")
    other = {"JOURNEY_MCP_TOKENS_FILE": str(folder / "tokens"), "JOURNEY_MCP_SERVER_URL": SERVER}
    async with serving_with(folder / "other", **other) as elsewhere:
        await elsewhere.call(ada, "fetch_task")
        for link in links:
            answer = await _get(elsewhere, link)
            outcome.attempt(held=answer.status == 404, what=f"a link of a server with another secret: {answer.status}")
    return outcome


def _told(answer: Response) -> tuple[str, str]:
    """Return what an answer tells, without its date."""
    return re.sub(r"(?mi)^date:.*$", "", answer.head), answer.body


async def _genuine(served: Served, links: list[str], ground: Ground, outcome: Outcome) -> None:
    """Read images with their links, and abuse ranges and methods: never more than the image, and safe to show."""
    whole = {link: (await _get(served, link)).header("content-length") for link in links}
    many = ",".join(f"{n}-{n}" for n in range(2_000))
    ranges = (
        "bytes=0-",
        f"bytes={many}",
        "bytes=-1",
        "bytes=99999999999999-",
        f"bytes={'9' * 400}-",
        "bytes=0-0,-1",
        "x",
    )
    for _ in range(ground.count(300)):
        link, method = ground.random.choice(links), ground.random.choice(("GET", "HEAD"))
        answer = await _get(served, link, method, range=ground.random.choice(ranges))
        length = int(answer.header("content-length") or 0)
        held = (
            answer.status in {200, 206, 416}
            and length <= int(whole[link] or 0)
            and (method == "GET" or not answer.body)
        )
        outcome.attempt(held=held and problem_of_image(answer) is None, what=f"{method} {link}: {answer.head}")


def problem_of_image(answer: Response) -> str | None:
    """Return how a browser could run what was sent; `None` if it cannot."""
    kind = (answer.header("content-type") or "text/plain").partition(";")[0]
    if answer.header("x-content-type-options") != "nosniff":
        return "a browser may guess the type"
    if "sandbox" not in (answer.header("content-security-policy") or ""):
        return "scripts may run"
    if answer.status in {200, 206} and kind not in _SHOWN_BY_BROWSERS:
        return f"{kind} is shown"
    return None if kind in _SHOWN_BY_BROWSERS or kind == "text/plain" else f"an error is {kind}"


async def disguised_images(ground: Ground) -> Outcome:
    """Pages and drawings as uploads, as images of calls and as results of providers: none is served as it came."""
    outcome = Outcome(unit="pages and drawings passed off as images")
    async with two_principals(ground.folder, JOURNEY_MCP_SERVER_URL=SERVER) as (served, ada, _):
        for number in range(ground.count(120)):
            disguised = ground.random.choice(_DISGUISED)
            kind = ground.random.choice(("image/png", "image/svg+xml", "text/html", "image/gif"))
            await _upload(served, ada, disguised.encode(), kind, outcome)
            fault = sandbox.Fault(on="image", kind="status_after", status=200, body=disguised, times=None)
            served.upstream.sandbox.faults.replace([fault])
            made = (await served.call(ada, "imagine", prompt=f"kite {number}", **_COPIED)).structured
            for image in made.get("images", ()):
                if str(image.get("url", "")).startswith(f"{SERVER}/images/"):
                    answer = await _get(served, image["url"].removeprefix(SERVER))
                    problem = problem_of_image(answer) or ("<" in answer.body and "it is served")
                    outcome.attempt(held=not problem, what=f"{disguised!r}: {problem}")
                else:
                    outcome.attempts += 1
            viewed = await served.call(ada, "view_image", image_ids=[made["task_id"]])
            shown = [part for part in viewed.message["result"]["content"] if part["type"] == "image"]
            outcome.attempt(held=not shown, what=f"{disguised!r} is shown")
    return outcome


async def _upload(served: Served, token: str, content: bytes, kind: str, outcome: Outcome) -> None:
    """Upload a page, and give it to a call: both are refused."""
    headers = {"authorization": f"Bearer {token}", "content-type": kind}
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=None) as http:
        answer = await http.post(f"{served.address}/images", content=content, headers=headers)
    held = answer.status_code == 400 and answer.headers["content-type"] == "application/json"
    outcome.attempt(held=held, what=f"{content!r}: {answer.status_code} {answer.text}")
    data = f"data:{kind};base64,{b64encode(content).decode()}"
    kept = (await served.call(token, "keep_image", data=data)).message["result"]
    outcome.attempt(held=kept.get("isError") is True, what=f"{content!r} was kept: {kept}")
