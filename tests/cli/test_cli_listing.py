"""`models`, `specs`, `--version`, `--help` and the document made of it."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import os
from pathlib import Path
from typing import Any

import pytest

from cli.command import ROOT, CommandLine, Ended
from journey_mcp import __version__
from journey_mcp.cli.formats import gemini_schema

COMMANDS = ("serve", "imagine", "edit", "fetch", "tasks", "models", "doctor", "sandbox", "specs")
OPENING = "<!-- help: generated; UPDATE_DOCS=1 rewrites it -->\n"
CLOSING = "<!-- /help -->\n"


async def test_all_models_are_listed(journey: CommandLine) -> None:
    header, *rows = (await journey.run("models")).out.splitlines()
    plain = (await journey.run("models", "--json")).json["models"]
    assert header == "Model\tCommand\tCost\tEnglish only\tPicture\tBest at"
    assert [row.split("\t")[0] for row in rows] == [model["id"] for model in plain]
    assert len(plain) == 30
    cells = {row.split("\t")[0]: row.split("\t")[1:4:2] + row.split("\t")[4:5] for row in rows}
    assert cells["midjourney"][0] == "imagine"
    assert cells["flux-kontext-pro"] == ["edit", "yes", "needed"]
    assert cells["nano-banana-2"][::2] == ["imagine, edit", "may be given"]
    assert {"id", "commands", "picture", "best_at"} <= plain[0].keys()


async def test_a_model_is_told_with_all_its_facts(journey: CommandLine) -> None:
    told = (await journey.run("models", "flux-pro")).out
    assert told.startswith("flux-pro: Flux Pro by Black Forest Labs\nBest at: the best of Flux.1\nAdvice: Plain")
    assert "At journeyapi as flux-pro\n  Commands: imagine\n  Cost: 4 credits\n" in told
    assert "  --aspect-ratio: 1:1, 16:9, 9:16, 4:3, 3:4, 3:2, 2:3; default 1:1\n" in told
    assert "  --resolution: 1K, 2K, 4K; notice: JourneyAPI's pages disagree" in told
    assert "  Source: https://journeyapi.co/docs/models/flux-pro (2026-11-21)\n" in told
    plain = (await journey.run("models", "flux-pro", "--json")).json
    assert plain["offers"][0]["parameters"]["negative_prompt"] == {"max_length": 4000}
    assert (plain["maker"], plain["checked"]) == ("Black Forest Labs", "2026-11-21")


async def test_every_model_can_be_told(journey: CommandLine) -> None:
    for model in (await journey.run("models", "--json")).json["models"]:
        done = await journey.run("models", model["id"])
        assert (done.code, "\n  Source: https://" in done.out, "None" in done.out) == (0, True, False)


async def test_an_unknown_model_gets_the_nearest_names(journey: CommandLine) -> None:
    done = await journey.run("models", "flux-por")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("journey-mcp: There is no model 'flux-por'. Did you mean flux-pro")
    plain = await journey.run("models", "qqq", "--json")
    assert (plain.code, plain.json["error"]["message"]) == (2, "There is no model 'qqq'.")


async def test_a_model_of_ones_own_is_told_too(journey: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    told = (await journey.given(JOURNEY_MCP_REGISTRY=str(tmp_path / "own.toml")).run("models", "painter")).out
    assert (
        "  Cost: 0.02 usd\n  Result: one picture\n  English only: not told\n  Picture: may be given, at most 2" in told
    )
    assert "  Links live: 1 days\n" in told
    assert "  --seed: 1 to 99; with a picture at most 9; in steps of 2\n" in told


OWN = """
[[model]]
id = "painter"
maker = "Ourselves"
family = "painter"
best_at = "walls"
sources = ["https://example.test"]
checked = 2026-11-21

[[offer]]
model = "painter"
provider = "journeyapi"
wire_id = "painter"
synchronous = true
usd = 0.02
expires_after_s = 86400
images = { support = "optional", maximum = 2, fields = ["image_url", "image_url_2"] }
sources = ["https://example.test"]
checked = 2026-11-21
[offer.parameters.seed]
minimum = 1
maximum = 99
maximum_with_images = 9
multiple_of = 2
"""


async def specs(journey: CommandLine, form: str) -> Any:
    done = await journey.run("specs", "--format", form)
    assert (done.code, done.err) == (0, "")
    return done.json


async def test_the_tools_come_in_every_form(journey: CommandLine) -> None:
    tools = await specs(journey, "mcp")
    assert [tool["name"] for tool in tools] == ["imagine", "edit_image", "fetch_task"]
    assert await specs(journey, "anthropic") == [
        {"name": t["name"], "description": t["description"], "input_schema": t["inputSchema"]} for t in tools
    ]
    assert await specs(journey, "openai") == [
        {
            "type": "function",
            "function": {"name": t["name"], "description": t["description"], "parameters": t["inputSchema"]},
        }
        for t in tools
    ]
    declared = await specs(journey, "gemini")
    assert list(declared) == ["functionDeclarations"]
    imagine = declared["functionDeclarations"][0]
    assert imagine.keys() == {"name", "description", "parameters"}
    assert imagine["parameters"].keys() == {"type", "properties", "required"}
    assert imagine["parameters"]["properties"]["prompt"] == {**tools[0]["inputSchema"]["properties"]["prompt"]} | {
        "type": "STRING"
    }
    ids = declared["functionDeclarations"][2]["parameters"]["properties"]["task_ids"]
    assert (ids["type"], ids["items"]) == ("ARRAY", {"type": "STRING", "maxLength": 64})


async def test_openai_takes_the_descriptions(journey: CommandLine) -> None:
    """Older endpoints of Chat Completions refuse more than 1,024 characters."""
    assert max(len(tool["description"]) for tool in await specs(journey, "mcp")) <= 1024


def test_gemini_gets_no_key_that_it_does_not_know() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "$schema": "x",
        "properties": {"additionalProperties": {"type": "integer", "enum": [1], "const": 1}, "any": {}},
    }
    assert gemini_schema(schema) == {
        "type": "OBJECT",
        "properties": {"additionalProperties": {"type": "INTEGER"}, "any": {}},
    }


async def test_specs_have_no_other_forms(journey: CommandLine) -> None:
    done = await journey.run("specs", "--format", "toml")
    assert (done.code, done.out) == (2, "")
    assert "gemini" in done.err


async def test_version_and_help_load_nothing_heavy(journey: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "light.py"
    script.write_text(
        "import atexit, sys\n"
        "heavy = ('mcp', 'httpx2', 'rich', 'sqlalchemy', 'anyio', 'uvicorn')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from journey_mcp.__main__ import main\nmain()\n"
    )
    version = await journey.process("--version", script=script)
    assert (version.code, version.out) == (0, f"journey-mcp {__version__}\n[]\n")
    helped = await journey.process("imagine", "--help", script=script)
    assert (helped.code, helped.out.splitlines()[-1]) == (0, "[]")


async def test_a_person_at_a_terminal_sees_a_bar_and_a_table(journey: CommandLine) -> None:
    made = await journey.at_terminal("imagine", "a [bold]cat[/bold]\x07 on a mat", "--model", "z-image")
    assert "z-image: sent" in made
    assert "\x1b[?25l" in made  # a bar hides the cursor
    told = await journey.given(TERM="dumb").at_terminal("tasks")
    header, row = (" ".join(line.split()) for line in told.splitlines()[:2])
    assert header == "Task Age Status Model Provider Cost Prompt"
    assert row.endswith("succeeded z-image sandbox 2 credits a [bold]cat[/bold] on a mat")


async def _help(journey: CommandLine) -> str:
    async def of(*names: str) -> Ended:
        return await journey.given(COLUMNS="100", TERM="dumb", NO_COLOR="1").run(*names, "--help")

    parts = [f"```text\n{(await of()).out.strip()}\n```\n"]
    parts += [f"### {name}\n\n```text\n{(await of(name)).out.strip()}\n```\n" for name in COMMANDS]
    return "\n".join(parts).replace("Usage: root", "Usage: journey-mcp")


@pytest.mark.generated
async def test_the_document_has_the_help_of_every_command(journey: CommandLine) -> None:
    """UPDATE_DOCS=1 rewrites it."""
    path = ROOT / "docs" / "cli.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    fresh = f"{before}{OPENING}\n{await _help(journey)}\n{CLOSING}{after}"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(fresh, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == fresh
