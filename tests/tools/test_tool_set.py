"""The tools that `JOURNEY_MCP_TOOLS` names."""

import pytest

from journey_mcp.core.errors import SetupError
from journey_mcp.settings import read_settings
from journey_mcp.startup import check
from journey_mcp.tools.definitions import TOOLS
from journey_mcp.tools.tool_set import read_tool_set


def listed(names: str) -> list[str]:
    """Return the listed tools for a value of the variable."""
    settings = read_settings({"JOURNEYAPI_API_KEY": "k", "JOURNEY_MCP_TOOLS": names})
    return [tool["name"] for tool in read_tool_set(settings).tools]


def test_all_tools_are_listed_by_default() -> None:
    """In their order."""
    assert listed("") == list(TOOLS)


def test_only_the_named_tools_are_listed() -> None:
    """In the usual order and in any case."""
    assert listed("fetch_task, Imagine") == ["imagine", "fetch_task"]


ALL_KEYS = {f"{name}_API_KEY": "k" for name in ("JOURNEYAPI", "VTRIX", "KKIAI", "BFL")} | {"REPLICATE_API_TOKEN": "k"}


def test_a_part_is_as_if_its_providers_alone_were_configured() -> None:
    """The same tools, byte for byte, in the order of preference and whatever the order in which they are named."""
    whole = read_tool_set(read_settings(ALL_KEYS))
    keys = {name: ALL_KEYS[name] for name in ("VTRIX_API_KEY", "BFL_API_KEY")}
    alone = read_tool_set(read_settings(keys))
    assert whole.only(["bfl", "vtrix"]).tools == whole.only({"vtrix", "bfl"}).tools == alone.tools
    assert whole.only(["bfl", "vtrix"]).defaults == alone.defaults
    assert whole.only(whole.catalog.providers).tools == whole.tools


def test_a_part_without_the_default_model_has_another_one() -> None:
    """That of the settings is kept where it is offered; without any offer, nothing that makes images is listed."""
    whole = read_tool_set(read_settings({**ALL_KEYS, "JOURNEY_MCP_DEFAULT_MODEL": "flux-2-pro"}))
    assert whole.only(["bfl"]).defaults.imagine == "flux-2-pro"
    assert whole.only(["journeyapi"]).defaults.imagine == "midjourney"
    nothing = whole.only([])
    assert nothing.names == ["fetch_task", "cancel_task", "view_image", "keep_image"]
    assert nothing.defaults.imagine == ""


def test_a_callers_key_brings_the_tools_of_its_provider() -> None:
    """Also one for which no configured provider has a model; but none that `JOURNEY_MCP_TOOLS` leaves out."""
    bfl = {"BFL_API_KEY": "k"}
    assert "refine_image" not in read_tool_set(read_settings(bfl)).names
    assert read_tool_set(read_settings(bfl)).with_own_keys(["journeyapi"], ["bfl"]).names == list(TOOLS)
    named = read_tool_set(read_settings({**bfl, "JOURNEY_MCP_TOOLS": "imagine"}))
    assert named.with_own_keys(["journeyapi"], []).names == ["imagine"]


def test_a_part_has_only_the_named_tools() -> None:
    """`JOURNEY_MCP_TOOLS` holds for it too."""
    whole = read_tool_set(read_settings({**ALL_KEYS, "JOURNEY_MCP_TOOLS": "imagine"}))
    assert whole.only(["bfl"]).names == ["imagine"]


def test_an_unknown_tool_is_an_error_of_the_setup() -> None:
    """It names the value and all tools."""
    with pytest.raises(SetupError, match=r"JOURNEY_MCP_TOOLS='imagine,fetch': there is no tool 'fetch' \(allowed: im"):
        listed("imagine,fetch")


def test_an_unknown_tool_is_found_before_serving() -> None:
    """A server must not fail at its first call."""
    with pytest.raises(SetupError, match="there is no tool 'fetch'"):
        check(read_settings({"JOURNEYAPI_API_KEY": "k", "JOURNEY_MCP_TOOLS": "fetch"}))
