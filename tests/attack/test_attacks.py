"""A small part of every attack, and proof that a successful attack would be reported."""

import asyncio
import zlib
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from core.test_redaction import FORMS, KEY
from engine.test_outbound_webhooks import TRUSTED, receiving
from mcp_types import CallToolResult, TextContent
from server.auth.served import serving_bounded
from server.auth.test_two_principals import two_principals
from support import SERVICES, Authority, make_environment

from attack import databases, fuzzing, hidden, hooks, leaks, lines, public_images, upstreams, wire
from attack.addresses import connections
from attack.all_attacks import IN_MANUAL_TIME
from attack.attempts import Ground, Outcome
from attack.recorded_logs import problems_in, recorded_log
from journey_mcp.registry import load


@pytest.mark.parametrize("name", sorted(IN_MANUAL_TIME))
async def test_no_attack_in_manual_time_succeeds(name: str, tmp_path: Path, authority: Authority) -> None:
    """The seed is fixed; any other must give the same result."""
    ground = Ground(random=Random(f"test {name}"), folder=tmp_path, authority=authority, scale=0.02)
    outcome = await IN_MANUAL_TIME[name](ground)
    assert outcome.attempts
    assert outcome.succeeded == []


async def test_no_random_input_over_http_succeeds(tmp_path: Path) -> None:
    """300 of those that the system tests and `make attack` send to a process."""
    outcome = Outcome(unit="inputs")
    with recorded_log() as log:
        async with two_principals(tmp_path, serving_bounded) as (served, *tokens):
            await fuzzing.fuzz(await fuzzing.target_at(served.address, *tokens), Random("test"), 300, outcome)
    assert (outcome.attempts, outcome.succeeded, log.problems()) == (300, [], [])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("HTTP/1.1 500 Internal Server Error", ""),
        ("HTTP/1.1 200 OK", '{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}'),
        ("HTTP/1.1 200 OK", '{"result":{"structuredContent":{"error":{"code":"internal"}}}}'),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked",
            '20\r\ndata: {"error":{"code":-32603}}\n\n\r\n0\r\n\r\n',
        ),
    ],
)
def test_a_failure_of_the_server_is_seen_in_its_response(head: str, body: str) -> None:
    """In the status, in an error of JSON-RPC, and in the error of a tool."""
    assert wire.response_of(f"{head}\r\n\r\n{body}".encode()).is_failure
    assert not wire.response_of(b'HTTP/1.1 200 OK\r\n\r\n{"result":{"structuredContent":{}}}').is_failure


def test_a_failure_and_a_command_to_a_terminal_are_seen_in_the_log() -> None:
    """And nothing else."""
    wrong = ["x | Traceback (most recent call last)", "it failed (report 0a1b2c3d)", "a\x1b[31m", "a\u202e"]
    assert problems_in(["a warning", *wrong, "☺"]) == wrong


def test_what_browsers_could_run_is_reported() -> None:
    """A type that is no image, or a header that is missing."""
    safe = "x-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; sandbox\r\n"
    for kind, headers, is_safe in (("image/png", safe, True), ("image/svg+xml", safe, False), ("image/png", "", False)):
        answer = wire.response_of(f"HTTP/1.1 200 OK\r\n{headers}content-type: {kind}\r\n\r\nx".encode())
        assert (public_images.problem_of_image(answer) is None) is is_safe


def test_every_provider_is_attacked() -> None:
    """Those that take images as data get images with hidden data as well."""
    assert set(upstreams.MODELS) == set(SERVICES), "MODELS of upstreams.py needs every provider"
    offers = [offer for offer in load().offers if offer.images.is_taken and offer.images.takes_data]
    assert set(hidden.SERVICES) == {offer.provider for offer in offers}, "SERVICES of hidden.py needs such a provider"


async def test_a_connection_is_recorded_and_prevented() -> None:
    """The allowed port is the exception."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with connections(but=port) as made:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            assert made == []
            with pytest.raises(PermissionError):
                await asyncio.open_connection("127.0.0.2", port)
        assert made == ["127.0.0.2"]


def test_a_successful_attempt_is_kept() -> None:
    """With its description."""
    outcome = Outcome(unit="attempts")
    outcome.attempt(held=True, what="a")
    outcome.attempt(held=False, what="b")
    assert (outcome.attempts, outcome.succeeded) == (2, ["b"])


@pytest.mark.parametrize("text", [KEY, f"{KEY[:5]}\u200b{KEY[5:]}", "\ue000", "x\x1b[31m", "x" * 200_000])
def test_forbidden_content_of_a_result_is_reported(text: str) -> None:
    """Secrets, invisible characters, and too much text."""
    assert upstreams.problem_of(CallToolResult(content=[TextContent(text=text)], structured_content={}), KEY)
    assert upstreams.problem_of(CallToolResult(content=[], structured_content={"status": text}), KEY)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    """Otherwise the attack could never succeed."""
    text = f"the key {FORMS[form](KEY)} is wrong"
    assert (leaks.sees(text, ["another", KEY]), leaks.sees(text, ["another"])) == (KEY, None)


def test_a_request_without_exactly_one_result_is_reported() -> None:
    """Errors for malformed lines belong to no request."""
    answers = [b'{"id":"a","result":{}}', b'{"id":"b","error":{}}', b'{"id":null,"error":{}}']
    answers += [b'{"id":"c","result":{}}'] * 2
    assert lines.unanswered(["a", "b", "c"], answers) == ["b has 0 responses", "c has 2 responses"]
    assert lines.unanswered([], [b"Traceback"]) == ["not a message: b'Traceback'"]


async def test_a_call_accepted_without_a_database_is_reported(tmp_path: Path) -> None:
    """Here the database is intact, so calls are accepted."""

    def nothing(_file: Path) -> None:
        pass

    async with make_environment(tmp_path, plan="enterprise") as here:
        wrong = await databases.damaged(here, Random(1), tmp_path / "tasks.db", nothing)
    assert "nothing: a call was accepted without the database" in wrong


async def test_a_secret_in_a_webhook_is_reported(tmp_path: Path, authority: Authority) -> None:
    """So is a signature with another key."""
    async with receiving(authority) as receiver:
        settings = {"JOURNEY_MCP_WEBHOOK_SECRET": KEY, "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": receiver.url[:-5]}
        async with make_environment(tmp_path, **settings, **TRUSTED) as here:
            await here.made(webhook_url=receiver.url)
            await receiver.until_received()
    assert hooks.webhook_problems(receiver, KEY, is_trusted=True) == []
    assert len(hooks.webhook_problems(receiver, KEY, is_trusted=False)) == 2
    assert "invalid signature" in hooks.webhook_problems(receiver, "another-secret", is_trusted=True)[0]


@pytest.mark.parametrize("carrier", hidden.CARRIERS, ids=lambda carrier: carrier.__name__)
def test_hidden_data_is_found_where_it_was_inserted(carrier: hidden.Carrier) -> None:
    """Otherwise the attack could never find any; files damaged by the insertion are skipped."""
    found = 0
    for seed in range(40):
        text = f"hidden-{seed:02}-in-an-image".encode()
        with suppress(OSError, SyntaxError, ValueError, zlib.error):
            found += hidden.holds(carrier(Random(seed), text), text)
    assert found
