"""`make screenshots`: draw the screenshots of docs/gallery.md, of the README, and the references of the tests."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from support import isolate

from browser import sheets
from browser.apps import app_host
from browser.chromium import context_options, launched, missing
from browser.environment import Environment, Yesterday, make_environment, open_in_real_time
from browser.local import serving_gallery
from browser.states import BOAT, ENVIRONMENT, LIGHTHOUSE, STATES, Stage, show
from journey_mcp.gallery import page as gallery_page

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "docs" / "gallery"
_REFERENCES = _ROOT / "tests" / "system" / "gallery" / "references"
_THEMES = ("light", "dark")
_DESKTOP, _PHONE = {"width": 640, "height": 520}, {"width": 360, "height": 520}
_LARGE_DESKTOP, _LARGE_PHONE = {"width": 1100, "height": 720}, {"width": 360, "height": 720}
_ROWS = (("inline", (_DESKTOP, _PHONE)), ("fullscreen", (_LARGE_DESKTOP, _LARGE_PHONE)))
_SCALES = (0.5, 0.4)
_COPIED_WITHIN_S = 30.0
_YESTERDAY: tuple[dict[str, Any], ...] = (
    {"prompt": "a paper lantern on a river", "model": "nano-banana", "aspect_ratio": "3:4"},
    {"prompt": "terraced fields in morning fog", "model": "midjourney", "aspect_ratio": "16:9"},
)
_TODAY: tuple[dict[str, Any], ...] = (
    BOAT,
    {"prompt": "a mountain lake in winter", "model": "nano-banana", "aspect_ratio": "16:9"},
    LIGHTHOUSE,
)


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
    return sheets.save(sheets.sheet(rows, _SCALES), _FOLDER / f"{name}.png")


@asynccontextmanager
async def _stage(browser: "Browser", folder: Path, **options: Any) -> AsyncIterator[Stage]:
    width = options["viewport"]["width"]
    async with (
        make_environment(folder / f"{width}-{options['viewport']['height']}", **ENVIRONMENT) as here,
        app_host(browser, here.client, **options) as host,
    ):
        yield Stage(host=host, here=here, view={})


async def _shot(stage: Stage, name: str, context: dict[str, Any]) -> bytes:
    themed = Stage(host=stage.host, here=stage.here, view={"context": context})
    await stage.host.page.mouse.move(0, 0)
    await show(name, themed)
    await stage.host.page.wait_for_timeout(200)
    return bytes(await stage.host.page.locator("iframe").screenshot())


async def _draw_page(browser: "Browser", folder: Path) -> None:
    """Draw the page of `journey-mcp gallery`: the list, an image, and the question about a cost."""
    async with make_environment(folder, clock=Yesterday()) as here:
        for arguments in _YESTERDAY:
            await _make(here, arguments)
    async with make_environment(folder) as here:
        for arguments in _TODAY:
            await _make(here, arguments)
        for theme in _THEMES:
            async with serving_gallery(here.settings, open_in_real_time, gallery_page()) as access:
                options = context_options(viewport=_LARGE_DESKTOP, color_scheme=theme)
                context = await browser.new_context(**options)
                page = await context.new_page()
                await page.goto(access.url)
                await page.wait_for_function("() => document.querySelectorAll('.tile img[src]').length === 11")
                _report(f"page-{theme}", await _save(page, f"page-{theme}"))
                await page.locator(".tile:nth-child(4) .open").first.click()
                await page.wait_for_selector("#large[src]")
                _report(f"image-{theme}", await _save(page, f"image-{theme}"))
                await page.locator("#actions button:not(#edit)").first.click()
                await page.wait_for_selector("dialog[open]")
                _report(f"cost-{theme}", await _save(page, f"cost-{theme}"))
                await context.close()


async def _make(here: Environment, arguments: dict[str, Any]) -> None:
    """Make images, and wait until they are copied: the sandbox ends before they are shown."""
    made = (await here.client.call_tool("imagine", arguments)).structured_content or {}
    with anyio.fail_after(_COPIED_WITHIN_S):
        while not all("path" in image for image in made["images"]):
            found = await here.client.call_tool("fetch_task", {"task_ids": [made["task_id"]]})
            made = (found.structured_content or {})["tasks"][0]


async def _save(page: "Page", name: str) -> int:
    await page.wait_for_timeout(200)
    png = bytes(await page.screenshot())
    return sheets.save(sheets.opened(png), _FOLDER / f"{name}.png")


async def _draw_references(browser: "Browser", folder: Path) -> None:
    """Draw what the tests compare with, as they do it: each is the first image of its sandbox."""
    _REFERENCES.mkdir(exist_ok=True)
    for theme in _THEMES:
        async with make_environment(folder / theme) as here, app_host(browser, here.client) as host:
            await show("grid", Stage(host=host, here=here, view={"context": {"theme": theme}}))
            # with all their colors: they are compared
            file = _REFERENCES / f"chromium-{browser.version.partition('.')[0]}-{theme}.png"
            sheets.opened(bytes(await host.page.screenshot())).save(file, optimize=True)
            _report(f"reference {theme}", file.stat().st_size)


def _report(name: str, size: int) -> None:
    sys.stdout.write(f"{name}: {size:,} bytes\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
