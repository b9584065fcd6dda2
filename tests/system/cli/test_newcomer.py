"""A newcomer's walk: one command after the installation, and what each client then starts makes an image."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cli.command import ROOT, CommandLine
from mcp import Client, StdioServerParameters, stdio_client

from journey_mcp.cli.install.clients import CLIENTS, Machine

SERVERS = {"vscode": "servers", "codex": "mcp_servers"}
"""Where a client looks for its servers, if not in `mcpServers`."""
MOVES = {"XDG_CONFIG_HOME", *(variable for client in CLIENTS.values() for variable in client.variables)}
"""What would let the command write outside of the home folder."""


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_command_leads_to_an_image(client: str, journey: CommandLine) -> None:
    """Without a key; the client starts the entry with the few variables that it passes on."""
    journey = journey.given(HOME=str(journey.home), **dict.fromkeys(MOVES, ""))
    file = CLIENTS[client].file(Machine(system=sys.platform, home=journey.home, environment={}))
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.parent == journey.home:
        file.write_text("{}", encoding="utf-8")
    ended = await journey.process("install", client, "--yes")
    assert ended.code == 0, ended.err
    entry = servers_in(file, SERVERS.get(client, "mcpServers"))["journey"]
    # a checkout that is not installed is found by PYTHONPATH
    passed_on = {"HOME": str(journey.home), "PYTHONPATH": str(ROOT), **entry.get("env", {})}
    parameters = StdioServerParameters(command=entry["command"], args=entry.get("args", []), env=passed_on)
    async with Client(stdio_client(parameters)) as opened:
        result = await opened.call_tool("imagine", {"prompt": "a lighthouse at dusk", "model": "z-image"})
    made = result.structured_content or {}
    assert (made["status"], made["provider"], len(made["images"])) == ("succeeded", "sandbox", 1)


def servers_in(file: Path, member: str) -> Any:
    """Return the servers as a client reads them."""
    text = file.read_text("utf-8")
    return (tomllib.loads(text) if file.suffix == ".toml" else json.loads(text))[member]
