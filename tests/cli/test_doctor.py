"""`doctor`: findings, next steps and exit code."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from pathlib import Path
from typing import Any

import pytest
from auth.issuer import running_issuer
from support import SERVICES, coarse

from cli.command import CommandLine, Ended
from journey_mcp.cli.doctor import examine
from journey_mcp.sandbox import (
    BflSettings,
    Fault,
    JourneyApiSettings,
    KkiaiSettings,
    ReplicateSettings,
    Running,
    VtrixSettings,
    running,
)
from journey_mcp.settings import read_settings

NOT_SIGNED = "not signed: set JOURNEY_MCP_WEBHOOK_SECRET to sign them"


def problems(done: Ended) -> list[dict[str, Any]]:
    assert "japi_secret_1" not in done.out + done.err
    assert (done.code == 0) == done.json["ok"]
    return [finding for finding in done.json["findings"] if finding["verdict"] == "problem"]


async def test_every_provider_is_checked_in_order_of_preference(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="bfl,replicate,vtrix").run("doctor")
    urls, unused = sandbox.base_urls, [name for name in SERVICES if name not in {"bfl", "replicate", "vtrix"}]
    assert done.out.splitlines()[5:] == [
        f"ok       bfl: reachable at {urls['bfl']}, key accepted, balance 10 usd",
        f"ok       replicate: reachable at {urls['replicate']}, key not rejected; it reports no balance",
        f"ok       vtrix: reachable at {urls['vtrix']}, key not rejected; it reports no balance",
        *(f"note     {s}: not used: {SERVICES[s][0]} is set, but JOURNEY_MCP_PROVIDERS omits {s}" for s in unused),
        "Everything works.",
    ]
    assert {"journeyapi", "kkiai"} <= set(unused)
    assert sandbox.sandbox.request_log.submissions == ()


async def test_limits_on_concurrent_tasks_are_shown(journey: CommandLine, sandbox: Running) -> None:
    given = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl,vtrix", "JOURNEY_MCP_MAX_CONCURRENT": "25@journeyapi,1@bfl"}
    journey = journey.at_all(sandbox, **given)
    shown = [line.partition("; ")[2] for line in (await journey.run("doctor")).out.splitlines()[5:8]]
    assert shown == ["at most 25 tasks at once", "at most 1 task at once", "it reports no balance"]
    findings = (await journey.run("doctor", "--json")).json["findings"]
    assert [finding["facts"].get("max_concurrent") for finding in findings[5:8]] == [25, 1, None]


async def test_limits_and_webhooks_are_shown(journey: CommandLine, sandbox: Running) -> None:
    given = {"JOURNEY_MCP_BUDGET": "90credits/day", "JOURNEY_MCP_CONFIRM_ABOVE": "6credits"}
    journey = journey.at(sandbox, JOURNEY_MCP_PUBLIC_URL="https://hooks.example.com/j", **given)
    lines = (await journey.run("doctor")).out.splitlines()
    command = "journey-mcp serve --webhooks HOST:PORT"
    limits = "limits 90credits/day, confirmation above 6credits"
    assert lines[2:4] == [
        f"ok       spending: {limits} (JOURNEY_MCP_BUDGET, JOURNEY_MCP_CONFIRM_ABOVE)",
        f"ok       webhooks: providers send webhooks to https://hooks.example.com/j while `{command}` runs",
    ]
    findings = (await journey.run("doctor", "--json")).json["findings"]
    assert findings[2]["facts"] == {
        "budget": "90credits/day",
        "confirm_above": "6credits",
        "covers": {"90credits/day": ["journeyapi"], "6credits": ["journeyapi"]},
    }


async def test_a_limit_that_covers_nothing_is_a_note_with_a_next_step(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox, JOURNEY_MCP_BUDGET="0.10usd/day").run("doctor")
    assert done.code == 0
    where = "(JOURNEY_MCP_BUDGET, JOURNEY_MCP_CONFIRM_ABOVE)"
    idle = "0.10usd/day covers none of the configured offers: journeyapi charges in credits"
    step = "Write it in credits in JOURNEY_MCP_BUDGET, or say what a credit costs:"
    assert done.out.splitlines()[2:4] == [
        f"note     spending: limits 0.10usd/day {where}; {idle}",
        f"         -> {step} JOURNEY_MCP_CREDIT_PRICE=0.01usd@journeyapi.",
    ]
    fixed = journey.at(sandbox, JOURNEY_MCP_BUDGET="0.10usd/day", JOURNEY_MCP_CREDIT_PRICE="0.01usd@journeyapi")
    found = (await fixed.run("doctor", "--json")).json["findings"][2]
    assert found["verdict"] == "ok"
    assert found["facts"] == {
        "budget": "0.10usd/day",
        "credit_price": "0.01usd@journeyapi",
        "covers": {"0.10usd/day": ["journeyapi"]},
    }


@pytest.mark.parametrize(
    ("budget", "step"),
    [
        ("9credits/day@bfl", "Set the key of bfl, or correct JOURNEY_MCP_BUDGET."),
        ("9credits/day", "Write it in usd in JOURNEY_MCP_BUDGET."),
    ],
)
async def test_the_next_step_depends_on_why_a_limit_covers_nothing(
    journey: CommandLine, sandbox: Running, budget: str, step: str
) -> None:
    used = "journeyapi" if "@" in budget else "bfl"
    done = await journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS=used, JOURNEY_MCP_BUDGET=budget).run("doctor", "--json")
    assert (done.json["findings"][2]["verdict"], done.json["findings"][2]["next_step"]) == ("note", step)


async def test_a_limit_that_covers_some_providers_names_them(journey: CommandLine, sandbox: Running) -> None:
    given = {"JOURNEY_MCP_PROVIDERS": "journeyapi,bfl", "JOURNEY_MCP_BUDGET": "2usd/day,9credits/day@journeyapi"}
    line = (await journey.at_all(sandbox, **given).run("doctor")).out.splitlines()[2]
    assert line.startswith("ok       spending: limits 2usd/day,9credits/day@journeyapi (")
    assert line.endswith("; 2usd/day covers bfl only: journeyapi charges in credits")


async def test_the_free_sandbox_needs_no_coverage_of_limits(journey: CommandLine) -> None:
    done = await journey.given(JOURNEY_MCP_BUDGET="0.10usd/day").run("doctor")
    assert "ok       spending: limits 0.10usd/day (JOURNEY_MCP_BUDGET, JOURNEY_MCP_CONFIRM_ABOVE)\n" in done.out


async def test_a_limit_for_an_unknown_provider_is_a_problem(journey: CommandLine, sandbox: Running) -> None:
    [found] = problems(await journey.at(sandbox, JOURNEY_MCP_MAX_CONCURRENT="5@jurney").run("doctor", "--json"))
    assert found["told"].startswith("JOURNEY_MCP_MAX_CONCURRENT=5@jurney: there is no provider 'jurney' (allowed: ")


async def test_texts_for_a_model_are_rephrased_for_the_person(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox, JOURNEY_MCP_DATABASE_URL="postgresql://kim:x@127.0.0.1:9/tasks")
    (problem,) = problems(await journey.run("doctor", "--json"))
    assert problem["next_step"] == "Call again in a moment. If the error stays, look at the database server."


async def test_a_cooldown_is_shown_with_its_end_and_reason(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="journeyapi,vtrix")
    sandbox.services["journeyapi"].balance = 0
    assert (await journey.run("imagine", "x", "--model", "seedream-4", "--wait", "0")).code == 0
    [broke] = problems(await journey.run("doctor", "--json"))
    assert "balance 0 credits, plan starter; tried last: on cooldown until 2" in broke["told"]
    sandbox.services["journeyapi"].balance = 9
    done = await journey.run("doctor", "--json")
    found = {finding["about"]: finding for finding in done.json["findings"]}
    assert (done.code, found["journeyapi"]["verdict"], found["vtrix"]["verdict"]) == (0, "note", "ok")
    rest = found["journeyapi"]["facts"]["rests"]
    assert rest["reason"].startswith("journeyapi has too little money for this")
    assert found["journeyapi"]["told"].endswith(f"on cooldown until {rest['until']}: {rest['reason']}")


async def test_a_cooldown_goes_on_with_the_sentence_of_a_problem(journey: CommandLine) -> None:
    async with running(coarse(speed=0)) as sandbox:
        journey = journey.at(sandbox)
        sandbox.services["journeyapi"].balance = 0
        assert (await journey.run("imagine", "x")).code == 1
    (problem,) = problems(await journey.run("doctor", "--json"))
    assert '"; tried last: on cooldown until 2' in problem["told"]


async def test_a_provider_that_does_not_answer_delays_no_other(journey: CommandLine) -> None:
    slow = Fault.parse("vtrix/fetch:delay=30")
    async with running(coarse(speed=0, faults=(slow,))) as sandbox:
        settings = read_settings(journey.at_all(sandbox).environment)
        found = {finding.about: finding for finding in await examine(settings, timeout_s=1)}
    assert (
        found["vtrix"].message
        == f"request to {sandbox.base_urls['vtrix']} failed, key set: vtrix did not answer within 1 s."
    )
    others = {name: finding.verdict for name, finding in found.items() if name != "vtrix"}
    assert others == dict.fromkeys({"database", "registry", *SERVICES} - {"vtrix"}, "ok")


async def test_a_check_that_takes_too_long_is_abandoned(journey: CommandLine, sandbox: Running) -> None:
    found = await examine(read_settings(journey.at(sandbox).environment), timeout_s=0)
    assert [(finding.about, finding.verdict) for finding in found] == [
        ("database", "problem"),
        ("registry", "ok"),
        ("providers", "problem"),
    ]
    assert found[0].message == "no result within 0 s"


async def test_the_poll_address_of_vtrix_is_checked(journey: CommandLine, sandbox: Running) -> None:
    away = journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="vtrix", VTRIX_POLL_BASE_URL="http://127.0.0.1:1")
    [found] = problems(await away.run("doctor", "--json"))
    assert found["told"].startswith("request to http://127.0.0.1:1 failed, key set: No connection to ")
    assert found["next_step"] == "Check the network, the proxy settings and VTRIX_POLL_BASE_URL."


async def test_additional_sources_of_images_are_shown(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey = journey.at(sandbox)
    good = await journey.given(JOURNEY_MCP_IMAGE_DIRS=str(tmp_path), JOURNEY_MCP_TRUSTED_HOSTS="nas:8080,10.0.0.7").run(
        "doctor"
    )
    assert good.out.splitlines()[2:4] == [
        f"ok       image folders: images may also be read from {tmp_path}",
        (
            "ok       trusted hosts: images are also fetched over plain HTTP and from private addresses "
            "at nas:8080, 10.0.0.7"
        ),
    ]
    missing = await journey.given(JOURNEY_MCP_IMAGE_DIRS=f"{tmp_path},{tmp_path}/none").run("doctor")
    assert missing.code == 0
    assert missing.out.splitlines()[2:4] == [
        (
            f"note     image folders: images may also be read from {tmp_path}, {tmp_path}/none; "
            f"folder not found: {tmp_path}/none"
        ),
        "         -> Create the folder, or correct JOURNEY_MCP_IMAGE_DIRS.",
    ]
    [wrong] = problems(await journey.given(JOURNEY_MCP_TRUSTED_HOSTS="a b").run("doctor", "--json"))
    assert wrong["told"] == "JOURNEY_MCP_TRUSTED_HOSTS='a b': 'a b' is neither host nor host:port."


async def test_the_folder_of_saved_images_is_checked(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey = journey.at(sandbox)
    done = await journey.given(JOURNEY_MCP_SAVE_DIR=str(tmp_path / "Images")).run("doctor")
    assert f"ok       saved images: finished images are saved in {tmp_path}/Images\n" in done.out
    [found] = problems(await journey.given(JOURNEY_MCP_SAVE_DIR=f"{tmp_path}/none/Images").run("doctor", "--json"))
    assert found["told"] == f"finished images cannot be saved in {tmp_path}/none/Images: No such file or directory"
    assert found["next_step"] == "Create the folder, make it writable, or correct JOURNEY_MCP_SAVE_DIR."


async def test_without_a_key_the_sandbox_is_reported(journey: CommandLine) -> None:
    done = await journey.run("doctor")
    assert done.code == 0
    assert "ok       sandbox: no key is set: a built-in sandbox makes free, made-up images (http" in done.out
    keys = ", ".join(key for key, _ in SERVICES.values())
    assert f"-> For real images set the key of a provider: {keys}.\nEverything works.\n" in done.out


@pytest.mark.parametrize(
    ("settings", "about", "message", "step"),
    [
        ({"kkiai": KkiaiSettings(keys=("x",))}, "kkiai", "kkiai does not accept the key.", "into KKIAI_API_KEY; keys"),
        ({"replicate": ReplicateSettings(keys=("x",))}, "replicate", "not accept the key", "into REPLICATE_API_TOKEN;"),
        ({"vtrix": VtrixSettings(keys=("x",))}, "vtrix", "does not accept the key.", "keys are at https://vtrix.ai."),
        ({"bfl": BflSettings(keys=("x",))}, "bfl", "does not accept the key.", "into BFL_API_KEY;"),
        ({"bfl": BflSettings(credits=0)}, "bfl", "balance 0 usd", "Add money at https://dashboard.bfl.ai."),
        (
            {"faults": (Fault.parse("vtrix/fetch:status=403"),)},
            "vtrix",
            "vtrix has too little money for this",
            "Add money at https://vtrix.ai, or check there that the key in VTRIX_API_KEY has permission.",
        ),
        ({"faults": (Fault.parse("kkiai/fetch:cut_body"),)}, "kkiai", "broke off", "check KKIAI_BASE_URL"),
    ],
)
async def test_a_problem_of_one_provider_is_reported_for_that_one(
    journey: CommandLine, settings: dict[str, Any], about: str, message: str, step: str
) -> None:
    async with running(coarse(speed=0, **settings)) as sandbox:
        done = await journey.at_all(sandbox).run("doctor", "--json")
    [found] = problems(done)
    assert found["about"] == about
    assert message in found["told"]
    assert step in found["next_step"]
    assert "_secret_1" not in done.out


@pytest.mark.parametrize(
    ("fault", "fake", "message", "step"),
    [
        (None, {"keys": ("other",)}, "journeyapi does not accept the key.", "Put a valid key into JOURNEYAPI_API_KEY;"),
        (None, {"credits": 0}, "key accepted, balance 0 credits", "Add money at https://journeyapi.co."),
        ("account:status=500,times=always", {}, "answered HTTP 500", "check JOURNEYAPI_BASE_URL"),
        ("account:bad_json,times=always", {}, "answered HTTP 200", "check JOURNEYAPI_BASE_URL"),
        ("account:reset,times=always", {}, "broke off", "check JOURNEYAPI_BASE_URL"),
    ],
)
async def test_a_problem_of_a_provider_has_a_next_step(
    journey: CommandLine, fault: str | None, fake: dict[str, Any], message: str, step: str
) -> None:
    faults = (Fault.parse(fault),) if fault else ()
    settings = coarse(speed=0, faults=faults, journeyapi=JourneyApiSettings(**fake))
    async with running(settings) as sandbox:
        [found] = problems(await journey.at(sandbox).run("doctor", "--json"))
    assert (found["about"], found["facts"]["base_url"], found["facts"]["key_set"]) == (
        "journeyapi",
        sandbox.base_url,
        True,
    )
    assert message in found["told"]
    assert step in found["next_step"]
    assert found["facts"]["reachable"] is True


async def test_a_balance_that_is_not_a_number_is_a_problem(journey: CommandLine) -> None:
    strange = Fault(on="journeyapi/account", kind="status", status=200, body='{"credits": NaN}')
    async with running(coarse(speed=0, faults=(strange,))) as sandbox:
        done = await journey.at(sandbox).run("doctor")
    assert (done.code, "answered HTTP 200" in done.out) == (1, True)


async def test_a_key_with_bearer_before_it_is_recognized(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).given(JOURNEYAPI_API_KEY="Bearer japi_secret_1").run("doctor", "--json")
    [found] = problems(done)
    assert "without `Bearer` before it" in found["next_step"]
    assert "japi_secret_1" not in done.out


async def test_a_password_in_an_address_is_redacted_and_explained(journey: CommandLine, sandbox: Running) -> None:
    address = sandbox.base_url.replace("://", "://kim:pass-w0rd-of-kim@")
    done = await journey.at(sandbox).given(JOURNEYAPI_BASE_URL=address).run("doctor", "--json")
    assert done.code == 0
    assert "pass-w0rd" not in done.out + done.err
    [found] = [finding for finding in done.json["findings"] if finding["about"] == "addresses"]
    assert found["told"].startswith("JOURNEYAPI_BASE_URL: user name and password are sent only if")
    away = journey.given(JOURNEYAPI_API_KEY="japi_secret_1", JOURNEYAPI_BASE_URL="http://kim:pass-w0rd@127.0.0.1:1/v1")
    assert "pass-w0rd" not in (await away.run("doctor")).out


@pytest.mark.parametrize(
    ("given", "verdict", "message"),
    [
        (
            {"JOURNEY_MCP_WEBHOOK_SECRET": "whsec_AAEC"},
            "ok",
            "webhooks are sent to any public HTTPS address, signed",
        ),
        (
            {"JOURNEY_MCP_WEBHOOK_ORIGINS": "hooks.example.com"},
            "note",
            f"webhooks are sent to https://hooks.example.com only, {NOT_SIGNED}",
        ),
        (
            {"JOURNEY_MCP_WEBHOOK_SECRET": "w", "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": "https://hooks.example.com"},
            "ok",
            "webhooks are sent to any public HTTPS address, signed, with the secret to https://hooks.example.com",
        ),
        (
            {"JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": "https://hooks.example.com"},
            "note",
            (
                f"webhooks are sent to any public HTTPS address, {NOT_SIGNED}, "
                "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS has no effect without it"
            ),
        ),
    ],
)
async def test_how_webhooks_are_sent_is_shown(
    journey: CommandLine, sandbox: Running, given: dict[str, str], verdict: str, message: str
) -> None:
    findings = (await journey.at(sandbox, **given).run("doctor", "--json")).json["findings"]
    [found] = [finding for finding in findings if finding["about"] == "webhook_url"]
    assert (found["verdict"], found["told"]) == (verdict, message)


async def test_an_unreachable_provider_is_a_problem(journey: CommandLine) -> None:
    away = journey.given(JOURNEYAPI_API_KEY="japi_secret_1", JOURNEYAPI_BASE_URL="http://127.0.0.1:1/api/v1")
    [found] = problems(await away.run("doctor", "--json"))
    assert found["facts"]["reachable"] is False
    assert found["next_step"] == "Check the network, the proxy settings and JOURNEYAPI_BASE_URL."
    done = await away.run("doctor")
    assert (done.code, done.out.splitlines()[-1]) == (1, "There are problems: see above.")


async def test_wrong_settings_are_a_finding(journey: CommandLine) -> None:
    [found] = problems(await journey.given(JOURNEY_MCP_KEEP_DAYS="ever").run("doctor", "--json"))
    assert found["told"].startswith("JOURNEY_MCP_KEEP_DAYS='ever': ")
    [found] = problems(await journey.given(JOURNEY_MCP_SANDBOX="off").run("doctor", "--json"))
    assert found["next_step"].startswith("Set JOURNEYAPI_API_KEY")
    done = await journey.given(JOURNEY_MCP_DATADIR="x").run("doctor")
    assert done.code == 0
    assert "note     settings: JOURNEY_MCP_DATADIR: not a setting of journey-mcp" in done.out


async def test_a_database_that_cannot_be_opened_hides_no_other_finding(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    blocked = journey.at(sandbox, JOURNEY_MCP_DATA_DIR=str(tmp_path / "file" / "data"))
    done = await blocked.run("doctor", "--json")
    [found] = problems(done)
    assert (found["about"], "JOURNEY_MCP_DATA_DIR" in found["next_step"]) == ("database", True)
    assert done.json["findings"][-1]["facts"]["balance"] == {"amount": "500", "unit": "credits", "plan": "starter"}
    for url in ("nonsense://x", "postgresql+nobody://me:hidden_word@db/x", "sqlite://host:port/x"):
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


async def test_accepted_tokens_are_shown(journey: CommandLine, sandbox: Running) -> None:
    file = journey.home / "tokens"
    given = {"JOURNEY_MCP_TOKENS_FILE": str(file), "JOURNEY_MCP_SERVER_URL": "https://mcp.test"}
    async with running_issuer() as issuer:
        owner = journey.at(sandbox, **given, JOURNEY_MCP_OAUTH_ISSUER=issuer.url)
        (missing,) = problems(await owner.run("doctor", "--json"))
        assert missing["told"].startswith(f"JOURNEY_MCP_TOKENS_FILE: {file} cannot be read")
        await owner.run("token", "new", "ada")
        line = f"1 tokens in {file}; access tokens of {issuer.url} for https://mcp.test/mcp, with 1 keys"
        assert f"ok       authentication: {line}" in (await owner.run("doctor")).out.splitlines()
        file.write_text("broken\n", encoding="utf-8")
        found = (await owner.run("doctor", "--json")).json["findings"]
        (finding,) = [finding for finding in found if finding["about"] == "authentication"]
        assert (finding["verdict"], finding["facts"]["tokens"]) == ("note", 0)
        assert "skipped line 1: the second word must be sha256:" in finding["told"]
        await owner.run("token", "new", "eve", "--key", "bfl", stdin=b"own-key-of-eve-01234")
        (keyless,) = problems(await owner.run("doctor", "--json"))
        assert keyless["told"].startswith("provider keys in the tokens file cannot be stored sealed: those of eve")
        assert problems(await owner.given(JOURNEY_MCP_SECRET="s" * 32).run("doctor", "--json")) == []
        issuer.is_away = True
        file.write_text("broken\n", encoding="utf-8")
        (away,) = problems(await owner.run("doctor", "--json"))
        assert away["told"].startswith(f"the keys of {issuer.url} cannot be had: it has no metadata")
        assert away["next_step"] == "Correct JOURNEY_MCP_OAUTH_ISSUER, or make it reachable from here."
