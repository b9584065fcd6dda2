"""`make screenshots`: draw the screenshots of docs/gallery.md, of the README, and the references of the tests."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import isolate

from browser import sheets
from browser.apps import app_host
from browser.chromium import context_options, launched, missing
from browser.local import serving_gallery
from browser.states import BOAT, LIGHTHOUSE, STATES, Stage, show
from browser.world import make_world, open_in_real_time
from journey_mcp.gallery import page as gallery_page

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "docs" / "gallery"
_REFERENCES = _ROOT / "tests" / "system" / "gallery" / "references"
_THEMES = ("light", "dark")
_DESKTOP, _PHONE = {"width": 700, "height": 500}, {"width": 375, "height": 500}
_LARGE_DESKTOP, _LARGE_PHONE = {"width": 1180, "height": 760}, {"width": 375, "height": 760}
_ROWS = (("inline", (_DESKTOP, _PHONE)), ("fullscreen", (_LARGE_DESKTOP, _LARGE_PHONE)))
_HEIGHTS = (330, 480)


async def _main() -> int:
    if reason := missing():
        sys.stderr.write(f"{reason}\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        isolate(Path(folder))
        async with launched() as browser:
            for name in STATES:
                _report(name, await _draw_state(browser, Path(folder, name), name))
            await _draw_page(browser, Path(folder, "page"))
            await _draw_references(browser, Path(folder, "references"))
    total = sum(file.stat().st_size for file in _FOLDER.glob("*.png"))
    sys.stdout.write(f"{total:,} bytes in docs/gallery\n")
    return 0


async def _draw_state(browser: "Browser", folder: Path, name: str) -> int:
    """Draw a state inline and in full screen, on a desktop and on a phone, in both themes."""
    rows: list[list[bytes]] = []
    for display, sizes in _ROWS:
        rows.append([])
        for viewport in sizes:
            is_phone = viewport["width"] < _DESKTOP["width"]
            async with _stage(browser, folder, viewport=viewport, has_touch=is_phone) as stage:
                for theme in _THEMES:
                    context = {"theme": theme, "displayMode": display, "platform": "mobile" if is_phone else "web"}
                    rows[-1].append(await _shot(stage, name, context))
    return sheets.save(sheets.sheet(rows, _HEIGHTS), _FOLDER / f"{name}.png")


@asynccontextmanager
async def _stage(browser: "Browser", folder: Path, **options: Any) -> AsyncIterator[Stage]:
    width = options["viewport"]["width"]
    async with (
        make_world(folder / f"{width}-{options['viewport']['height']}", JOURNEY_MCP_MAX_CONCURRENT="1@bfl") as world,
        app_host(browser, world.client, **options) as host,
    ):
        yield Stage(host=host, world=world, view={})


async def _shot(stage: Stage, name: str, context: dict[str, Any]) -> bytes:
    themed = Stage(host=stage.host, world=stage.world, view={"context": context})
    await show(name, themed)
    await stage.host.page.wait_for_timeout(200)
    return bytes(await stage.host.page.screenshot())


async def _draw_page(browser: "Browser", folder: Path) -> None:
    """Draw the page of `journey-mcp gallery`: the list, the question about a cost, and two pictures for the README."""
    async with make_world(folder) as world:
        for arguments in (BOAT, LIGHTHOUSE, BOAT | {"prompt": "a red kite over the dunes", "model": "qwen-image"}):
            await world.client.call_tool("imagine", arguments)
        for theme in _THEMES:
            async with serving_gallery(world.settings, open_in_real_time, gallery_page()) as access:
                options = context_options(viewport=_LARGE_DESKTOP, color_scheme=theme)
                context = await browser.new_context(**options)
                page = await context.new_page()
                await page.goto(access.url)
                await page.wait_for_function("document.querySelectorAll('.tile img[src]').length === 6")
                _report(f"page-{theme}", await _save(page, f"page-{theme}"))
                await page.locator(".tile:nth-child(3) .open").first.click()
                await page.wait_for_selector("#large[src]")
                _report(f"image-{theme}", await _save(page, f"image-{theme}"))
                await page.locator("#actions button:not(#edit)").first.click()
                await page.wait_for_selector("dialog[open]")
                _report(f"cost-{theme}", await _save(page, f"cost-{theme}"))
                await context.close()


async def _save(page: "Page", name: str) -> int:
    await page.wait_for_timeout(200)
    png = bytes(await page.screenshot())
    return sheets.save(sheets.opened(png), _FOLDER / f"{name}.png")


async def _draw_references(browser: "Browser", folder: Path) -> None:
    """Draw what the tests compare with, as they do it."""
    async with make_world(folder) as world, app_host(browser, world.client) as host:
        for theme in _THEMES:
            await show("grid", Stage(host=host, world=world, view={"context": {"theme": theme}}))
            major = browser.version.partition(".")[0]
            size = sheets.save(
                sheets.opened(bytes(await host.page.screenshot())), _REFERENCES / f"chromium-{major}-{theme}.png"
            )
            _report(f"reference {theme}", size)


def _report(name: str, size: int) -> None:
    sys.stdout.write(f"{name}: {size:,} bytes\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
