"""`spend`, `cancel` and limits on the command line."""

import time
from dataclasses import replace
from decimal import Decimal

import pytest
from server.test_listing import make_task

from cli.command import CommandLine
from journey_mcp.core.principals import principal_of_token
from journey_mcp.sandbox import Fault, Running
from journey_mcp.store import open_store


async def test_spending_is_shown_by_day_provider_and_model(journey: CommandLine, sandbox: Running) -> None:
    """The newest day first; as a table and as JSON."""
    journey = journey.at(sandbox)
    for prompt in ("one", "two"):
        assert (await journey.run("imagine", prompt, "--model", "z-image")).code == 0
    started = await journey.run("imagine", "three", "--model", "midjourney", "--wait", "0", "--json")
    assert (await journey.run("fetch", started.json["task_id"])).code == 0
    plain = (await journey.run("spend", "--json")).json
    assert [(row["model"], row["tasks"], row["credits"], row["usd"]) for row in plain["spent"]] == [
        ("midjourney", 1, "4", "0"),
        ("z-image", 2, "4", "0"),
    ]
    shown = await journey.run("spend")
    header, _, second = shown.out.splitlines()
    assert header == "Day\tProvider\tModel\tTasks\tCredits\tUSD\tWithout price\tUnconfirmed"
    assert second.split("\t")[1:] == ["journeyapi", "z-image", "2", "4", "0", "0", "0"]
    assert "unknown" not in shown.err
    assert "never confirmed" not in shown.err


async def test_spending_is_shown_by_principal(journey: CommandLine, sandbox: Running) -> None:
    """For whoever runs a service: totals of each caller at each provider, and nothing of what the tasks show."""
    journey = journey.at(sandbox)
    async with open_store(f"sqlite:///{journey.home}/tasks.db") as store:
        for name, amount in (("bob", 4), ("ana", 4), ("ana", 2)):
            task = make_task("a secret", principal=principal_of_token(name), charges={"credits": Decimal(amount)})
            await store.tasks.add(replace(task, created_at=time.time()), worker_id="w", lease_until=0.0)
    done = await journey.run("spend", "--by", "principal", "--json")
    columns = ("principal", "provider", "tasks", "credits", "usd")
    assert [[row[name] for name in columns] for row in done.json["spent"]] == [
        ["token:ana", "journeyapi", 2, "6", "0"],
        ["token:bob", "journeyapi", 1, "4", "0"],
    ]
    header, first, _ = (await journey.run("spend", "--by", "principal")).out.splitlines()
    assert header == "Principal\tProvider\tTasks\tCredits\tUSD\tWithout price\tUnconfirmed"
    assert first.split("\t") == ["token:ana", "journeyapi", "2", "6", "0", "0", "0"]
    assert "secret" not in done.out
    wrong = await journey.run("spend", "--by", "month")
    assert (wrong.code, "'month' is not one of 'day', 'principal'" in wrong.err) == (2, True)


async def test_unknown_costs_are_stated(journey: CommandLine, sandbox: Running) -> None:
    """A price that is not stated, one that the provider reported, and a request without an answer."""
    journey = journey.at_all(sandbox)
    assert (await journey.run("imagine", "a kite", "--model", "flux-schnell", "--provider", "replicate")).code == 0
    options = ("--model", "kling-v2", "--provider", "vtrix", "--wait", "0", "--json")
    started = await journey.run("imagine", "a kite", *options)
    assert (await journey.run("fetch", started.json["task_id"])).code == 0
    sandbox.sandbox.faults.replace([Fault.parse("submit:reset_after")])
    assert (await journey.run("imagine", "a kite", "--model", "z-image")).code == 1
    sandbox.sandbox.faults.replace([])
    rows = {row["model"]: row for row in (await journey.run("spend", "--json")).json["spent"]}
    columns = ("credits", "told_by_provider", "without_price", "unconfirmed")
    assert [rows["flux-schnell"][name] for name in ("usd", *columns)] == ["0", "0", 0, 1, 0]
    assert [rows["z-image"][name] for name in ("usd", *columns)] == ["0", "2", 0, 0, 1]
    assert [rows["kling-v2"][name] for name in columns] == ["0", 1, 0, 0]
    assert Decimal(rows["kling-v2"]["usd"]) > 0
    notes = (await journey.run("spend")).err
    assert "The price of 1 of the tasks is unknown" in notes
    assert "Each counts towards budgets as 8 credits or 0.1 usd" in notes
    assert "1 of the tasks were sent but never confirmed" in notes


async def test_no_spending_is_information(journey: CommandLine, sandbox: Running) -> None:
    """Without an existing database."""
    done = await journey.at(sandbox).run("spend")
    assert (done.code, done.out) == (0, "")
    assert "Nothing was spent in the last 30 days." in done.err


async def test_the_budget_stops_a_command(journey: CommandLine, sandbox: Running) -> None:
    """The error quotes the limit."""
    done = await journey.at(sandbox, JOURNEY_MCP_BUDGET="3credits/call").run("imagine", "a kite")
    assert done.code == 1
    assert "The budget 3credits/call is exceeded" in done.err
    assert not sandbox.sandbox.request_log.submissions


async def test_credits_with_a_price_are_shown_in_dollars(journey: CommandLine, sandbox: Running) -> None:
    """By every command that shows costs; credits stay what they are."""
    journey = journey.at(sandbox, JOURNEY_MCP_CREDIT_PRICE="0.01usd@journeyapi")
    made = (await journey.run("imagine", "a kite", "--model", "z-image", "--json")).json
    assert made["cost"] == {"amount": "2", "unit": "credits", "source": "registry", "usd": "0.02"}
    assert "Cost: 2 credits (0.02 USD; list price)\n" in (await journey.run("fetch", made["task_id"])).out
    shown = await journey.run("tasks")
    assert "\t2 credits (0.02 USD)\t" in shown.out
    assert shown.err.startswith("Spent today (UTC): 2 credits (0.02 USD) at journeyapi (1 task).")
    listed = (await journey.run("tasks", "--json")).json
    assert (listed["tasks"][0]["cost"], listed["spent"]["today"][0]["usd"]) == (made["cost"], "0.02")
    spent = await journey.run("spend")
    assert spent.out.splitlines()[1].split("\t")[4:6] == ["2", "0.02"]
    assert "USD includes credits at 0.01usd@journeyapi (JOURNEY_MCP_CREDIT_PRICE).\n" in spent.err
    (row,) = (await journey.run("spend", "--json")).json["spent"]
    assert (row["credits"], row["usd"]) == ("2", "0.02")


async def test_without_a_terminal_there_is_no_confirmation(journey: CommandLine, sandbox: Running) -> None:
    """A script cannot confirm a cost."""
    done = await journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="3credits").run("imagine", "a kite")
    assert done.code == 1
    assert "without a terminal you cannot be asked" in done.err
    assert done.err.endswith("Choose a cheaper model, or confirm the cost with --yes.\n")
    assert not sandbox.sandbox.request_log.submissions


async def test_a_finished_task_is_not_canceled(journey: CommandLine, sandbox: Running) -> None:
    """Its status is reported."""
    journey = journey.at(sandbox)
    made = (await journey.run("imagine", "a kite", "--model", "z-image", "--json")).json
    done = await journey.run("cancel", made["task_id"])
    assert done.code == 0
    assert "The task has ended already: succeeded." in done.out
    shown = (await journey.run("cancel", made["task_id"], "--json")).json
    assert shown["tasks"][0]["task_id"] == made["task_id"]


@pytest.mark.parametrize("command", ["cancel", "fetch"])
async def test_an_unknown_task_is_an_error(journey: CommandLine, sandbox: Running, command: str) -> None:
    """The error names it."""
    done = await journey.at(sandbox).run(command, "tsk_nobody")
    assert done.code == 2
    assert "tsk_nobody" in done.err


async def test_fresh_makes_a_new_paid_image(journey: CommandLine, sandbox: Running) -> None:
    """Even if an identical request may have been charged."""
    journey = journey.at(sandbox)
    sandbox.sandbox.faults.replace([Fault.parse("submit:reset_after")])
    assert (await journey.run("imagine", "a kite", "--model", "z-image")).code == 1
    again = await journey.run("imagine", "a kite", "--model", "z-image")
    assert again.code == 1
    assert "without an answer. It may have been charged" in again.err
    assert "--fresh" in again.err or "fresh" in again.err
    assert (await journey.run("imagine", "a kite", "--model", "z-image", "--fresh")).code == 0
