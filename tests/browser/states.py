"""The states of the gallery, each made with the real server: for the rules of accessibility, and for the documents."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from browser.apps import AppHost
from browser.environment import Environment

LIGHTHOUSE = {"prompt": "a lighthouse at dusk, long exposure", "model": "midjourney", "wait_s": 30}
COMET = {"prompt": "a comet over a quiet harbor", "model": "midjourney", "wait_s": 3, "fresh": True}
"""An image that is never finished: a call for the others must not join it."""
BOAT = {"prompt": "a red fishing boat on calm water", "model": "z-image", "wait_s": 30}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a state is made: the host, the server behind it, and the context of new views."""

    host: AppHost
    here: Environment
    view: dict[str, Any]

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool as the model does, with a new view."""
        return await self.host.call(tool, arguments, **self.view)

    async def shows(self, selector: str) -> None:
        """Wait until the view shows this."""
        await self.host.view.wait_for_selector(selector)

    async def click(self, name: str) -> None:
        """Press the button of this name."""
        await self.host.view.get_by_role("button", name=name, exact=True).first.click()

    async def loaded(self, count: int) -> None:
        """Wait until so many tiles have their pixels."""
        loaded = (
            "(count) => [...document.querySelectorAll('.tile img[src]')].filter((i) => i.complete).length === count"
        )
        await self.host.view.wait_for_function(loaded, arg=count)


async def _empty(stage: Stage) -> None:
    await stage.call("fetch_task", query="nothing has these words")
    await stage.shows("[data-state=empty]")


async def _running(stage: Stage) -> None:
    stage.here.faults("journeyapi/submit:hang", "journeyapi/fetch:percentage=40,times=always")
    await stage.call("imagine", **COMET)
    await stage.shows("[role=progressbar]")


async def _queued(stage: Stage) -> None:
    stage.here.faults("bfl/submit:hang,times=always")
    for prompt in ("a slow one", "a kite over the dunes"):
        arguments = {"prompt": prompt, "model": "flux-2-pro", "provider": "bfl", "wait_s": 0, "fresh": True}
        await stage.call("imagine", **arguments)
    await stage.shows("[data-state=queued]")


async def _failed(stage: Stage) -> None:
    stage.here.faults("submit:fail_task=The model ran out of memory")
    await stage.call("imagine", **BOAT)
    await stage.shows("[data-state=failed]")


async def _refused(stage: Stage) -> None:
    stage.here.faults()
    await stage.call("imagine", **BOAT | {"prompt": "a forbidden-in-sandbox boat"})
    await stage.shows("[data-state=refused]")


async def _dead(stage: Stage) -> None:
    stage.here.faults("image:status=404,times=always")
    await stage.call("imagine", **BOAT | {"fresh": True})
    await stage.shows("[data-state=dead]")


async def _offline(stage: Stage) -> None:
    stage.here.faults("journeyapi/submit:hang")
    stage.host.is_offline = True
    await stage.call("imagine", **COMET | {"wait_s": 0})
    await stage.shows("#banner")


async def _grid(stage: Stage) -> None:
    await stage.call("imagine", **LIGHTHOUSE)
    await stage.loaded(4)


async def _single(stage: Stage) -> None:
    await stage.call("imagine", **BOAT)
    await stage.loaded(1)


async def _open(stage: Stage) -> None:
    await _grid(stage)
    await stage.host.view.click(".tile:nth-child(2) .open")
    await stage.shows("#large[src]")


async def _edit(stage: Stage) -> None:
    await _open(stage)
    await stage.host.view.click("#edit")
    await stage.host.view.fill("#instruction", "a red roof")


async def _mask(stage: Stage) -> None:
    await _edit(stage)
    await stage.host.view.click("#paint")
    await paint(stage.host)


async def _compare(stage: Stage) -> None:
    made = await stage.call("imagine", **LIGHTHOUSE)
    image = made["structuredContent"]["images"][1]["id"]
    await stage.call("edit_image", image=image, prompt="make the sky green", model="flux-kontext-pro", wait_s=30)
    await stage.loaded(1)
    await stage.host.view.click(".tile .open")
    await stage.click("Before and after")
    await stage.shows("#before[src]")


async def paint(host: AppHost) -> None:
    """Paint a stroke over the middle of the open image."""
    box = await host.view.locator("#mask").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await host.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    await host.page.mouse.down()
    await host.page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    await host.page.mouse.up()


ENVIRONMENT: dict[str, Any] = {"JOURNEY_MCP_MAX_CONCURRENT": "1@bfl", "JOURNEY_MCP_KEEP_IMAGES": "off"}
"""The settings for all states: a second task waits, and a dead link is not waited for in the hope of a copy."""
STATES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "empty": _empty,
    "running": _running,
    "queued": _queued,
    "failed": _failed,
    "refused": _refused,
    "dead": _dead,
    "offline": _offline,
    "grid": _grid,
    "single": _single,
    "open": _open,
    "edit": _edit,
    "mask": _mask,
    "compare": _compare,
}
"""All states by name."""


async def show(name: str, stage: Stage) -> None:
    """Bring a new view into a state."""
    stage.here.faults()
    stage.host.is_offline = False
    await STATES[name](stage)
