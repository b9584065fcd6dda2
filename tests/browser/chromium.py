"""The browser of the tests: Debian's chromium-headless-shell, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser

_COMMAND = "chromium-headless-shell"


def missing() -> str | None:
    """Return what is missing to run a browser, and what brings it; `None` if nothing is."""
    if find_spec("playwright") is None:
        return "the browser's driver (playwright) is not installed: make browser"
    if shutil.which(_COMMAND) is None:
        return f"{_COMMAND} is not installed: make browser"
    return None


@asynccontextmanager
async def launched() -> AsyncIterator["Browser"]:
    """Run the browser."""
    from playwright.async_api import async_playwright  # noqa: PLC0415  # `make test` does not install it

    arguments = ["--font-render-hinting=none", "--disable-lcd-text"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which does not work for root
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=shutil.which(_COMMAND), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


def context_options(**more: Any) -> dict[str, Any]:
    """Return the options of a browser context in which two runs look the same."""
    return {
        "viewport": {"width": 760, "height": 900},
        "device_scale_factor": 1,
        "reduced_motion": "reduce",
        "locale": "en-US",
        "timezone_id": "UTC",
        **more,
    }
