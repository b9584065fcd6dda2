"""The settings that a client gets are those of the shell, and mean the same in another folder."""

from pathlib import Path

import pytest

from journey_mcp.cli.install.variables import has_key, set_variables, titles

MINE = """
[provider]
id = "mine"
title = "Mine"
wire = "vtrix"
base_url = "https://mine.example.com"
key_variable = "MINE_API_KEY"
base_url_variable = "MINE_BASE_URL"
sources = ["https://mine.example.com/docs"]
checked = 2026-11-29
"""


def test_settings_that_are_set_are_written() -> None:
    """No other variables, and none that is empty."""
    environment = {"JOURNEYAPI_API_KEY": " japi_1234 ", "VTRIX_API_KEY": " ", "OPENAI_API_KEY": "sk-1", "HOME": "/x"}
    assert set_variables(environment) == {"JOURNEYAPI_API_KEY": "japi_1234"}


def test_paths_are_written_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients start servers in other folders; `~` is that of this user."""
    monkeypatch.chdir(tmp_path)
    environment = {"JOURNEY_MCP_DATA_DIR": "data", "JOURNEY_MCP_IMAGE_DIRS": "a, b", "JOURNEY_MCP_SAVE_DIR": "~/saved"}
    assert set_variables(environment) == {
        "JOURNEY_MCP_DATA_DIR": str(tmp_path / "data"),
        "JOURNEY_MCP_IMAGE_DIRS": f"{tmp_path / 'a'},{tmp_path / 'b'}",
        "JOURNEY_MCP_SAVE_DIR": str(Path("~/saved").expanduser()),
    }


def test_keys_of_the_registry_file_are_written_and_no_others(tmp_path: Path) -> None:
    """Many programs have variables that end in the same way."""
    registry = tmp_path / "mine.toml"
    registry.write_text(MINE)
    environment = {
        "JOURNEY_MCP_REGISTRY": str(registry),
        "MINE_API_KEY": "mine_1234",
        "MINE_BASE_URL": "https://other.example.com",
        "OPENAI_API_KEY": "sk-1",
    }
    names = set_variables(environment)
    assert names == {name: value for name, value in environment.items() if name != "OPENAI_API_KEY"}
    assert has_key(names)
    assert titles(environment)["MINE_API_KEY"] == "Mine key"


def test_addresses_and_limits_are_no_keys() -> None:
    """The sandbox runs with them."""
    assert not has_key({"JOURNEYAPI_BASE_URL", "JOURNEY_MCP_BUDGET", "JOURNEY_MCP_TOKENS_FILE"})
