"""A small part of every attack, and that one which gets through is told."""

import asyncio
import zlib
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from core.test_redaction import FORMS, KEY
from engine.test_outbound_webhooks import TRUSTED, receiving
from mcp_types import CallToolResult, TextContent
from support import Authority, make_environment

from attack import databases, hidden, hooks, leaks, lines, upstreams
from attack.__main__ import IN_MANUAL_TIME
from attack.addresses import connections
from attack.attempts import Ground, Outcome


@pytest.mark.parametrize("name", sorted(IN_MANUAL_TIME))
async def test_an_attack_in_manual_time_gets_nowhere(name: str, tmp_path: Path, authority: Authority) -> None:
    """Whatever the seed."""
    ground = Ground(random=Random(f"test {name}"), folder=tmp_path, authority=authority, scale=0.02)
    outcome = await IN_MANUAL_TIME[name](ground)
    assert outcome.tried
    assert outcome.through == []


async def test_a_connection_is_noticed_and_not_made() -> None:
    """But for the one that is allowed."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with connections(but=port) as made:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            assert made == []
            with pytest.raises(PermissionError):
                await asyncio.open_connection("127.0.0.2", port)
        assert made == ["127.0.0.2"]


def test_what_gets_through_is_kept() -> None:
    """With what it was."""
    outcome = Outcome(unit="attempts")
    outcome.attempt(held=True, what="a")
    outcome.attempt(held=False, what="b")
    assert (outcome.tried, outcome.through) == (2, ["b"])


@pytest.mark.parametrize("text", [KEY, f"{KEY[:5]}\u200b{KEY[5:]}", "\ue000", "x\x1b[31m", "x" * 200_000])
def test_what_a_result_must_not_have_is_told(text: str) -> None:
    """Secrets, what cannot be seen, and masses."""
    assert upstreams.problem_of(CallToolResult(content=[TextContent(text=text)], structured_content={}), KEY)
    assert upstreams.problem_of(CallToolResult(content=[], structured_content={"status": text}), KEY)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_seen_in_every_form(form: str) -> None:
    """Else nothing would ever be found."""
    text = f"the key {FORMS[form](KEY)} is wrong"
    assert (leaks.sees(text, ["another", KEY]), leaks.sees(text, ["another"])) == (KEY, None)


def test_a_request_without_exactly_one_result_is_told() -> None:
    """Errors about lines that are none count for nobody."""
    answers = [b'{"id":"a","result":{}}', b'{"id":"b","error":{}}', b'{"id":null,"error":{}}']
    answers += [b'{"id":"c","result":{}}'] * 2
    assert lines.unanswered(["a", "b", "c"], answers) == ["b has 0 answers", "c has 2 answers"]
    assert lines.unanswered([], [b"Traceback"]) == ["no message: b'Traceback'"]


async def test_calls_that_are_taken_without_a_database_are_told(tmp_path: Path) -> None:
    """As those that are taken with it would be."""

    def nothing(_file: Path) -> None:
        pass

    async with make_environment(tmp_path, plan="enterprise") as here:
        wrong = await databases.harmed(here, Random(1), tmp_path / "tasks.db", nothing)
    assert "nothing: a call was taken without the database" in wrong


async def test_a_secret_that_a_webhook_is_told_is_noticed(tmp_path: Path, authority: Authority) -> None:
    """And a signature of another key."""
    async with receiving(authority) as receiver:
        settings = {"JOURNEY_MCP_WEBHOOK_SECRET": KEY, "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": receiver.url[:-5]}
        async with make_environment(tmp_path, **settings, **TRUSTED) as here:
            await here.made(webhook_url=receiver.url)
            await receiver.until_received()
    assert hooks.heard(receiver, KEY, is_trusted=True) == []
    assert len(hooks.heard(receiver, KEY, is_trusted=False)) == 2
    assert "proves nothing" in hooks.heard(receiver, "another-secret", is_trusted=True)[0]


@pytest.mark.parametrize("carrier", hidden.CARRIERS, ids=lambda carrier: carrier.__name__)
def test_what_an_image_hides_is_found_where_it_was_put(carrier: hidden.Carrier) -> None:
    """Else nothing would ever be found in what was sent; but for files that are damaged by it."""
    found = 0
    for seed in range(40):
        text = f"hidden-{seed:02}-in-an-image".encode()
        with suppress(OSError, SyntaxError, ValueError, zlib.error):
            found += hidden.holds(carrier(Random(seed), text), text)
    assert found
