"""What ends `gallery` before anything is served."""

import pytest

from cli.command import CommandLine


@pytest.mark.parametrize(
    ("variable", "value"), [("JOURNEY_MCP_WAIT_S", "soon"), ("JOURNEY_MCP_DEFAULT_MODEL", "nobody")]
)
async def test_an_invalid_setting_ends_the_command(journey: CommandLine, variable: str, value: str) -> None:
    """Before anything is served."""
    done = await journey.given(**{variable: value}).run("gallery", "--no-open")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"journey-mcp: {variable}={value!r}")


async def test_an_invalid_port_is_rejected(journey: CommandLine) -> None:
    """By name."""
    done = await journey.run("gallery", "--port", "70000")
    assert done.code == 2
    assert "--port" in done.err
