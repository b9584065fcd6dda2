"""`spend` at a terminal."""

from cli.command import CommandLine

from journey_mcp.sandbox import Running


async def test_at_a_terminal_bars_are_drawn(journey: CommandLine, sandbox: Running) -> None:
    """For every provider and unit, a bar per day."""
    journey = journey.at(sandbox)
    assert (await journey.run("imagine", "one", "--model", "z-image")).code == 0
    assert (await journey.run("imagine", "two", "--model", "midjourney")).code == 0
    shown = await journey.at_terminal("spend")
    assert "journeyapi, credits per day" in shown
    assert f"{'█' * 32}  6" in shown
    assert "usd per day" not in shown
