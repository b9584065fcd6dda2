"""`journey-mcp gallery` over real HTTP: who may call, what costs money, and what is refused."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from browser.local import serving_gallery
from manual_clock import ManualClock
from support import coarse, environment_of, make_request, running_studio

from journey_mcp import sandbox
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.server.local_gallery.access import Access
from journey_mcp.server.local_gallery.calls import TOOLS
from journey_mcp.server.local_gallery.confirmations import ConfirmationRequired, Confirmations
from journey_mcp.settings import Settings, read_settings

PAGE = "<!doctype html><style>p{margin:0}</style><p>Images</p><script>document.title = 1</script>"
KITE = {"prompt": "a kite", "model": "z-image"}
BOAT: dict[str, Any] = {"prompt": "a boat", "model": "midjourney", "wait_s": 60}
MIB = 1024 * 1024


@dataclass
class Browser:
    """A browser that has opened the address, and what is behind the gallery."""

    http: httpx2.AsyncClient
    access: Access
    upstream: sandbox.Running
    settings: Settings
    clock: ManualClock

    async def call(self, tool: str, confirmation: str | None = None, **arguments: Any) -> httpx2.Response:
        """Call a tool as the page does."""
        body = {"tool": tool, "arguments": arguments, **({"confirmation": confirmation} if confirmation else {})}
        return await self.post(json=body)

    async def post(self, **request: Any) -> httpx2.Response:
        """Send a call with any body."""
        headers = {"origin": str(self.http.base_url), **request.pop("headers", {})}
        return await self.http.post(f"{self.access.path}api/call", headers=headers, **request)

    async def confirmed(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, confirm the cost, and return the result."""
        asked = await self.call(tool, **arguments)
        assert asked.status_code == 409
        answer = await self.call(tool, asked.json()["confirmation"], **arguments)
        assert answer.status_code == 200
        result: dict[str, Any] = answer.json()
        return result

    @property
    def sent(self) -> list[Any]:
        """The creating requests that the provider received."""
        return list(self.upstream.sandbox.request_log.submissions)


@asynccontextmanager
async def gallery_at_sandbox(folder: Path, **more: str) -> AsyncIterator[Browser]:
    """Serve the gallery in this process with a key for a sandbox, or without; no browser has opened it yet."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = read_settings({**environment_of(upstream, folder, "journeyapi"), **more})
        async with serving_gallery(settings, running_studio, PAGE) as access:
            origin = access.url.partition("/?")[0]
            # no time limit: the certificates are read in a thread that manual time does not know
            async with httpx2.AsyncClient(base_url=origin, trust_env=False, verify=False, timeout=None) as http:
                yield Browser(http, access, upstream, settings, ManualClock())


@asynccontextmanager
async def opened_gallery(folder: Path, **more: str) -> AsyncIterator[Browser]:
    """Serve the gallery, and open its address."""
    async with gallery_at_sandbox(folder, **more) as browser:
        assert (await browser.http.get(browser.access.url)).status_code == 200
        yield browser


async def test_the_token_works_once(tmp_path: Path) -> None:
    """It becomes a cookie for one path; a program that previews the link does not use it up."""
    async with gallery_at_sandbox(tmp_path) as browser:
        access, http = browser.access, browser.http
        assert (await http.head(access.url)).status_code == 403
        assert (await http.get("/?token=guess")).status_code == 403
        assert (await http.get(access.path)).status_code == 403
        entered = await http.get(access.url)
        name, _, attributes = entered.headers["set-cookie"].partition("=")
        assert name == f"journey_gallery_{http.base_url.port}"
        assert attributes.split("; ")[1:] == [f"Path={access.path}", "HttpOnly", "SameSite=Strict"]
        assert f'content="0;url={access.path}"' in entered.text
        assert (await http.get(access.path)).text == PAGE
        http.cookies.clear()
        again = await http.get(access.url)
        assert again.status_code == 403
        assert "start journey-mcp gallery again for a new address" in again.text
        assert "set-cookie" not in again.headers


async def test_without_the_cookie_nothing_is_served(tmp_path: Path) -> None:
    """Nor with one of another value."""
    async with opened_gallery(tmp_path) as browser:
        assert (await browser.http.get(f"{browser.access.path}api/config")).status_code == 200
        browser.http.cookies.clear()
        for cookies in ({}, {"cookie": f"journey_gallery_{browser.http.base_url.port}=guess"}):
            answers = [
                await browser.http.get(browser.access.path, headers=cookies),
                await browser.http.get(f"{browser.access.path}api/config", headers=cookies),
                await browser.post(json={"tool": "imagine", "arguments": KITE}, headers=cookies),
            ]
            assert [answer.status_code for answer in answers] == [403, 403, 403]
        assert browser.sent == []


HEADERS_OF_OTHERS = [
    ({"host": "evil.test"}, "the host of this address is not allowed"),
    ({"host": "127.0.0.1"}, "the host of this address is not allowed"),
    ({"host": "127.0.0.1:1"}, "the host of this address is not allowed"),
    ({"origin": "https://evil.test"}, "pages of other origins are not allowed"),
    ({"origin": "null"}, "pages of other origins are not allowed"),
    ({"origin": "http://127.0.0.1:1"}, "pages of other origins are not allowed"),
    ({"origin": "http://localhost:{port}"}, "pages of other origins are not allowed"),
    ({"sec-fetch-site": "cross-site"}, "requests of other sites are not allowed"),
    ({"sec-fetch-site": "same-site"}, "requests of other sites are not allowed"),
]


async def test_requests_of_others_are_refused(tmp_path: Path) -> None:
    """Of other hosts (DNS rebinding) and of other pages, also of those at another port; with the cookie as well."""
    async with opened_gallery(tmp_path) as browser:
        for headers, words in HEADERS_OF_OTHERS:
            sent = {name: value.format(port=browser.http.base_url.port) for name, value in headers.items()}
            answers = [
                await browser.http.get(browser.access.path, headers=sent),
                await browser.http.get(f"{browser.access.path}api/config", headers=sent),
                await browser.post(json={"tool": "imagine", "arguments": KITE}, headers=sent),
            ]
            assert [(answer.status_code, answer.json()) for answer in answers] == [
                (403, {"error": f"Refused: {words}."})
            ] * 3, headers
            assert browser.sent == [], headers


async def test_a_call_without_an_origin_is_refused(tmp_path: Path) -> None:
    """Browsers send it with every POST."""
    async with opened_gallery(tmp_path) as browser:
        body = {"tool": "fetch_task", "arguments": {}}
        answer = await browser.http.post(f"{browser.access.path}api/call", json=body)
        assert (answer.status_code, answer.json()["error"]) == (
            403,
            "Refused: a call without an origin is not allowed.",
        )


async def test_the_address_may_be_a_link_of_another_site(tmp_path: Path) -> None:
    """A terminal may be a web page: the token proves enough."""
    async with gallery_at_sandbox(tmp_path) as browser:
        entered = await browser.http.get(browser.access.url, headers={"sec-fetch-site": "cross-site"})
        assert entered.status_code == 200
        assert (await browser.http.get(browser.access.path, headers={"sec-fetch-site": "same-origin"})).text == PAGE


async def test_every_response_is_kept_from_other_pages_and_caches(tmp_path: Path) -> None:
    """Pages, errors and results."""
    async with opened_gallery(tmp_path) as browser:
        answers = [
            await browser.http.get(browser.access.path),
            await browser.http.get("/?token=guess"),
            await browser.http.get("/other"),
            await browser.http.get("/", headers={"host": "evil.test"}),
            await browser.call("fetch_task"),
        ]
        assert [answer.status_code for answer in answers] == [200, 403, 404, 403, 200]
        for answer in answers:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in answer.headers


async def test_only_the_scripts_of_the_page_run(tmp_path: Path) -> None:
    """The policy names them by their digests, and no other address."""
    async with opened_gallery(tmp_path) as browser:
        policy = (await browser.http.get(browser.access.path)).headers["content-security-policy"]
        rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
        digest = base64.b64encode(hashlib.sha256(b"document.title = 1").digest()).decode()
        assert rules["script-src"] == [f"'sha256-{digest}'"]
        assert len(rules["style-src"]) == 1
        assert rules["default-src"] == rules["frame-ancestors"] == rules["form-action"] == ["'none'"]
        assert rules["connect-src"] == ["'self'"]
        assert not re.search(r"unsafe|http|\*", policy)


async def test_the_page_learns_what_it_can_do(tmp_path: Path) -> None:
    """The tools that are offered and that it may call."""
    async with opened_gallery(tmp_path) as browser:
        config = (await browser.http.get(f"{browser.access.path}api/config")).json()
        assert config["can_pay"] is True
        assert {"imagine", "edit_image", "fetch_task", "cancel_task"} <= set(config["tools"]) <= set(TOOLS)


async def test_a_call_that_costs_money_is_made_when_its_cost_is_confirmed(tmp_path: Path) -> None:
    """The first answer names the cost, and nothing is sent; no setting asks for a confirmation here."""
    async with opened_gallery(tmp_path) as browser:
        asked = await browser.call("imagine", **KITE)
        assert asked.status_code == 409
        question = asked.json()
        assert question | {"confirmation": ""} == {
            "confirmation": "",
            "question": "Make an image with z-image at journeyapi for about 2 credits?",
            "model": "z-image",
            "provider": "journeyapi",
            "cost": {"amount": "2", "unit": "credits", "is_known": True},
        }
        assert browser.sent == []
        made = await browser.call("imagine", question["confirmation"], **KITE)
        assert made.status_code == 200
        result = made.json()
        assert result["structuredContent"]["status"] == "succeeded"
        assert result["content"][0]["type"] == "text"
        assert len(browser.sent) == 1


async def test_a_confirmation_is_for_one_call_and_its_arguments(tmp_path: Path) -> None:
    """Others are asked about again."""
    async with opened_gallery(tmp_path) as browser:
        confirmation = (await browser.call("imagine", **KITE)).json()["confirmation"]
        assert (await browser.call("edit_image", confirmation, **KITE)).status_code == 200
        assert (await browser.call("imagine", confirmation, **BOAT)).status_code == 409
        assert (await browser.call("imagine", "guess", **KITE)).status_code == 409
        assert browser.sent == []
        confirmation = (await browser.call("imagine", **KITE)).json()["confirmation"]
        assert (await browser.call("imagine", confirmation, **KITE)).status_code == 200
        assert (await browser.call("imagine", confirmation, **KITE, fresh=True)).status_code == 409
        assert len(browser.sent) == 1


async def test_a_confirmation_is_for_one_cost(tmp_path: Path) -> None:
    """A provider on cooldown is tried last: the cost is that of another one now."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        confirmations = Confirmations(anyio.current_time)
        settings = read_settings(environment_of(upstream, tmp_path, "journeyapi", "bfl"))
        async with running_studio(settings) as studio:
            request = make_request(model="flux-2-max")
            with pytest.raises(ConfirmationRequired, match="at journeyapi for about") as raised:
                await studio.create(request, LOCAL, confirm=confirmations.for_call("c", None))
            upstream.sandbox.faults.replace([sandbox.Fault.parse("journeyapi/submit:status=402,times=always")])
            failed = await studio.create(make_request(model="flux-2-max", prompt="x"), Principal("other"))
            await studio.wait_for_new(failed.task, 60)
            confirm = confirmations.for_call("c", raised.value.confirmation)
            with pytest.raises(ConfirmationRequired, match="at bfl for about"):
                await studio.create(request, LOCAL, confirm=confirm)


async def test_a_confirmation_expires(tmp_path: Path) -> None:
    """A page that was left open does not pay a price of yesterday."""
    async with opened_gallery(tmp_path) as browser:
        confirmation = (await browser.call("imagine", **KITE)).json()["confirmation"]
        browser.clock.advance(601)
        assert (await browser.call("imagine", confirmation, **KITE)).status_code == 409
        assert browser.sent == []


async def test_old_questions_are_forgotten(tmp_path: Path) -> None:
    """Memory is limited; the person has declined them."""
    async with opened_gallery(tmp_path) as browser:
        first = (await browser.call("imagine", **KITE)).json()["confirmation"]
        for _ in range(100):
            assert (await browser.call("imagine", **BOAT)).status_code == 409
        assert (await browser.call("imagine", first, **KITE)).status_code == 409


async def test_budgets_hold_and_are_checked_before_the_question(tmp_path: Path) -> None:
    """And nobody is asked twice because of JOURNEY_MCP_CONFIRM_ABOVE."""
    limits = {"JOURNEY_MCP_BUDGET": "5credits/day", "JOURNEY_MCP_CONFIRM_ABOVE": "1credits"}
    async with opened_gallery(tmp_path, **limits) as browser:
        made = await browser.confirmed("imagine", **BOAT)
        assert made["structuredContent"]["status"] == "succeeded"
        over = await browser.call("imagine", **KITE)
        assert over.status_code == 200
        assert over.json()["isError"] is True
        failed = over.json()["structuredContent"]
        assert failed["error"]["code"] == "over_budget"
        assert "the person" not in failed["next_step"]
        assert len(browser.sent) == 1


async def test_the_sandbox_is_free_and_needs_no_confirmation(tmp_path: Path) -> None:
    """Without a key."""
    async with opened_gallery(tmp_path, JOURNEYAPI_API_KEY="", JOURNEYAPI_BASE_URL="") as browser:
        made = await browser.call("imagine", **KITE, wait_s=60)
        assert made.status_code == 200
        assert made.json()["structuredContent"]["provider"] == "sandbox"


async def test_a_running_duplicate_is_returned_without_a_question(tmp_path: Path) -> None:
    """It costs nothing more."""
    async with opened_gallery(tmp_path) as browser:
        browser.upstream.sandbox.faults.replace([sandbox.Fault.parse("fetch:status=503,times=always")])
        first = await browser.confirmed("imagine", **BOAT | {"wait_s": 0})
        again = await browser.call("imagine", **BOAT | {"wait_s": 0})
        assert again.status_code == 200
        assert again.json()["structuredContent"]["task_id"] == first["structuredContent"]["task_id"]
        assert len(browser.sent) == 1


async def test_tasks_of_chat_clients_on_the_same_database_are_seen(tmp_path: Path) -> None:
    """And those of other principals are not."""
    async with opened_gallery(tmp_path) as browser, running_studio(browser.settings) as chat:
        mine = await chat.wait_for_new((await chat.create(make_request(), LOCAL)).task, 60)
        other = (await chat.create(make_request(prompt="secret"), Principal("other"))).task
        listed = (await browser.call("fetch_task")).json()["structuredContent"]["tasks"]
        assert [task["task_id"] for task in listed] == [mine.id]
        asked = await browser.call("fetch_task", task_ids=[other.id])
        assert asked.json()["isError"] is True
        assert asked.json()["structuredContent"]["tasks"][0]["error"]["code"] == "unknown_task"


async def test_results_have_no_secrets(tmp_path: Path) -> None:
    """As over MCP."""
    async with opened_gallery(tmp_path) as browser:
        answer = await browser.call("imagine", prompt="journeyapi-secret-key", model="nobody")
        assert answer.json()["isError"] is True
        assert "journeyapi-secret-key" not in answer.text


WRONG_BODIES: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "The body must be application/json."),
    ({"content": b"{}"}, 415, "The body must be application/json."),
    ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "The body is not JSON"),
    ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 400, "The body is not JSON"),
    ({"json": []}, 400, 'The body must be {"tool"'),
    ({"json": {"tool": "imagine"}}, 400, 'The body must be {"tool"'),
    ({"json": {"tool": 1, "arguments": {}}}, 400, 'The body must be {"tool"'),
    ({"json": {"tool": "imagine", "arguments": {}, "confirmation": 1}}, 400, 'The body must be {"tool"'),
    ({"json": {"tool": "imagine", "arguments": {}, "more": 1}}, 400, 'The body must be {"tool"'),
    ({"json": {"tool": "delete", "arguments": {}}}, 400, "The page cannot call 'delete'; it can call imagine, "),
    ({"content": b"[" * 200, "headers": {"content-type": "application/json"}}, 400, "nested more than"),
    ({"json": {"tool": "x" * (MIB + 1), "arguments": {}}}, 413, "The body is larger than 1,048,576 bytes."),
]


async def test_a_wrong_body_is_refused(tmp_path: Path) -> None:
    """With a sentence that says what is wrong."""
    async with opened_gallery(tmp_path) as browser:
        for request_, status, words in WRONG_BODIES:
            answer = await browser.post(**request_)
            assert answer.status_code == status, words
            assert words in answer.json()["error"]
            assert browser.sent == []


async def test_a_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    """After 30 s; a client that disconnects is nothing to report."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(40)
        yield b"}"

    async with opened_gallery(tmp_path) as browser:
        answer = await browser.post(content=slow(), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (408, "The body did not arrive within 30 s.")


async def test_many_large_bodies_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A later call has room."""
    release = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b" " * (MIB - 100)
        await release.wait()
        yield b"{}"

    async with opened_gallery(tmp_path) as browser:
        headers = {"content-type": "application/json"}
        holding = [asyncio.create_task(browser.post(content=held(), headers=headers)) for _ in range(16)]
        await browser.clock.sleep(1)
        refused = await browser.post(content=b" " * (MIB - 100), headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (
            503,
            "Other calls fill the memory; try again in a moment.",
        )
        release.set()
        assert {answer.status_code for answer in await asyncio.gather(*holding)} == {400}
        assert (await browser.call("fetch_task")).status_code == 200


async def test_a_studio_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    """The next call tries again."""
    file = tmp_path / "file"
    file.write_text("not a folder")
    async with opened_gallery(tmp_path, JOURNEY_MCP_DATA_DIR=str(file / "data")) as browser:
        answer = await browser.call("fetch_task")
        assert answer.status_code == 503
        assert answer.json()["error"]


def test_the_default_port_of_http_is_left_out_by_browsers() -> None:
    """So the host has none."""
    assert Access(80).hosts == ("127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost")
