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


def test_an_unknown_tool_is_an_error_of_the_setup() -> None:
    """It names the value and all tools."""
    with pytest.raises(SetupError, match=r"JOURNEY_MCP_TOOLS='imagine,fetch': there is no tool 'fetch' \(allowed: im"):
        listed("imagine,fetch")


def test_an_unknown_tool_is_found_before_serving() -> None:
    """A server must not fail at its first call."""
    with pytest.raises(SetupError, match="there is no tool 'fetch'"):
        check(read_settings({"JOURNEYAPI_API_KEY": "k", "JOURNEY_MCP_TOOLS": "fetch"}))
