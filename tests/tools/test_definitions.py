"""The tool definitions in `tools/list`: the spec files, the rules of clients and model APIs, the sizes."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from support import SERVICES, compact

from journey_mcp.core.requests import ModelTool
from journey_mcp.handshake.answers import recorded_tools
from journey_mcp.server.app import INSTRUCTIONS
from journey_mcp.settings import Settings, read_settings
from journey_mcp.tools.definitions import TOOLS
from journey_mcp.tools.tool_set import ToolSet, read_tool_set

SPECS = Path(__file__).parents[2] / "tool_specs"
ALL_KEYS = [key for key, _ in SERVICES.values()]
CREATION_TOOLS: tuple[ModelTool, ...] = ("imagine", "edit_image")
TOO_LONG = "shorten the descriptions, or raise this limit"
HINTS = {"title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


def tool_set(**environment: str) -> ToolSet:
    """Return the tools of a configuration."""
    return read_tool_set(read_settings({"JOURNEYAPI_API_KEY": "k", **environment}))


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside a schema."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


@pytest.mark.generated
@pytest.mark.parametrize(("folder", "keys"), [("journeyapi", ["JOURNEYAPI_API_KEY"]), ("all-providers", ALL_KEYS)])
def test_tools_match_their_spec_files(folder: str, keys: list[str]) -> None:
    """The recorded tools, one in each file of tool_specs/; UPDATE_TOOL_SPECS=1 rewrites the files."""
    recorded = {tool["name"]: tool for tool in recorded_tools(dict.fromkeys(keys, "k")) or ()}
    texts = {name: json.dumps(tool, indent=2, ensure_ascii=False) + "\n" for name, tool in recorded.items()}
    if os.environ.get("UPDATE_TOOL_SPECS"):
        for name, text in texts.items():
            (SPECS / folder / f"{name}.json").write_text(text, encoding="utf-8")
    assert {path.stem: path.read_text(encoding="utf-8") for path in (SPECS / folder).iterdir()} == texts


@pytest.mark.parametrize(
    "tool", [*tool_set().tools, *tool_set(**dict.fromkeys(ALL_KEYS, "k")).tools], ids=lambda tool: str(tool["name"])
)
def test_every_tool_follows_the_rules_of_all_clients(tool: dict[str, Any]) -> None:
    """The whole table "Schemas" of client requirements."""
    assert re.fullmatch(r"[a-z0-9_]+", tool["name"])
    assert len("journey-mcp" + tool["name"]) <= 50
    assert len(tool["description"]) <= 2048
    assert set(tool["annotations"]) == HINTS
    hints = tool["annotations"]
    assert hints["readOnlyHint"] is (tool["name"] in {"fetch_task", "view_image"})
    assert hints["idempotentHint"] is (tool["name"] in {"fetch_task", "cancel_task", "view_image"})
    assert hints["destructiveHint"] is (tool["name"] == "cancel_task")
    assert hints["openWorldHint"] is True
    assert not (hints["readOnlyHint"] and hints["destructiveHint"])
    for schema in (tool["inputSchema"], tool["outputSchema"]):
        assert schema["type"] == "object"
        jsonschema_rs.validator_for(schema)
        for node in nodes(schema):
            stray = {"oneOf", "anyOf", "allOf", "if", "not", "const", "$ref", "format", "nullable"} & set(node)
            assert not stray or "type" not in node
            assert "additionalProperties" not in node  # google-genai's converter refuses it
            assert isinstance(node.get("type", ""), (str, dict))
            if isinstance(node.get("properties"), dict) and "type" in node:
                assert set(node.get("required", ())) <= set(node["properties"])
    # the server does not compare headers with arguments
    assert "x-mcp-header" not in json.dumps(tool["inputSchema"])
    for name, parameter in tool["inputSchema"]["properties"].items():
        assert parameter["description"], name
        assert parameter["type"] in {"string", "integer", "number", "boolean", "array"}
        if name in {"wait_s", "safety_tolerance", "guidance", "steps"}:
            assert {"minimum", "maximum"} <= set(parameter)
        if parameter["type"] == "array":
            assert parameter["items"]["type"] == "string"
            assert parameter["maxItems"] >= 1


def test_the_same_configuration_gives_the_same_bytes() -> None:
    """Prompt caches depend on it."""
    assert compact(tool_set().tools) == compact(tool_set().tools)


def test_the_instructions_name_no_tool_that_makes_images() -> None:
    """Settings and providers may leave out each of them."""
    assert [name for name in TOOLS if name in INSTRUCTIONS] == ["fetch_task"]


def test_sizes() -> None:
    """Every byte costs money in every conversation: whoever raises a limit finds the new text worth that."""
    tools = tool_set().tools
    seen_by_models = sum(len(compact({k: t[k] for k in ("name", "description", "inputSchema")})) for t in tools)
    assert seen_by_models < 8500, TOO_LONG
    assert len(compact(tools)) < 18000, TOO_LONG
    keep = next(tool for tool in tools if tool["name"] == "keep_image")
    assert len(compact({k: keep[k] for k in ("name", "description", "inputSchema")})) <= 230
    assert len(INSTRUCTIONS) < 600


def test_sizes_with_all_providers() -> None:
    """Five providers take about 1.5 times the bytes of one, not five times."""
    tools = tool_set(**dict.fromkeys(ALL_KEYS, "k")).tools
    seen_by_models = sum(len(compact({k: t[k] for k in ("name", "description", "inputSchema")})) for t in tools)
    assert seen_by_models < 11500, TOO_LONG
    assert len(compact(tools)) < 21000, TOO_LONG


def test_the_size_of_refine_image() -> None:
    """Thirteen actions in one tool."""
    for keys in (["JOURNEYAPI_API_KEY"], ALL_KEYS):
        (refine,) = [tool for tool in tool_set(**dict.fromkeys(keys, "k")).tools if tool["name"] == "refine_image"]
        assert len(compact({k: refine[k] for k in ("name", "description", "inputSchema")}).decode()) <= 1450


def test_actions_of_a_registry_file_are_listed_with_their_prices(tmp_path: Path) -> None:
    """In their unit; without one, none."""
    entry = """
[[action]]
id = "{id}"
title = "{id}"
provider = "journeyapi"
endpoint = "/{id}"
parents = ["midjourney"]
sources = ["https://example.test"]
checked = 2026-11-21
"""
    path = tmp_path / "mine.toml"
    path.write_text(entry.format(id="polish") + "usd = 0.05\n" + entry.format(id="frame"), encoding="utf-8")
    (refine,) = [tool for tool in tool_set(JOURNEY_MCP_REGISTRY=str(path)).tools if tool["name"] == "refine_image"]
    action = refine["inputSchema"]["properties"]["action"]
    assert action["enum"][-2:] == ["polish", "frame"]
    assert action["description"].endswith("pan_*. USD 0.05: polish.")


def test_refine_image_is_listed_while_a_provider_offers_an_action() -> None:
    """Its actions are those of the configured providers, and it says what they cost and need."""
    for key in ALL_KEYS:
        names = [tool["name"] for tool in read_tool_set(read_settings({key: "k"})).tools]
        assert ("refine_image" in names) == (key == "JOURNEYAPI_API_KEY")
    (refine,) = [tool for tool in tool_set().tools if tool["name"] == "refine_image"]
    properties = refine["inputSchema"]["properties"]
    assert properties["action"]["enum"] == list(tool_set().catalog.actions)
    assert properties["action"]["description"] == (
        "Only on results of single: upscale_subtle, upscale_creative, vary_*, pan_*. "
        "Credits 2: single, upscale_2x, upscale_4x; "
        "4: vary, reroll, upscale_subtle, upscale_creative, vary_*, pan_*."
    )
    assert refine["inputSchema"]["required"] == ["image", "action"]
    assert set(properties) == {"image", "action", "prompt", "webhook_url", "fresh", "wait_s"}


def test_the_schema_has_only_supported_arguments() -> None:
    """Options that an offer takes; no JourneyAPI offer takes a seed or a mask."""
    configured = tool_set()
    tools = {tool["name"]: tool["inputSchema"]["properties"] for tool in configured.tools}
    taken: dict[ModelTool, set[str]] = {
        tool: {name for offers in configured.catalog.offers_for(tool).values() for o in offers for name in o.parameters}
        for tool in CREATION_TOOLS
    }
    assert {"aspect_ratio", "resolution"} <= taken["edit_image"] < taken["imagine"]
    assert not {"seed", "width", "guidance"} & taken["imagine"]
    usual = {"prompt", "model", "webhook_url", "fresh", "wait_s"}
    assert set(tools["imagine"]) == {*usual, "reference_images", *taken["imagine"]}
    assert set(tools["edit_image"]) == {*usual, "image", "reference_images", *taken["edit_image"]}
    assert set(tools["fetch_task"]) == {"task_ids", "query", "before", "wait_for", "wait_s"}
    assert tools["imagine"]["output_format"]["enum"] == ["png", "jpeg", "auto"]
    assert tools["imagine"]["reference_images"]["maxItems"] == 1


def test_viewing_takes_few_bytes() -> None:
    """A size is a number without an enum, which Gemini takes for texts only."""
    view = next(tool for tool in tool_set().tools if tool["name"] == "view_image")
    assert len(compact({k: view[k] for k in ("name", "description", "inputSchema")}).decode()) <= 480
    assert "enum" not in view["inputSchema"]["properties"]["size"]


def test_every_provider_has_webhook_url() -> None:
    """The server itself sends the webhook."""
    for key in ALL_KEYS:
        tools = [tool for tool in read_tool_set(read_settings({key: "k"})).tools if tool["name"] in CREATION_TOOLS]
        assert tools
        assert all("webhook_url" in tool["inputSchema"]["properties"] for tool in tools), key


def test_descriptions_say_when_to_choose_which_model() -> None:
    """The default, drafts, text in images, English only, models that need an image."""
    imagine, edit, *_ = tool_set().tools
    assert "midjourney (default)" in imagine["description"]
    assert "flux-2-dev for cheap drafts" in imagine["description"]
    assert "ideogram-v3 for text in the image" in imagine["description"]
    assert "flux-kontext-*" in imagine["description"]
    assert "30 days" in imagine["description"]
    assert "English only for flux-kontext-*" in edit["inputSchema"]["properties"]["prompt"]["description"]


def test_the_descriptions_show_the_settings() -> None:
    """They name the defaults that are set."""
    imagine, edit, fetch, *_ = tool_set(
        JOURNEY_MCP_DEFAULT_MODEL="z-image",
        JOURNEY_MCP_DEFAULT_EDIT_MODEL="seededit",
        JOURNEY_MCP_WAIT_S="7",
        JOURNEY_MCP_KEEP_DAYS="3",
    ).tools
    assert "z-image (default)" in imagine["description"]
    assert "kept 3 days" in imagine["description"]
    assert "seededit (default)" in edit["description"]
    assert "default 7" in fetch["inputSchema"]["properties"]["wait_s"]["description"]


def test_data_is_offered_where_the_server_hosts_it() -> None:
    """JourneyAPI alone takes URLs only; with an address from which it can fetch, it gets a link to the data."""

    def forms(settings: Settings, *, takes_files: bool = False) -> str:
        tools = read_tool_set(settings, takes_files=takes_files).tools
        (edit,) = [tool for tool in tools if tool["name"] == "edit_image"]
        return str(edit["inputSchema"]["properties"]["image"]["description"])

    settings = read_settings({"JOURNEYAPI_API_KEY": "k", "JOURNEY_MCP_SERVER_URL": "https://mcp.example.com"})
    assert "data URI" not in forms(settings)
    assert "data URI" in forms(settings.over_http())
    for variable, value in (
        ("JOURNEY_MCP_PUBLIC_URL", "https://hooks.example.com"),
        ("JOURNEY_MCP_STORE", "s3://bucket"),
    ):
        on_stdio = read_settings({"JOURNEYAPI_API_KEY": "k", variable: value})
        assert "data URI, local path" in forms(on_stdio, takes_files=True)
