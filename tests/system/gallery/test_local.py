"""`journey-mcp gallery` in a real browser: all images by day, search, and every cost confirmed in the page."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser.accessibility import violations
from browser.apps import watch
from browser.chromium import context_options
from browser.environment import Environment, Yesterday, make_environment, open_in_real_time
from browser.local import serving_gallery

from journey_mcp.gallery import page as gallery_page

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ASKED = "409 (Conflict)"
"""Chromium reports every such response; here it is the question about a cost."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The page, and what is behind it."""

    page: "Page"
    here: Environment

    async def tiles(self) -> list[str]:
        """Return the alternative texts of all tiles."""
        found = await self.page.locator(".tile img").all()
        return [await one.get_attribute("alt") or "" for one in found]

    async def open_first(self) -> None:
        """Open the newest image."""
        await self.page.locator(".tile .open").first.click()
        await self.page.wait_for_selector("#large[src]")

    async def answer(self, name: str) -> str:
        """Press a button of the question; return the question."""
        dialog = self.page.locator("dialog[open]")
        await dialog.wait_for()
        question = str(await dialog.inner_text())
        await dialog.get_by_role("button", name=re.compile(name)).click()
        return question


@asynccontextmanager
async def opened_page(browser: "Browser", folder: Path, *prompts: str, **options: Any) -> AsyncIterator[Opened]:
    """Open the address of a new gallery, after a chat has made these images; at the end nothing was wrong."""
    problems: list[str] = []
    async with make_environment(folder) as here:
        for prompt in prompts:
            await here.client.call_tool("imagine", {"prompt": prompt, "model": "z-image", "wait_s": 30})
        async with serving_gallery(here.settings, open_in_real_time, gallery_page()) as access:
            context = await browser.new_context(**context_options(viewport={"width": 1280, "height": 800}, **options))
            watch(context, problems)
            page = await context.new_page()
            await page.goto(access.url)
            await page.wait_for_url(f"**{access.path}")
            await page.wait_for_selector("#query")
            yield Opened(page=page, here=here)
            await context.close()
    assert [problem for problem in problems if _ASKED not in problem] == []


async def test_all_images_are_listed_by_day(browser: "Browser", tmp_path: Path) -> None:
    """The newest first, with what was spent; those of yesterday were made by another server."""
    async with make_environment(tmp_path, clock=Yesterday()) as here:
        await here.client.call_tool("imagine", {"prompt": "a grey owl", "model": "z-image", "wait_s": 30})
    async with opened_page(browser, tmp_path, "a red kite", "a blue boat") as opened:
        assert await opened.page.locator("h2").all_inner_texts() == ["Today", "Yesterday"]
        assert await opened.tiles() == ["a blue boat", "a red kite", "a grey owl"]
        facts = await opened.page.inner_text("#facts")
        assert "Today: 4 credits" in facts
        assert "30 days: 6 credits" in facts
        assert await violations(opened.page.main_frame) == []


async def test_images_are_found_by_words(browser: "Browser", tmp_path: Path) -> None:
    """And it is said if there are none."""
    async with opened_page(browser, tmp_path, "a red kite", "a blue boat") as opened:
        await opened.page.fill("#query", "kite")
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile').length === 1")
        assert await opened.tiles() == ["a red kite"]
        await opened.page.fill("#query", "zeppelin")
        await opened.page.wait_for_selector("[data-state=empty]")
        await opened.page.fill("#query", "")
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")


async def test_older_images_are_loaded_when_the_person_asks(browser: "Browser", tmp_path: Path) -> None:
    """Twenty tasks at a time."""
    prompts = [f"boat {number}" for number in range(23)]
    async with opened_page(browser, tmp_path, *prompts) as opened:
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile').length === 20")
        await opened.page.get_by_role("button", name="Load more").click()
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile').length === 23")
        assert await opened.tiles() == prompts[::-1]
        assert not await opened.page.get_by_role("button", name="Load more").is_visible()


async def test_an_edit_is_made_when_its_cost_is_confirmed(browser: "Browser", tmp_path: Path) -> None:
    """The question names the cost and the provider; declining costs nothing."""
    async with opened_page(browser, tmp_path, "a red kite") as opened:
        sent = len(opened.here.sent)
        await opened.open_first()
        await opened.page.click("#edit")
        await opened.page.fill("#instruction", "make it green")
        await opened.page.click("#submit")
        question = await opened.answer("Cancel")
        assert re.search(r"at (journeyapi|bfl) for about [\d.]+ (credits|usd)", question)
        assert len(opened.here.sent) == sent
        await opened.page.click("#submit")
        await opened.answer("Pay")
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
        assert len(opened.here.sent) == sent + 1
        assert opened.here.sent[-1]["prompt"] == "make it green"


async def test_a_refinement_is_confirmed_too(browser: "Browser", tmp_path: Path) -> None:
    """With its cost on the button and in the question."""
    async with opened_page(browser, tmp_path, "a red kite") as opened:
        sent = len(opened.here.sent)
        await opened.open_first()
        upscale = opened.page.locator("#actions button", has_text=re.compile("upscale 2", re.IGNORECASE)).first
        assert re.search(r"\d credits?", await upscale.inner_text())
        await upscale.click()
        await opened.answer("Cancel")
        assert len(opened.here.sent) == sent
        await upscale.click()
        await opened.answer("Pay")
        await opened.page.wait_for_function("() => document.querySelectorAll('.tile, .card').length > 1")
        assert len(opened.here.sent) == sent + 1


async def test_the_page_says_when_its_server_has_ended(browser: "Browser", tmp_path: Path) -> None:
    """After Ctrl-C in the terminal."""
    problems: list[str] = []
    async with make_environment(tmp_path) as here:
        context = await browser.new_context(**context_options())
        watch(context, problems)
        page = await context.new_page()
        async with serving_gallery(here.settings, open_in_real_time, gallery_page()) as access:
            await page.goto(access.url)
            await page.wait_for_selector("#query")
        await page.fill("#query", "kite")
        await page.wait_for_selector("#banner", state="visible")
        assert "Is it still running?" in await page.inner_text("#banner")
        await context.close()
    assert all("ERR_CONNECTION_REFUSED" in problem for problem in problems)


async def test_the_address_opens_the_gallery_in_one_browser(browser: "Browser", tmp_path: Path) -> None:
    """A second one learns nothing."""
    async with (
        make_environment(tmp_path) as here,
        serving_gallery(here.settings, open_in_real_time, "<p>page") as access,
    ):
        contexts = [await browser.new_context() for _ in range(2)]
        first, second = [await context.new_page() for context in contexts]
        await first.goto(access.url)
        await first.wait_for_url(f"**{access.path}")
        assert await first.inner_text("p") == "page"
        assert await first.evaluate("document.cookie") == ""
        await second.goto(access.url)
        assert "works once" in await second.inner_text("p")
        await second.goto(access.url.partition("?")[0] + access.path[1:])
        assert "works once" in await second.inner_text("p")
        for context in contexts:
            await context.close()


async def test_another_page_cannot_make_calls(browser: "Browser", tmp_path: Path) -> None:
    """Neither of another site nor of another port of this machine, though the browser has the cookie."""
    async with (
        make_environment(tmp_path) as here,
        serving_gallery(here.settings, open_in_real_time, "<p>page") as access,
    ):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(access.url)
        await page.wait_for_url(f"**{access.path}")
        address = f"{access.url.partition('/?')[0]}{access.path}api/call"
        body = '{"tool": "imagine", "arguments": {"prompt": "x", "model": "z-image"}}'
        attack = """async ([address, body]) => {
            const results = [];
            for (const type of ["application/json", "text/plain"]) {
                const options = { method: "POST", credentials: "include", headers: { "content-type": type }, body };
                results.push(await fetch(address, options).then((one) => one.status, () => "blocked"));
            }
            return results;
        }"""
        for origin in ("https://evil.test", "http://127.0.0.1:1"):
            await context.route(f"{origin}/", lambda route: route.fulfill(content_type="text/html", body="<p>evil"))
            await page.goto(f"{origin}/")
            assert await page.evaluate(attack, [address, body]) == ["blocked", "blocked"]
        assert here.sent == []
        await context.close()
