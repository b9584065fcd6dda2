"""`doctor` as a process."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from cli.command import CommandLine

from journey_mcp import __version__
from journey_mcp.registry import load
from journey_mcp.sandbox import Running


async def test_a_working_setup_has_no_problems(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).process("doctor")
    lines, count = done.out.splitlines(), len(load().catalog(["journeyapi"]).models)
    assert (done.code, done.err) == (0, "")
    assert lines[0].startswith(f"ok       journey-mcp: {__version__} on Python 3.")
    assert lines[1:] == [
        "ok       settings: all are valid",
        "ok       spending: no limit (JOURNEY_MCP_BUDGET, JOURNEY_MCP_CONFIRM_ABOVE)",
        f"ok       database: sqlite:///{journey.home}/tasks.db can be opened (data folder {journey.home})",
        f"ok       registry: {count} models, {count} offers; defaults midjourney and flux-kontext-pro",
        f"ok       journeyapi: reachable at {sandbox.base_url}, key accepted, balance 500 credits, plan starter",
        "Everything works.",
    ]
