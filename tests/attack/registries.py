"""Invalid registry files: what cannot be used is omitted or named, without a traceback."""

import json
from collections.abc import Callable
from random import Random

from providers.test_new_provider import FACTS, IMAGES
from support import client_of, coarse

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox
from journey_mcp.core.errors import SetupError
from journey_mcp.settings import Settings, read_settings
from journey_mcp.startup import check

_VALUES = (
    *('""', '"x"', "0", "-1", "1e400", "nan", "true", "[]", "{}", '["x", "x"]', "[[[]]]", "2026-11-21", "[{}]"),
    *(f'"{"x" * 10_000}"', '"\\u202e"', '"https://kim:pass@x.test"', '"file:///etc/passwd"', '"journeyapi"', "9" * 400),
    *('"required"', '"none"', '"none", fields = ["a"]', '"base64"', '["base64"]', '"JOURNEYAPI_API_KEY"'),
)
_IMAGES = (
    *('{ support = "none" }', IMAGES.replace("optional", "required"), '{ support = "required", fields = [] }'),
    *('{ support = "none", fields = ["picture"], encodings = ["url"] }', IMAGES.replace("url", "upload"), "{}"),
)
_MODELS = ("z-image", "flux-fill-pro", "midjourney", "no-such-model", "", "flux-kontext-pro\\n")


def _one_value(random: Random, text: str) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    lines[at] = f"{lines[at].partition(' = ')[0]} = {random.choice(_VALUES)}"
    return "\n".join(lines)


def _one_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    lines[at : at + 1] = random.choice(
        ([], [lines[at]] * 2, ["[[offer]]"], ["[provider]"], ["[images]"], ["x = 1"], ["\x00"])
    )
    return "\n".join(lines)


_CHANGES: tuple[Callable[[Random, str], str], ...] = (
    _one_value,
    _one_value,
    _one_line,
    lambda random, text: text.replace(IMAGES, random.choice(_IMAGES)),
    lambda random, text: text.replace("flux-kontext-pro", random.choice(_MODELS)),
    lambda random, text: text.replace(
        'wire = "acme"', f'wire = "{random.choice(("replicate", "bfl", "x", "journeyapi"))}"'
    ),
    lambda random, text: text.replace('id = "acme"', f'id = "{random.choice(("journeyapi", "sandbox", "a b", "ä"))}"'),
    lambda random, text: text[: random.randrange(len(text) + 1)],
)
"""Each makes a file slightly invalid or unusual."""


def _read(environment: dict[str, str]) -> Settings | None:
    """Return the settings as a starting server reads them; `None` if it reports an error."""
    try:
        settings = read_settings(environment)
        check(settings)
    except SetupError:
        return None
    return settings


async def _problem(settings: Settings) -> str | None:
    """Return the problem of a server that is started with these settings and called."""
    async with client_of(settings) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        for name in {"imagine", "edit_image"} & set(tools):
            for model in ("", "flux-kontext-pro"):
                given = {"prompt": "a kite", "image": "https://example.com/a.png", "model": model, "wait_s": 0}
                given = given if name == "edit_image" else {"prompt": "a kite", "model": model, "wait_s": 0}
                text = json.dumps((await client.call_tool(name, given)).structured_content)
                if '"internal"' in text or "secret-key" in text:
                    return text
        return None if "fetch_task" in tools else f"its tools are {tools}"


async def invalid_registries(ground: Ground) -> Outcome:
    """List the tools and make calls: the invalid provider is named, and the others work or none does."""
    outcome = Outcome(unit="invalid or unusual registry files")
    started = 0
    async with sandbox.running(coarse(speed=0)) as upstream:
        for number in range(ground.count(100)):
            text = FACTS.replace('wire = "acme"', 'wire = "replicate"')
            for _ in range(ground.random.randrange(1, 4)):
                text = ground.random.choice(_CHANGES)(ground.random, text)
            file = ground.folder / f"{number}.toml"
            file.write_text(text, encoding="utf-8")
            environment = {
                "ACME_API_KEY": "acme-secret-key",
                "ACME_BASE_URL": upstream.base_urls["replicate"],
                "JOURNEY_MCP_REGISTRY": str(file),
                "JOURNEY_MCP_DATA_DIR": str(ground.folder / f"{number}"),
            }
            problem = None
            try:
                if settings := _read(environment):
                    started += 1
                    problem = await _problem(settings)
            except Exception as error:  # noqa: BLE001  # any other error is a successful attack
                problem = repr(error)
            outcome.attempt(held=problem is None, what=f"{problem}: {text}")
    outcome.remark = f"{started} were accepted"
    return outcome
