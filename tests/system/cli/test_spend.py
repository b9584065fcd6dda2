"""`spend` and the question about the cost, at a terminal."""

import signal

import pytest
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


QUESTION = (
    "Make an image with midjourney at journeyapi for about 4 credits? "
    "This exceeds JOURNEY_MCP_CONFIRM_ABOVE (3 credits). [y/N] "
)


async def test_a_person_who_agrees_gets_the_image(journey: CommandLine, sandbox: Running) -> None:
    """`Yes` is an answer too."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="3credits")
    done = await journey.asked("imagine", "a kite", "--wait", "0", answer=b"Yes\n")
    assert (done.code, done.err.startswith(f"{QUESTION}Task tsk_")) == (0, True)
    assert len(sandbox.sandbox.request_log.submissions) == 1


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04", b"perhaps\n"])
async def test_after_any_other_answer_nothing_is_sent(journey: CommandLine, sandbox: Running, answer: bytes) -> None:
    """The message addresses the person."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="3credits")
    done = await journey.asked("imagine", "a kite", answer=answer)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"{QUESTION}journey-mcp: You declined: midjourney at journeyapi for about 4 credits.\n"
        "Nothing was sent or charged.\n"
    )
    assert not sandbox.sandbox.request_log.submissions


async def test_ctrl_c_declines(journey: CommandLine, sandbox: Running) -> None:
    """Without Enter."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="3credits")
    done = await journey.asked("imagine", "a kite", answer=signal.SIGINT)
    assert (done.code, done.err) == (130, f"{QUESTION}Stopped; nothing was sent.\n")
    assert not sandbox.sandbox.request_log.submissions
