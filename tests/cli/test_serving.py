"""`serve`, `sandbox`, and the server without a command."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import pytest
from support import free_port

from cli.command import CommandLine
from journey_mcp.cli.serving import ServeRequest, parse_address
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.server.transports import http


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:8000", "without authentication only this machine may connect"),
        ("example.com:8000", "without authentication only this machine may connect"),
        ("[::]:8000", "without authentication only this machine may connect"),
        ("8000", "is not an address"),
        ("127.0.0.1:0", "is not an address"),
        ("127.0.0.1:65536", "is not an address"),
        ("::1:8000", "is not an address"),
    ],
)
async def test_other_addresses_are_rejected(journey: CommandLine, address: str, words: str) -> None:
    done = await journey.run("serve", "--http", address)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("journey-mcp: ")
    assert words in done.err
    assert "Serving" not in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0: without authentication only this machine may connect"),
        (("--host", "[::]", "--port", "80"), "--host ::: without authentication only this machine may connect"),
        (("--port", "0"), "--port"),
        (("--port", "1", "--http", "localhost:1"), "--http is --host and --port in one"),
        (("--port", "1", "--webhooks", "127.0.0.1:1"), "--webhooks 127.0.0.1:1: port 1 is for MCP only"),
        (("--trust-proxy",), "--trust-proxy is for HTTP only"),
        (("--server-url", "https://mcp.test"), "--server-url is for HTTP only"),
        (("--port", "1", "--server-url", "http://mcp.test"), "JOURNEY_MCP_SERVER_URL='http://mcp.test': must be an"),
    ],
)
async def test_options_that_do_not_fit_are_rejected(
    journey: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    done = await journey.run("serve", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Serving" not in done.err


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"JOURNEY_MCP_TOKENS_FILE": "/nowhere/tokens"}, "/nowhere/tokens cannot be read"),
        ({"JOURNEY_MCP_OAUTH_ISSUER": "https://login.test"}, "needs the address under which clients reach this server"),
        ({}, "Set JOURNEY_MCP_TOKENS_FILE or JOURNEY_MCP_OAUTH_ISSUER, or use one of these addresses."),
    ],
)
async def test_other_machines_may_connect_with_authentication_only(
    journey: CommandLine, variables: dict[str, str], words: str
) -> None:
    done = await journey.given(**variables).run("serve", "--host", "0.0.0.0")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Serving" not in done.err


def test_one_option_is_enough_for_http() -> None:
    assert ServeRequest().endpoint() is None
    assert ServeRequest(host="localhost").endpoint() == ("--host", "localhost", 8000)
    assert ServeRequest(port=9).endpoint() == ("--host", "127.0.0.1", 9)
    assert ServeRequest(host="[::1]", port=9).endpoint() == ("--host", "::1", 9)
    assert ServeRequest(address="[::1]:9").endpoint() == ("--http", "::1", 9)
    assert ServeRequest(server_url="https://mcp.test", trust_proxy=True).variables() == {
        "JOURNEY_MCP_SERVER_URL": "https://mcp.test",
        "JOURNEY_MCP_TRUST_PROXY": "on",
    }


def test_a_server_with_authentication_listens_at_any_address() -> None:
    for listener in http.bind("--host", "0.0.0.0", free_port(), has_authentication=True):
        assert listener.getsockname()[0] == "0.0.0.0"
        listener.close()


def test_addresses_are_parsed_with_brackets_around_ipv6() -> None:
    assert parse_address("--http", "[::1]:80") == ("::1", 80)
    assert parse_address("--http", " localhost:8000 ") == ("localhost", 8000)
    with pytest.raises(InvalidArguments):
        parse_address("--http", "[localhost]:80")


async def test_invalid_settings_end_the_command_with_one_line(journey: CommandLine) -> None:
    done = await journey.given(JOURNEY_MCP_WAIT_S="soon").run("serve", "--http", "127.0.0.1:1")
    assert done.code == 2
    assert done.err.startswith("journey-mcp: JOURNEY_MCP_WAIT_S='soon': ")
    model = await journey.given(JOURNEY_MCP_DEFAULT_MODEL="nobody").run("serve", "--http", "127.0.0.1:1")
    assert (model.code, model.out) == (2, "")
    assert model.err.startswith("journey-mcp: JOURNEY_MCP_DEFAULT_MODEL='nobody': imagine has no such model")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "nobody/submit:reset"), "not on 'nobody/submit'"),
        (("--fault", "nonsense"), "journey-mcp: --fault: A fault reads on:kind"),
        (("--fault", "submit:nonsense"), "journey-mcp: --fault: There is no fault of kind 'nonsense'"),
        (("--speed", "-1"), "--speed"),
        (("--plan", "gold"), "--plan"),
        (("--port", "70000"), "--port"),
    ],
)
async def test_invalid_options_of_the_sandbox_are_rejected(
    journey: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    done = await journey.run("sandbox", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
