"""`purge` at a terminal."""

import pytest
from cli.command import CommandLine
from cli.test_moving import listed, made

from journey_mcp.sandbox import Running


@pytest.mark.parametrize(
    ("answer", "code", "says", "left"), [(b"n\n", 1, "Nothing was deleted.", 1), (b"y\n", 0, "", 0)]
)
async def test_purge_asks_before_it_deletes(
    journey: CommandLine, sandbox: Running, answer: bytes, code: int, says: str, left: int
) -> None:
    """With how much it is."""
    journey = journey.at(sandbox)
    await made(journey, "one")
    done = await journey.asked("purge", "--older-than", "0", answer=answer)
    assert "Delete 1 tasks with their prompts and images, and 0 added images?" in done.err
    assert (done.code, says in done.err, len(await listed(journey))) == (code, True, left)
