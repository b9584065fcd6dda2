"""No command prints a secret."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from core.test_redaction import FORMS, readings
from support import coarse

from cli.command import CommandLine, Ended
from journey_mcp.sandbox import Fault, JourneyApiSettings, running

KEY = "japi_secret_1"


async def test_a_secret_that_a_provider_echoes_is_redacted(journey: CommandLine) -> None:
    async with running(coarse(speed=0, journeyapi=JourneyApiSettings(keys=(KEY,)))) as sandbox:
        at = journey.at(sandbox)
        for form in FORMS:
            body = {"errors": [{"msg": f"bad key {FORMS[form](KEY)}"}]}
            sandbox.sandbox.faults.replace(
                Fault(on=on, kind="status", status=400, times=None, body=body) for on in ("submit", "account")
            )
            for command in (("imagine", "a kite"), ("imagine", "a kite", "--json"), ("doctor",), ("doctor", "--json")):
                done = await at.run(*command)
                assert "bad key" in done.out + done.err, (form, command)
                assert not shows_key(done), (form, command)
        listed = await at.run("tasks", "--all", "--json")
    assert listed.out.count("bad key") == 2 * len(FORMS)
    assert not shows_key(listed)


def shows_key(done: Ended) -> bool:
    return any(KEY in "".join(reading.split()) for reading in readings(done.out + done.err))


async def test_a_secret_in_an_invalid_setting_is_redacted(journey: CommandLine) -> None:
    wrong = journey.given(JOURNEYAPI_API_KEY=KEY, JOURNEY_MCP_WAIT_S=f"{KEY}s", JOURNEY_MCP_WEBHOOK_SECRET="hooks-1234")
    for command in (("tasks",), ("tasks", "--json"), ("doctor",)):
        done = await wrong.run(*command)
        assert "JOURNEY_MCP_WAIT_S='[secret]s'" in done.out + done.err
    unknown = journey.given(JOURNEYAPI_API_KEY=KEY, JOURNEY_MCP_DEFAULT_MODEL="hooks-1234-x")
    done = await unknown.given(JOURNEY_MCP_WEBHOOK_SECRET="hooks-1234").run("imagine", "a kite")
    assert done.code == 2
    assert "hooks-1234" not in done.out + done.err
