"""`doctor`: what it finds, what it advises, and its exit code."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from pathlib import Path
from typing import Any

import pytest

from cli.command import CommandLine, Ended
from journey_mcp import __version__
from journey_mcp.sandbox import Fault, JourneyApiSettings, Running, Settings, running


def problems(done: Ended) -> list[dict[str, Any]]:
    assert "japi_secret_1" not in done.out + done.err
    assert (done.code == 0) == done.json["ok"]
    return [finding for finding in done.json["findings"] if finding["verdict"] == "problem"]


async def test_all_is_well(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).process("doctor")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0].startswith(f"ok       journey-mcp: {__version__} on Python 3.")
    assert lines[1:] == [
        "ok       settings: all are readable",
        f"ok       database: sqlite+aiosqlite:///{journey.home}/tasks.db opens (data folder {journey.home})",
        "ok       registry: 30 models, 30 offers; defaults midjourney and flux-kontext-pro",
        f"ok       journeyapi: reached at {sandbox.base_url}, key accepted, balance 500 credits, plan starter",
        "Everything works.",
    ]


async def test_without_a_key_the_sandbox_works_and_says_what_it_is(journey: CommandLine) -> None:
    done = await journey.run("doctor")
    assert done.code == 0
    assert (
        "ok       sandbox: no key is set, so a built-in sandbox makes the pictures: free, and made up (http" in done.out
    )
    assert "-> For real pictures set JOURNEYAPI_API_KEY.\nEverything works.\n" in done.out


@pytest.mark.parametrize(
    ("fault", "imitation", "told", "step"),
    [
        (None, {"keys": ("other",)}, "journeyapi does not accept the key.", "Put a valid key into JOURNEYAPI_API_KEY;"),
        (None, {"credits": 0}, "key accepted, balance 0 credits", "Add credits at https://journeyapi.co."),
        ("account:status=500,times=always", {}, "answered HTTP 500", "look at JOURNEYAPI_BASE_URL"),
        ("account:bad_json,times=always", {}, "answered HTTP 200", "look at JOURNEYAPI_BASE_URL"),
        ("account:reset,times=always", {}, "broke off", "look at JOURNEYAPI_BASE_URL"),
    ],
)
async def test_what_ails_a_provider_is_told_with_what_helps(
    journey: CommandLine, fault: str | None, imitation: dict[str, Any], told: str, step: str
) -> None:
    faults = (Fault.parse(fault),) if fault else ()
    settings = Settings(speed=0, faults=faults, journeyapi=JourneyApiSettings(**imitation))
    async with running(settings) as sandbox:
        [found] = problems(await journey.at(sandbox).run("doctor", "--json"))
    assert (found["about"], found["facts"]["base_url"], found["facts"]["key_set"]) == (
        "journeyapi",
        sandbox.base_url,
        True,
    )
    assert told in found["told"]
    assert step in found["next_step"]
    assert found["facts"]["reachable"] is True


async def test_a_key_with_bearer_before_it_is_recognized(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).given(JOURNEYAPI_API_KEY="Bearer japi_secret_1").run("doctor", "--json")
    [found] = problems(done)
    assert "without `Bearer` before it" in found["next_step"]
    assert found["facts"]["key_accepted"] is False


async def test_nobody_there(journey: CommandLine) -> None:
    away = journey.given(JOURNEYAPI_API_KEY="japi_secret_1", JOURNEYAPI_BASE_URL="http://127.0.0.1:1/api/v1")
    [found] = problems(await away.run("doctor", "--json"))
    assert found["facts"]["reachable"] is False
    assert found["next_step"] == "Look at the network, the proxy settings, and JOURNEYAPI_BASE_URL."
    done = await away.run("doctor")
    assert (done.code, done.out.splitlines()[-1]) == (1, "Something has to be done: see above.")


async def test_wrong_settings_are_a_finding(journey: CommandLine) -> None:
    [found] = problems(await journey.given(JOURNEY_MCP_KEEP_DAYS="ever").run("doctor", "--json"))
    assert found["told"].startswith("JOURNEY_MCP_KEEP_DAYS='ever': ")
    [found] = problems(await journey.given(JOURNEY_MCP_SANDBOX="off").run("doctor", "--json"))
    assert found["next_step"].startswith("Set JOURNEYAPI_API_KEY")
    done = await journey.given(JOURNEY_MCP_DATADIR="x").run("doctor")
    assert done.code == 0
    assert "note     settings: JOURNEY_MCP_DATADIR: no setting of journey-mcp has this name" in done.out


async def test_a_database_that_cannot_be_opened_hides_nothing_else(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    blocked = journey.at(sandbox, JOURNEY_MCP_DATA_DIR=str(tmp_path / "file" / "data"))
    done = await blocked.run("doctor", "--json")
    [found] = problems(done)
    assert (found["about"], "JOURNEY_MCP_DATA_DIR" in found["next_step"]) == ("database", True)
    assert done.json["findings"][-1]["facts"]["balance"] == {"amount": "500", "unit": "credits", "plan": "starter"}
    for url in ("nonsense://x", "postgresql+nobody://me:hidden_word@db/x"):
        done = await journey.at(sandbox, JOURNEY_MCP_DATABASE_URL=url).run("doctor", "--json")
        assert [found["about"] for found in problems(done)] == ["database"]
        assert "hidden_word" not in done.out


async def test_a_wrong_registry_file_is_a_finding(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[[model]]\nid = 1\n")
    [found] = problems(
        await journey.at(sandbox, JOURNEY_MCP_REGISTRY=str(tmp_path / "own.toml")).run("doctor", "--json")
    )
    assert (found["about"], "own.toml" in found["told"]) == ("registry", True)
    [found] = problems(await journey.at(sandbox, JOURNEY_MCP_DEFAULT_MODEL="nobody").run("doctor", "--json"))
    assert "JOURNEY_MCP_DEFAULT_MODEL='nobody'" in found["told"]
