"""The gallery in a host of MCP Apps: a real browser, our host, a real client of a real server.

No test makes a request to another address than the host's and the sandbox's, and none has an error in the console.
"""

import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser.accessibility import violations
from browser.apps import CAPABILITIES, app_host
from browser.chromium import context_options
from browser.environment import make_environment
from browser.screenshots import is_same
from browser.states import BOAT, ENVIRONMENT, LIGHTHOUSE, STATES, Stage, paint, show
from PIL import Image

if TYPE_CHECKING:
    from playwright.async_api import Browser, ViewportSize

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILL = "flux-fill-pro"
NARROW: "ViewportSize" = {"width": 320, "height": 700}
MOST_INLINE = 500
REFERENCES = Path(__file__).parent / "references"

Opened = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Opened:
    """Return what opens a host and the server behind it; after its block nothing was wrong in the browser."""

    @asynccontextmanager
    async def open_stage(
        *, mode: str = "auto", speed: float = 0.0, view: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Stage]:
        environment = {name: options.pop(name) for name in list(options) if name.isupper()}
        async with (
            make_environment(tmp_path, mode=mode, speed=speed, **environment) as here,
            app_host(browser, here.client, **options) as host,
        ):
            yield Stage(host=host, here=here, view=view or {})
            assert host.problems == []

    return open_stage


def without(*names: str) -> dict[str, Any]:
    """Return a view in a host that lacks these capabilities."""
    return {"capabilities": tuple(name for name in CAPABILITIES if name not in names)}


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a chat turn or of the model's context."""
    return "\n".join(block["text"] for block in message["content"])


async def open_image(stage: Stage, number: int = 1) -> str:
    """Open an image of the grid; return its id."""
    tile = stage.host.view.locator(f".tile:nth-child({number})")
    image = str(await tile.get_attribute("data-id"))
    await tile.locator(".open").click()
    await stage.shows("#large[src]")
    return image


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_grid_grows_while_its_task_runs(opened: Opened, mode: str) -> None:
    """Skeletons with progress first, four images in the end, in either era."""
    async with opened(mode=mode, speed=40) as stage:
        result = await stage.call("imagine", **LIGHTHOUSE | {"wait_s": 0})
        assert result["structuredContent"]["status"] in {"queued", "running"}
        assert await stage.host.view.locator(".waiting").count() == 4
        await stage.loaded(4)
        assert await stage.host.view.locator(".waiting").count() == 0
        ids = [await tile.get_attribute("data-id") for tile in await stage.host.view.locator(".tile").all()]
        assert ids == [f"{result['structuredContent']['task_id']}.{number}" for number in (1, 2, 3, 4)]
        assert await stage.host.view.locator(".tile .number").all_inner_texts() == ["1", "2", "3", "4"]
        assert {tool for tool, _ in stage.host.calls} == {"fetch_task", "view_image"}


async def test_the_image_that_is_open_is_the_one_that_the_person_means(opened: Opened) -> None:
    """Opening it tells the model; so does the next one."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        image = await open_image(stage, 2)
        (context,) = await stage.host.sent("ui/update-model-context")
        assert image in text_of(context)
        await stage.click("Next image")
        contexts = await stage.host.sent("ui/update-model-context", 2)
        assert image.replace(".2", ".3") in text_of(contexts[1])


async def test_an_edit_becomes_a_chat_turn(opened: Opened) -> None:
    """So budget, confirmation and history hold; the page pays for nothing."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        image = await open_image(stage, 3)
        sent = len(stage.here.sent)
        await stage.host.view.click("#edit")
        await stage.host.view.fill("#instruction", "a red roof")
        await stage.host.view.click("#submit")
        (message,) = await stage.host.sent("ui/message")
        assert message["role"] == "user"
        assert image in text_of(message)
        assert "a red roof" in text_of(message)
        assert len(stage.here.sent) == sent


async def test_a_painted_mask_reaches_the_provider(opened: Opened) -> None:
    """In the size of the image, white where the person painted."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        image = await open_image(stage)
        await stage.host.view.click("#edit")
        await stage.host.view.fill("#instruction", "a red roof")
        await stage.host.view.click("#paint")
        await paint(stage.host)
        assert await stage.host.view.locator("#model option").all_inner_texts() != []
        await stage.host.view.click("#submit")
        (message,) = await stage.host.sent("ui/message")
        ((tool, kept),) = [call for call in stage.host.calls if call[0] == "keep_image"]
        assert (tool, kept["mask_of"]) == ("keep_image", image)
        mask = next(word.strip(",.:") for word in text_of(message).split() if word.startswith("up_"))
        await stage.call("edit_image", image=image, prompt="a red roof", model=FILL, mask=mask, wait_s=30)
        sent = stage.here.sent[-1]
        drawn, edited = (Image.open(io.BytesIO(base64.b64decode(sent[name]))) for name in ("mask", "image"))
        assert drawn.size == edited.size
        grey = drawn.convert("L")
        assert (grey.getpixel((grey.width // 2, grey.height // 2)), grey.getpixel((2, 2))) == (255, 0)


async def test_before_and_after_share_a_frame(opened: Opened) -> None:
    """The border follows the keyboard."""
    async with opened() as stage:
        await show("compare", stage)
        cut = stage.host.view.locator("#cut")
        before = float(await cut.input_value())
        await cut.press("ArrowRight")
        assert float(await cut.input_value()) > before
        assert await stage.host.view.locator("#before").evaluate("(one) => one.naturalWidth > 0")
        await stage.host.view.press("body", "Escape")
        await stage.host.view.wait_for_selector("#before", state="hidden")


async def test_an_own_image_is_kept_and_edited(opened: Opened, tmp_path: Path) -> None:
    """An image that is attached in a chat reaches no tool; one that is added here does."""
    photo = tmp_path / "photo.png"
    Image.effect_noise((640, 480), 60).convert("RGB").save(photo)
    async with opened() as stage:
        await stage.call("fetch_task")
        await stage.host.view.set_input_files("#file", str(photo))
        await stage.shows("#instruction")
        await stage.host.view.fill("#instruction", "make it rain")
        await stage.host.view.click("#submit")
        (message,) = await stage.host.sent("ui/message")
        image = next(word.strip(",.:") for word in text_of(message).split() if word.startswith("up_"))
        await stage.call("edit_image", image=image, prompt="make it rain", model=FILL, wait_s=30)
        assert len(stage.here.sent) == 1
        edited = Image.open(io.BytesIO(base64.b64decode(stage.here.sent[0]["image"])))
        assert edited.size == (640, 480)


async def test_a_refinement_becomes_a_chat_turn_that_names_the_action(opened: Opened) -> None:
    """And the action works when the model takes it."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        image = await open_image(stage, 2)
        await stage.host.view.locator("#actions button:not(#edit)").first.click()
        (message,) = await stage.host.sent("ui/message")
        assert image in text_of(message)
        action = text_of(message).partition("action ")[2].split()[0].strip(".,")
        await stage.call("refine_image", image=image, action=action, wait_s=30)
        assert len(stage.here.sent) == 2


async def test_an_image_is_saved_by_the_host(opened: Opened) -> None:
    """With a name that a person reads; else its link is opened; else there is no button."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        await open_image(stage, 2)
        await stage.click("Save")
        (saved,) = await stage.host.sent("ui/download-file")
        assert saved["contents"][0]["name"].startswith("a-lighthouse-at-dusk")
        await stage.host.again(**without("downloadFile"))
        await open_image(stage, 2)
        await stage.click("Save")
        (link,) = await stage.host.sent("ui/open-link")
        assert link["url"].startswith("http")
        await stage.host.again(**without("downloadFile", "openLinks"))
        await open_image(stage, 2)
        assert not await stage.host.view.locator("#save").is_visible()


async def test_without_chat_turns_a_cost_is_confirmed_in_the_page(opened: Opened) -> None:
    """Declining calls nothing; after the call the model learns of it."""
    async with opened(view=without("message")) as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        image = await open_image(stage)
        sent = len(stage.here.sent)
        await stage.host.view.click("#edit")
        await stage.host.view.fill("#instruction", "a red roof")
        await stage.host.view.click("#submit")
        dialog = stage.host.view.locator("dialog[open]")
        await dialog.get_by_role("button", name="Cancel").click()
        assert [tool for tool, _ in stage.host.calls if tool == "edit_image"] == []
        await stage.host.view.click("#submit")
        await dialog.locator(".primary").click()
        await stage.host.view.wait_for_selector("#grid", state="visible")
        ((_, arguments),) = [call for call in stage.host.calls if call[0] == "edit_image"]
        assert (arguments["image"], arguments["prompt"]) == (image, "a red roof")
        assert len(stage.here.sent) == sent + 1
        contexts = await stage.host.sent("ui/update-model-context", 2)
        assert "tsk_" in text_of(contexts[-1])


async def test_without_server_tools_the_text_remains(opened: Opened) -> None:
    """No pixels, no progress, and a way to go on in the chat."""
    async with opened(view=without("serverTools", "message", "downloadFile")) as stage:
        made = await stage.call("imagine", **LIGHTHOUSE)
        image = made["structuredContent"]["images"][0]["id"]
        await stage.host.view.click(f"[data-id='{image}'] .open")
        await stage.shows("#hint")
        assert image in await stage.host.view.inner_text("#hint")
        assert stage.host.calls == []


async def test_the_keyboard_is_enough(opened: Opened) -> None:
    """From the grid into an image, to its edit, and back; the focus is never lost."""
    async with opened() as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        await stage.loaded(4)
        page, view = stage.host.page, stage.host.view
        await view.locator(".tile .open").first.focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        await stage.shows("#large[src]")
        assert await focused(stage) == "back"
        for _ in range(12):
            await page.keyboard.press("Tab")
            if await focused(stage) == "edit":
                break
        await page.keyboard.press("Enter")
        await stage.shows("#instruction:focus")
        await page.keyboard.type("a red roof")
        assert await view.input_value("#instruction") == "a red roof"
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await view.wait_for_selector("#viewer", state="hidden")
        assert await view.evaluate("document.activeElement.closest('li')?.dataset.id.endsWith('.2')")


async def focused(stage: Stage) -> str:
    """Return the id of the element with the focus."""
    return str(await stage.host.view.evaluate("document.activeElement.id"))


async def test_a_mask_is_painted_with_the_keyboard(opened: Opened) -> None:
    """Space lowers the brush, and arrow keys move it."""
    async with opened() as stage:
        await show("edit", stage)
        await stage.host.view.click("#paint")
        for key in (" ", "ArrowRight", "ArrowRight", " "):
            await stage.host.view.press("#mask", key)
        painted = """() => {
            const mask = document.getElementById("mask");
            return mask.getContext("2d").getImageData(0, 0, mask.width, mask.height).data.some((one) => one > 0);
        }"""
        assert await stage.host.view.evaluate(painted)


@pytest.mark.parametrize("names", [list(STATES)[::2], list(STATES)[1::2]], ids=["some", "others"])
async def test_no_state_breaks_a_rule_of_accessibility(opened: Opened, names: list[str]) -> None:
    """In both themes and 320 px wide, where nothing is wider than the frame; inline no state is higher than 500 px."""
    broken: dict[str, list[str]] = {}
    async with opened(**ENVIRONMENT) as stage:
        for name in names:
            await show(name, stage)
            found = [problem async for problem in problems_of(stage)]
            if found:
                broken[name] = found
    assert broken == {}


async def problems_of(stage: Stage) -> AsyncIterator[str]:
    """Yield what is wrong with the view, and leave it as it was."""
    page, view = stage.host.page, stage.host.view
    for problem in await violations(view):
        yield f"light: {problem}"
    sizes = await stage.host.sent("ui/notifications/size-changed")
    if not 0 < sizes[-1]["height"] <= MOST_INLINE:
        yield f"it is {sizes[-1]['height']} px high"
    await stage.host.notify("host-context-changed", {"theme": "dark"})
    for problem in await violations(view, only="color-contrast"):
        yield f"dark: {problem}"
    await page.set_viewport_size(NARROW)
    for problem in await violations(view):
        yield f"narrow: {problem}"
    if (width := await view.evaluate("document.documentElement.scrollWidth")) > NARROW["width"]:
        yield f"narrow: it is {width} px wide"
    await page.set_viewport_size(context_options()["viewport"])


async def test_fingers_find_every_control(opened: Opened) -> None:
    """On a phone a button is 44 px high."""
    async with opened(viewport=NARROW, has_touch=True, is_mobile=True) as stage:
        for name in ("grid", "mask"):
            await show(name, stage)
            small = """[...document.querySelectorAll("button, select")].filter((one) => one.checkVisibility())
                .filter((one) => one.getBoundingClientRect().height < 43.5).map((one) => one.outerHTML.slice(0, 80))"""
            assert await stage.host.view.evaluate(small) == []


async def test_fullscreen_is_asked_of_the_host(opened: Opened) -> None:
    """And left again. It has room for the prompt and for every action."""
    async with opened(viewport={"width": 1100, "height": 720}) as stage:
        await stage.call("imagine", **LIGHTHOUSE)
        await stage.click("Full screen")
        assert await stage.host.sent("ui/request-display-mode") == [{"mode": "fullscreen"}]
        await open_image(stage)
        box = await stage.host.view.locator("#prompt").bounding_box()
        assert box is not None
        assert box["height"] > 0
        assert await stage.host.view.locator("#actions button").count() > 5
        await stage.click("Leave full screen")
        assert (await stage.host.sent("ui/request-display-mode", 2))[1] == {"mode": "inline"}


async def test_an_ended_view_polls_no_more(opened: Opened) -> None:
    """The host asks, and the view agrees."""
    async with opened() as stage:
        await show("running", stage)
        assert await stage.host.ask("ui/resource-teardown") == {}
        await stage.host.page.wait_for_timeout(300)
        calls = len(stage.host.calls)
        await stage.host.page.wait_for_timeout(2_000)
        assert len(stage.host.calls) <= calls + 1


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_grid_looks_as_before(opened: Opened, browser: "Browser", theme: str) -> None:
    """As in a second view, and as in the reference if there is one of this version of the browser."""
    async with opened(view={"context": {"theme": theme}}) as stage:
        await show("grid", stage)
        shot = await stage.host.page.screenshot()
        reference = REFERENCES / f"chromium-{browser.version.partition('.')[0]}-{theme}.png"
        if reference.exists():
            assert is_same(shot, reference.read_bytes())
        await stage.host.again()
        await stage.loaded(4)
        assert is_same(shot, await stage.host.page.screenshot())


async def test_single_images_have_no_number(opened: Opened) -> None:
    """There is nothing to tell apart."""
    async with opened() as stage:
        await stage.call("imagine", **BOAT)
        await stage.loaded(1)
        assert await stage.host.view.locator(".number").count() == 0
