"""Servers that share a database, compete and are killed: nothing is paid twice, lost, or beyond the budget."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from chaos.audit import created, problems
from chaos.chain import run_all
from chaos.plan import chains
from processes import process
from support import coarse, environment_of

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox

_SERVERS = 3
_COST = 4
"""Credits of an image of midjourney."""
_LIMIT = 12


async def budgets(ground: Ground) -> Outcome:
    """Three processes spend from one budget at the same time."""
    outcome = Outcome(unit=f"calls at {_SERVERS} servers that share a budget of {_LIMIT} credits")
    async with sandbox.running(coarse(speed=0)) as upstream, AsyncExitStack() as stack:
        limit = f"{_LIMIT}credits/day"
        environment = environment_of(upstream, ground.folder, "journeyapi", JOURNEY_MCP_BUDGET=limit)
        clients = [await stack.enter_async_context(process(environment)) for _ in range(_SERVERS)]
        calls = [
            client.call_tool("imagine", {"prompt": f"a kite, {number}", "model": "midjourney"})
            for number in range(ground.count(40))
            for client in clients
        ]
        ground.random.shuffle(calls)
        results = await asyncio.gather(*calls)
        made = sum(entry.outcome == "created" for entry in upstream.sandbox.request_log.submissions)
        for result in results:
            content = result.structured_content or {}
            held = not result.is_error or content["error"]["code"] == "over_budget"
            outcome.attempt(held=held, what=f"{content}"[:200])
        outcome.attempt(held=made * _COST <= _LIMIT, what=f"{made} tasks of {_COST} credits")
    return outcome


async def duplicates(ground: Ground) -> Outcome:
    """Three processes receive the same call at the same time."""
    outcome = Outcome(unit=f"calls sent to {_SERVERS} servers at once")
    async with sandbox.running(coarse(speed=20)) as upstream, AsyncExitStack() as stack:
        environment = environment_of(upstream, ground.folder, "journeyapi")
        clients = [await stack.enter_async_context(process(environment)) for _ in range(_SERVERS)]
        prompts = [f"a kite, {number}" for number in range(ground.count(20))]
        for prompt in prompts:
            given = {"prompt": prompt, "model": "midjourney", "wait_s": 0}
            await asyncio.gather(*(client.call_tool("imagine", given) for client in clients))
        tasks = (await clients[0].call_tool("fetch_task", {})).structured_content or {}
        ids = [task["task_id"] for task in tasks["tasks"]]
        await clients[0].call_tool("fetch_task", {"task_ids": ids, "wait_s": 60})
        request_log = upstream.sandbox.request_log.submissions
        paid = Counter(entry.request["prompt"] for entry in request_log if entry.outcome == "created")
        for prompt in prompts:
            outcome.attempt(held=paid[prompt] == 1, what=f"{paid[prompt]} tasks for {prompt!r}")
    return outcome


async def kills(ground: Ground) -> Outcome:
    """Servers are killed with SIGKILL at every stage of a task; `make chaos` does it 320 times."""
    outcome = Outcome(unit="tasks of killed servers")
    planned = chains(ground.random.randrange(10**6), 0)
    records = await run_all(planned, ground.folder, at_once=6)
    for chain in records:
        outcome.attempts += len(created(chain))
        outcome.succeeded += problems(chain)
    crashes = sum(len(chain.crashes) for chain in records)
    outcome.remark = f"{crashes} kills"
    return outcome
