"""Runs as processes: one that is killed or interrupted goes on, and pays for nothing twice."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cli.command import CommandLine, Ended, first_line, interrupted
from manual_clock import until
from support import coarse

from journey_mcp.sandbox import Running, running

PROMPTS = [f"boat {number}" for number in range(1, 7)]


@pytest.fixture
async def slow_sandbox() -> AsyncIterator[Running]:
    """Run a sandbox whose tasks take a few seconds."""
    async with running(coarse(speed=10, seed=7)) as it:
        yield it


@asynccontextmanager
async def half_way(
    journey: CommandLine, sandbox: Running, at_once: str = "3"
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start a batch of six; yield it when the provider runs three, with the command that goes on."""
    (journey.home / "prompts.txt").write_text("\n".join(PROMPTS))
    options = ("--batch", "prompts.txt", "--at-once", at_once, "-o", "out/{n}-{prompt}.{ext}", "--aspect-ratio", "16:9")
    async with journey.started("imagine", *options) as process:
        await first_line(process.stderr)  # the sum
        resume = (await first_line(process.stderr)).partition("If it is interrupted: ")[2].strip()
        await until(lambda: [one.outcome for one in sandbox.sandbox.request_log.submissions] == ["created"] * 3)
        while [task["status"] for task in await tasks(journey) if "provider_task_id" in task] != ["running"] * 3:
            await asyncio.sleep(0.05)
        yield process, resume


async def tasks(journey: CommandLine) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = (await journey.run("tasks", "--json")).json["tasks"]
    return listed


async def resumed(journey: CommandLine, command: str) -> Ended:
    program, *words = shlex.split(command)
    assert program == "journey-mcp"
    return await journey.process(*words)


def check(done: Ended, journey: CommandLine, sandbox: Running) -> None:
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [(row[1], row[2]) for row in rows[1:]] == [(prompt, "succeeded") for prompt in PROMPTS]
    sent = [one.request["prompt"] for one in sandbox.sandbox.request_log.submissions]
    assert sorted(sent) == PROMPTS
    assert len(list((journey.home / "out").iterdir())) == 24


@pytest.mark.parametrize("at_once", ["3", "6"])
async def test_a_batch_that_was_killed_goes_on_and_pays_for_none_twice(
    journey: CommandLine, slow_sandbox: Running, at_once: str
) -> None:
    """With six at once, the others are stored and wait for their turn at the provider when it is killed."""
    journey = journey.at(slow_sandbox, JOURNEY_MCP_MAX_CONCURRENT="3")
    async with half_way(journey, slow_sandbox, at_once) as (process, resume):
        process.kill()
        await process.wait()
    check(await resumed(journey, resume), journey, slow_sandbox)
    check(await resumed(journey, resume), journey, slow_sandbox)


async def test_ctrl_c_prints_the_command_that_goes_on_with_its_options(
    journey: CommandLine, slow_sandbox: Running
) -> None:
    journey = journey.at(slow_sandbox)
    async with half_way(journey, slow_sandbox) as (process, resume):
        stopped = await interrupted(process)
    assert (stopped.code, stopped.out) == (130, "")
    assert f"Stopped waiting. To resume: {resume}" in stopped.err.splitlines()
    assert resume.endswith("--batch prompts.txt --at-once 3 -o 'out/{n}-{prompt}.{ext}' --aspect-ratio 16:9")
    check(await resumed(journey, resume), journey, slow_sandbox)


async def test_a_person_is_asked_once_about_the_sum(journey: CommandLine, sandbox: Running) -> None:
    """And pays for nothing without agreeing."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="1credits")
    words = ("imagine", "a boat", "-m", "z-image", "-n", "3")
    declined = await journey.asked(*words, answer=b"n\n")
    assert (declined.code, len(sandbox.sandbox.request_log.submissions)) == (1, 0)
    assert "journey-mcp: You declined: 3 tasks for about 6 credits." in declined.err
    agreed = await journey.asked(*words, answer=b"y\n")
    assert (agreed.code, len(sandbox.sandbox.request_log.submissions)) == (0, 3)
    question = "Make 3 tasks for about 6 credits? This exceeds JOURNEY_MCP_CONFIRM_ABOVE (1 credits). [y/N] "
    assert agreed.err.count("[y/N]") == 1
    assert question in agreed.err
