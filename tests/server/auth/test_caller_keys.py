"""Provider keys in headers and in the tokens file: who may bring one, and what happens to a request with one."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from journey_mcp.auth.identity import Identity
from journey_mcp.core.provider_keys import CallerKeys
from journey_mcp.core.redaction import SHOWN
from journey_mcp.server.auth.caller_keys import CallerKeyHeaders
from journey_mcp.server.auth.identity import LOCAL_IDENTITY
from journey_mcp.settings import read_settings
from server.auth.served import ERAS, NEW, Answer, Served, add_token, serving_with

OWN, OTHER = "own-key-of-ada-0123456789", "other-key-of-ada-0123456789"
ON = {"JOURNEY_MCP_CALLER_KEYS": "on", "JOURNEY_MCP_SECRET": "s" * 40}
IMAGINE: dict[str, Any] = {"name": "imagine", "arguments": {"prompt": "a kite", "model": "z-image", "wait_s": 60}}


async def imagine(served: Served, token: str | None, era: str = NEW, **headers: str) -> Answer:
    """Make an image with these headers."""
    return await served.send(token, "tools/call", IMAGINE, era, **headers)


@pytest.mark.parametrize("era", ERAS)
async def test_a_key_in_a_header_is_used_for_its_request(tmp_path: Path, era: str) -> None:
    """The operator has none for this provider here; another principal, and a call without the header, have none."""
    file = tmp_path / "tokens"
    ada, bob = add_token(file, "ada", "providers=none"), add_token(file, "bob", "providers=bfl")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file), **ON) as served:
        made = (await imagine(served, ada, era, x_journey_key_journeyapi=OWN)).structured
        assert (made["status"], made["provider"]) == ("succeeded", "journeyapi")
        found = await served.call(ada, "fetch_task", era, task_ids=[made["task_id"]])
        assert found.structured["tasks"][0]["status"] == "succeeded"
        unknown = await served.call(bob, "fetch_task", era, task_ids=[made["task_id"]])
        assert unknown.structured["tasks"][0]["error"]["code"] == "unknown_task"
        without = (await imagine(served, ada, era)).structured
        assert without["error"]["code"] == "setup"
        assert "in the header x-journey-key-PROVIDER (one of journeyapi, vtrix" in json.dumps(without)
        assert (await imagine(served, bob, era)).structured["error"]["code"] == "unknown_model"
        assert OWN not in json.dumps([made, found.message, without])
        assert len(served.upstream.sandbox.request_log.submissions) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_the_tools_have_the_models_for_which_a_caller_has_keys(tmp_path: Path, era: str) -> None:
    """Besides those of the operator that it may use; without a key at hand, all for which it could have one."""
    file = tmp_path / "tokens"
    ada, bob = add_token(file, "ada", "providers=none"), add_token(file, "bob", "providers=bfl,kkiai")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file), **ON) as served:

        async def listed(token: str, **headers: str) -> set[str]:
            answer = await served.send(token, "tools/list", {}, era, **headers)
            return set(answer.message["result"]["tools"][0]["inputSchema"]["properties"]["provider"]["enum"])

        own = {"x_journey_key_replicate": OWN}
        assert await listed(bob) == {"bfl", "kkiai"}
        assert await listed(bob, **own) == {"bfl", "kkiai", "replicate"}
        assert await listed(ada, x_journey_key_vtrix=OWN, **own) == {"vtrix", "replicate"}
        assert await listed(ada) == {"journeyapi", "vtrix", "kkiai", "replicate", "bfl"}


@pytest.mark.parametrize(
    ("variables", "headers", "says"),
    [
        ({}, {"x_journey_key_bfl": OWN}, "takes no provider keys of callers, and the request has x-journey-key-bfl."),
        (ON, {"x_journey_key_nobody": OWN}, "x-journey-key-nobody is for no provider; providers are journeyapi, vtrix"),
        (ON, {"x_journey_key_": OWN}, "is for no provider"),
        (ON, {"x_journey_key": OWN}, "The header x-journey-key is for no provider; providers are journeyapi, vtrix"),
        (ON, {"x_journey_key_bfl": ""}, "The key in the header x-journey-key-bfl is empty."),
        (ON, {"x_journey_key_bfl": f"{OWN} {OWN}"}, "has a blank in it"),
        (ON, {"x_journey_key_bfl": OWN * 50}, "has more than 1,000 characters"),
    ],
)
async def test_a_request_whose_key_cannot_be_used_is_refused(
    tmp_path: Path, variables: dict[str, str], headers: dict[str, str], says: str
) -> None:
    """And not paid by the operator; the key is not repeated."""
    async with serving_with(tmp_path, **variables) as served:
        answer = await imagine(served, None, **headers)
        assert answer.status == 400
        assert says in answer.message["error"]["message"]
        assert answer.message["error"]["message"].endswith(". Nothing was sent or charged.")
        assert OWN not in json.dumps(answer.message)
        assert served.upstream.sandbox.request_log.submissions == ()


class Recorder:
    """An application that keeps the identity and the headers of its requests."""

    def __init__(self) -> None:
        self.seen: list[tuple[Identity, Sequence[tuple[bytes, bytes]]]] = []

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Keep them."""
        self.seen.append((scope["state"]["identity"], scope["headers"]))


async def responses(app: Recorder, *headers: tuple[bytes, bytes], identity: Identity = LOCAL_IDENTITY) -> list[Message]:
    """Send a request through the middleware; return what it responds with itself."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("no body is needed")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": list(headers), "state": {"identity": identity}}
    await CallerKeyHeaders(app, read_settings(ON))(scope, receive, send)
    return sent


async def test_keys_are_taken_out_of_the_request() -> None:
    """What comes behind has them in the identity only, where they come before those of the tokens file."""
    app, host = Recorder(), (b"host", b"a.test")
    identity = Identity(LOCAL_IDENTITY.principal, "ada", frozenset(), keys=CallerKeys({"bfl": "file", "vtrix": "file"}))
    assert await responses(app, host, (b"X-Journey-Key-BFL", OWN.encode()), identity=identity) == []
    ((found, headers),) = app.seen
    assert (found.keys.by_provider, headers) == ({"bfl": OWN, "vtrix": "file"}, [host])
    assert OWN not in repr(found)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-journey-key-bfl", OWN.encode()), (b"X-JOURNEY-KEY-BFL", OWN.encode())],
        [(b"x-journey-key-bfl", OWN.encode() + b"\x07")],
        [(b"x-journey-key-bfl", OWN.encode() + b"\xe9")],
        [(b"x-journey-key-" + b"n" * 500, OWN.encode())],
        [(b"x-journey-key-bfl", OWN.encode()), (b"x-journey-key-nobody", OWN.encode())],
    ],
)
async def test_strange_headers_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """A header that comes twice, control characters, others than ASCII, and one wrong header beside a good one."""
    app = Recorder()
    start, body = await responses(app, *headers)
    assert (start["status"], app.seen) == (400, [])
    assert OWN.encode() not in body["body"]
    assert len(body["body"]) < 500


async def test_a_key_of_the_tokens_file_needs_no_header(tmp_path: Path) -> None:
    """Nor the setting for headers; a header would come before it."""
    file = tmp_path / "tokens"
    ada = add_token(file, "ada", "providers=none", f"key.journeyapi={OWN}")
    variables = {"JOURNEY_MCP_TOKENS_FILE": str(file), **ON, "JOURNEY_MCP_CALLER_KEYS": "off"}
    async with serving_with(tmp_path, **variables) as served:
        assert (await imagine(served, ada)).structured["status"] == "succeeded"
        assert (await imagine(served, ada, x_journey_key_journeyapi=OTHER)).status == 400


async def test_a_key_is_in_no_result_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even if the caller writes it into a prompt, or the provider repeats it."""
    caplog.set_level(logging.DEBUG)
    async with serving_with(tmp_path, **ON) as served:
        arguments = {**IMAGINE["arguments"], "prompt": f"a kite with {OWN} on it"}
        params = {"name": "imagine", "arguments": arguments}
        answer = await served.send(None, "tools/call", params, x_journey_key_journeyapi=OWN)
        listed = await served.send(
            None, "tools/call", {"name": "fetch_task", "arguments": {}}, x_journey_key_journeyapi=OWN
        )
        assert SHOWN in json.dumps(listed.message)
        assert OWN not in json.dumps([answer.message, listed.message])
    assert not [record for record in caplog.records if OWN in record.getMessage()]


@pytest.mark.parametrize("extra", [{}, {"JOURNEY_MCP_SECRET": "s" * 40}])
def test_headers_need_a_secret(extra: dict[str, str]) -> None:
    """Without one, keys could not be stored sealed."""
    if extra:
        assert read_settings({"JOURNEY_MCP_CALLER_KEYS": "ON", **extra}).caller_keys == "on"
    else:
        with pytest.raises(Exception, match="JOURNEY_MCP_CALLER_KEYS=on needs JOURNEY_MCP_SECRET"):
            read_settings({"JOURNEY_MCP_CALLER_KEYS": "on"})
