"""Inputs of real clients, people and machines that once failed, each with a number: `-k case_07`.

The files are in `tests/cases/`. A case represents a kind: further examples are in the test file of the changed module.
Cases that need a process are in `tests/system/test_cases.py`.
"""

import base64
import importlib.util
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mcp_types as types
import pytest
from studio.test_image_sources import refusal
from studio.test_inputs import KONTEXT, sent_image
from support import (
    SERVICES,
    Environment,
    client_of,
    coarse,
    created,
    environment_of,
    make_request,
    make_wide_environment,
    running_studio,
    settings_for,
    until_accepted,
)

from journey_mcp import registry, sandbox
from journey_mcp.core.errors import EmptyPrompt, InvalidArguments, SetupError, UnknownModel
from journey_mcp.core.predictions import Status
from journey_mcp.routing import validation
from journey_mcp.settings import read_settings
from journey_mcp.tools import arguments
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import EditImage, FetchTask, Imagine
from journey_mcp.tools.defaults import Defaults

pytestmark = pytest.mark.on_disk
CASES = Path(__file__).parent / "cases"
JPEG = (CASES / "plain.jpg").read_bytes()
RAW = base64.b64encode(JPEG).decode()
URL = "https://example.com/cat.png"
CONTEXT = ToolContext(
    catalog=registry.load().catalog(list(SERVICES)),
    defaults=Defaults(imagine="midjourney", edit_image="flux-kontext-pro", wait_s=25, keep_days=30),
)


def parse_call(tool: str, **given: Any) -> Any:
    """Parse the arguments of a call to a server with all providers."""
    kinds: dict[str, Any] = {"imagine": Imagine, "edit_image": EditImage, "fetch_task": FetchTask}
    return arguments.parse(kinds[tool], tool, given, CONTEXT)


async def image_sent(here: Environment, image: str) -> Any:
    """Return the image that the provider received in a successful call."""
    task = await here.made(**KONTEXT, image=image)
    assert task.status is Status.SUCCEEDED, task.failure
    return sent_image(here.sent_to("bfl")[-1])


async def sent_url(folder: Path, image: str) -> str:
    """Return the URL that the provider received."""
    async with make_wide_environment(folder, services=["journeyapi"]) as here:
        await until_accepted(here.studio, await created(here.studio, make_request(**KONTEXT, image=image)))
        url: str = here.sent_to("journeyapi")[0]["image_url"]
        return url


async def test_case_01_base64_without_a_prefix(tmp_path: Path) -> None:
    """Data, if the provider accepts data; else the error says that it accepts only URLs."""
    assert RAW.startswith("/9j/")
    async with make_wide_environment(tmp_path, services=["bfl", "journeyapi"]) as here:
        assert (await image_sent(here, RAW)).size == (320, 240)
        error = await refusal(here, **KONTEXT, image=RAW, provider="journeyapi")
        assert "takes images as URLs only" in str(error)


@pytest.mark.parametrize("is_image", [True, False])
async def test_case_02_megabytes_of_base64_are_not_a_path(tmp_path: Path, is_image: bool) -> None:
    """An image, and data that is not an image; a test with a process measures the time."""
    text = base64.b64encode(JPEG + bytes(1_000_000)).decode() if is_image else "A" * 1_300_000
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        if is_image:
            assert (await image_sent(here, text)).size == (320, 240)
        else:
            assert (await refusal(here, **KONTEXT, image=text)).failure.code == "unusable_image"


@pytest.mark.parametrize(
    "payload", [base64.urlsafe_b64encode(JPEG).decode(), RAW.rstrip("="), quote(RAW, safe="")], ids=["safe", "=", "%"]
)
async def test_case_03_base64_in_other_notations(tmp_path: Path, payload: str) -> None:
    """The URL-safe alphabet, without padding, percent-encoded."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        assert (await image_sent(here, f"data:image/png;base64,{payload}")).size == (320, 240)


@pytest.mark.parametrize("text", [f"<{URL}>", f"![cat]({URL})"])
async def test_case_04_a_url_in_brackets_or_markdown(tmp_path: Path, text: str) -> None:
    """It is read as the URL."""
    assert await sent_url(tmp_path, text) == URL


async def test_case_05_a_url_without_its_scheme(tmp_path: Path) -> None:
    """HTTPS is assumed."""
    assert await sent_url(tmp_path, "www.example.com/cat.png") == "https://www.example.com/cat.png"


async def test_case_06_a_scheme_in_capitals(tmp_path: Path) -> None:
    """Scheme and host are sent in lower case."""
    assert await sent_url(tmp_path, "HTTPS://Example.com/A.PNG") == "https://example.com/A.PNG"


@pytest.mark.parametrize("text", ["My\\ Pictures/cat\\ 1.jpg", "file:{}/plain.jpg", "@plain.jpg"])
async def test_case_07_paths_as_tools_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """They are read as the file."""
    (tmp_path / "My Pictures").mkdir()
    for name in ("plain.jpg", "My Pictures/cat 1.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    monkeypatch.chdir(tmp_path)
    async with make_wide_environment(tmp_path / "data", services=["bfl"]) as here:
        assert (await image_sent(here, text.replace("{}", str(tmp_path)))).size == (320, 240)


async def test_case_08_a_blank_for_the_blank_of_a_screenshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only file whose name looks like it."""
    (tmp_path / "Shot at 9.41\u202fAM.jpg").write_bytes(JPEG)
    monkeypatch.chdir(tmp_path)
    async with make_wide_environment(tmp_path / "data", services=["bfl"]) as here:
        assert (await image_sent(here, "Shot at 9.41 AM.jpg")).size == (320, 240)


@pytest.mark.parametrize(
    ("name", "notice"),
    [
        ("a.avif", "The image was converted from AVIF to JPEG."),
        ("cmyk.jpg", "The image was converted from CMYK to RGB."),
        ("gray16.png", "The image was converted to 8 bits per channel."),
    ],
)
async def test_case_09_and_11_other_formats_and_colour_modes(tmp_path: Path, name: str, notice: str) -> None:
    """They are converted, with a notice."""
    async with make_wide_environment(tmp_path, services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=CASES) as here:
        task = await here.made(**KONTEXT, image=str(CASES / name))
        assert task.status is Status.SUCCEEDED, task.failure
        assert sent_image(here.sent_to("bfl")[0]).mode in {"RGB", "L"}
        assert any(str(one).endswith(notice) for one in task.notices)


async def test_case_10_heic(tmp_path: Path) -> None:
    """The file is only a header; without the extra, the error names the extra."""
    async with make_wide_environment(tmp_path, services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=CASES) as here:
        error = await refusal(here, **KONTEXT, image=str(CASES / "photo.HEIC"))
        has_extra = importlib.util.find_spec("pillow_heif") is not None
        assert ("damaged HEIC" if has_extra else "journey-mcp[heic]") in f"{error} {error.failure.next_step}"


async def test_case_11_one_pixel_for_a_model_with_a_minimum_size(tmp_path: Path) -> None:
    """Rejected only for that model."""
    async with make_wide_environment(tmp_path, services=["bfl", "vtrix"], JOURNEY_MCP_IMAGE_DIRS=CASES) as here:
        given: dict[str, Any] = {**KONTEXT, "model": "seedream-4", "image": str(CASES / "one.png")}
        assert "1x1 pixels" in str(await refusal(here, **given))


def test_case_12_arguments_of_the_client() -> None:
    """They are dropped."""
    given = {"prompt": "a kite", "toolCallId": "call_1", "wait_for_previous": True}
    assert parse_call("imagine", **given) == parse_call("imagine", prompt="a kite")


def test_case_13_a_negative_prompt_of_null() -> None:
    """Omitted."""
    assert parse_call("imagine", prompt="a kite", negative_prompt="null").negative_prompt is None


def test_case_14_a_ratio_and_images_of_null() -> None:
    """Omitted."""
    asked = parse_call("imagine", prompt="a kite", aspect_ratio="null", reference_images=["null"])
    assert asked == parse_call("imagine", prompt="a kite")


async def test_case_15_a_switch_with_an_em_dash(tmp_path: Path) -> None:
    """It is read as `--ar`, which takes precedence, with a notice."""
    async with make_wide_environment(tmp_path, services=["journeyapi"]) as here:
        task = await here.made(model="midjourney", prompt="a fox in snow \u2014ar 16:9", aspect_ratio="1:1")
        assert here.sent[0] == {"model": "midjourney", "prompt": "a fox in snow --ar 16:9"}
        assert "--ar 16:9 in the prompt overrides aspect_ratio=1:1, which was not sent." in map(str, task.notices)


def test_case_16_task_ids_in_one_text() -> None:
    """They are read as two ids."""
    ids = [f"tsk_{letter * 22}" for letter in "AB"]
    assert parse_call("fetch_task", task_ids=",".join(ids)).task_ids == ids


def test_case_17_an_invisible_prompt() -> None:
    """Rejected free of charge."""
    with pytest.raises(EmptyPrompt):
        validation.offers_of(make_request(prompt="\u200b"), CONTEXT.catalog)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("black-forest-labs/flux-kontext-pro", "flux-kontext-pro"),
        ("flux kontext pro", "flux-kontext-pro"),
        ("midjourney v7", "midjourney"),
    ],
)
async def test_case_18_models_as_people_write_them(tmp_path: Path, name: str, model: str) -> None:
    """Accepted, with a notice."""
    async with make_wide_environment(tmp_path) as here:
        task = await here.made(model=name)
        assert task.request.model == model
        assert f"model={name!r} was read as {model}." in map(str, task.notices)


def test_case_19_a_misspelled_model_that_edits() -> None:
    """The error names it with the only tool that has it."""
    catalog = registry.load().catalog(["journeyapi"])
    with pytest.raises(UnknownModel, match=r"flux-kontext-pro.*edit_image"):
        validation.offers_of(make_request(model="flux-kontxt-pro"), catalog)


def test_case_20_arguments_of_other_vendors() -> None:
    """Corrections with names from the schema."""
    with pytest.raises(InvalidArguments) as raised:
        parse_call("imagine", prompt="a kite", n=4, size="1024x1024", quality="hd")
    for correction in ("fresh=true", "4 credits", "four candidates", "aspect_ratio=1:1", "use resolution"):
        assert correction in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("ALL_PROXY", "socks://127.0.0.1:7890/", id="case_21"),
        pytest.param("SSL_CERT_FILE", "/nowhere.pem", id="case_22"),
    ],
)
async def test_case_21_and_22_an_unusable_proxy_and_certificate_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """The sandbox works; with a key, a `setup` error names the variable."""
    monkeypatch.setenv(variable, value)
    async with running_studio(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path / "free")})) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
        assert task.status is Status.SUCCEEDED
    with pytest.raises(SetupError, match=re.escape(f"{variable}={value!r}")):
        async with running_studio(settings_for("https://api.example.test", tmp_path / "paid")):
            pass


@pytest.mark.parametrize(("value", "problem"), [('"abc"', "in quotes"), ("${user_config.key}", "${user_config.key}")])
def test_case_24_quotes_and_references_in_a_key(value: str, problem: str) -> None:
    """Reported before anything is sent."""
    with pytest.raises(SetupError, match=rf"JOURNEYAPI_API_KEY .*{re.escape(problem)}"):
        read_settings({"JOURNEYAPI_API_KEY": value})


def test_case_25_a_log_level_in_capitals() -> None:
    """Accepted."""
    assert read_settings({"JOURNEY_MCP_LOG_LEVEL": "WARNING"}).log_level == "warning"


async def test_case_26_a_limit_in_dollars_where_credits_are_charged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not apply; the start warns of it, as doctor does."""
    async with make_wide_environment(tmp_path, services=["journeyapi"], JOURNEY_MCP_BUDGET="0.10usd/day") as here:
        for n in range(3):
            assert (await here.made(prompt=f"kite {n}")).status is Status.SUCCEEDED
    assert "0.10usd/day covers none of the configured offers" in caplog.text


async def test_case_27_results_are_text_that_every_client_reads(tmp_path: Path) -> None:
    """Text and URLs; `make interop` reads them with the Anthropic SDK."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, "journeyapi"))
        async with client_of(settings) as client:
            made = await client.call_tool("imagine", {"prompt": "a kite"})
            assert made.structured_content is not None
            again = await client.call_tool("fetch_task", {"task_ids": [made.structured_content["task_id"]]})
            for result in (made, again):
                assert {type(block) for block in result.content} == {types.TextContent}
                assert f"{upstream.base_url.partition('/api')[0]}/pictures/" in str(result.content)


@pytest.mark.parametrize("services", [["journeyapi"], list(SERVICES)])
async def test_case_28_no_additional_properties_in_the_tools(tmp_path: Path, services: list[str]) -> None:
    """google-genai rejects the key; `make interop` reads the tools with it."""
    keys = {SERVICES[service][0]: f"{service}-secret-key" for service in services}
    async with client_of(read_settings({**keys, "JOURNEY_MCP_DATA_DIR": str(tmp_path)})) as client:
        assert "additionalProperties" not in (await client.list_tools()).model_dump_json(by_alias=True)


async def test_case_30_a_result_url_without_its_query(tmp_path: Path) -> None:
    """It is read as the image's id, so the full URL is sent."""
    async with make_wide_environment(tmp_path, services=["bfl"]) as here:
        first = await here.made(model="flux-2-pro", prompt="a kite")
        url = first.images[0].url
        assert "?" in url
        task = await here.made(**KONTEXT, image=url.partition("?")[0])
        assert (task.request.image, here.sent_to("bfl")[-1]["input_image"]) == (f"{first.id}.1", url)


def test_every_case_and_every_file_is_here() -> None:
    """So that a case can be found by its number."""
    texts = [
        (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("test_cases.py", "system/test_cases.py")
    ]
    names = re.findall(r"def test_(case_\w+?)\(", "".join(texts))
    assert {int(number) for name in names for number in re.findall(r"\d\d", name)} >= set(range(1, 31))
    files = {
        "a.avif",
        "cmyk.jpg",
        "gray16.png",
        "half_transparent.webp",
        "one.png",
        "photo.HEIC",
        "plain.jpg",
        "plain.png",
    }
    assert {file.name for file in CASES.iterdir()} == files
