"""The recorded first responses: the exact bytes that the server sends."""

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from handshakes import CLIENT, ENVELOPE, INITIALIZED, asked, handshake, modern, request, settings_with
from hypothesis import given
from hypothesis import strategies as st
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from support import SERVICES

from journey_mcp.handshake import answers
from journey_mcp.handshake.answers import CHANGE_TOOLS, Answers, recorded_tools
from journey_mcp.registry import load
from journey_mcp.server.transports import jsonrpc
from journey_mcp.settings import read_settings, variables
from journey_mcp.tools.tool_set import read_tool_set

KEYS = {key: provider for provider, (key, _) in SERVICES.items()}
RECORDED = [[key] for key in KEYS] + [list(KEYS)]
"""The keys of the configurations whose tools are recorded."""
RECORD = Path(answers.__file__).parent


def answered(keys: Sequence[str], messages: Sequence[Any]) -> list[bytes | None]:
    """Return the recorded responses, line by line; `None` is left to the server."""
    answers = Answers(dict.fromkeys(keys, "k"))
    lines = [answers.answer(json.dumps(message).encode()) for message in messages]
    return [line.line if line else None for line in lines]


async def recorded() -> dict[str, Any]:
    """Return the required content of `recorded.json`, from the server."""
    settings = settings_with(["JOURNEYAPI_API_KEY"])

    async def results(*messages: Any) -> list[Any]:
        return [json.loads(line)["result"] for line in await asked(settings, messages)]

    begun = {v: (await results(handshake(v)))[0] for v in (*KNOWN_PROTOCOL_VERSIONS, "2099-01-01")}
    discovered, modern_list = await results(modern("server/discover"), modern("tools/list", 2))
    _, legacy_list = await results(handshake(), INITIALIZED, request("tools/list", id_=2))
    latest = begun["2099-01-01"]["protocolVersion"]
    return {
        "initialize": {
            "versions": [v for v, result in begun.items() if result["protocolVersion"] == v],
            "latest": latest,
            "result": begun[latest],
        },
        "discover": discovered,
        "tools/list": {"handshake": {**legacy_list, "tools": []}, "modern": {**modern_list, "tools": []}},
        "keys": {facts.key_variable: name for name, facts in load().providers.items()},
        "without_key": "journeyapi",
    }


@pytest.mark.generated
async def test_the_record_matches_the_server() -> None:
    """UPDATE_TOOL_SPECS=1 rewrites it."""
    files = {RECORD / "recorded.json": await recorded()}
    for keys in RECORDED:
        name = "+".join(KEYS[key] for key in keys)
        (listed,) = await asked(settings_with(keys), [modern("tools/list")])
        files[RECORD / "tools" / f"{name}.json"] = json.loads(listed)["result"]["tools"]
    if os.environ.get("UPDATE_TOOL_SPECS"):
        for stale in set(RECORD.glob("**/*.json")) - set(files):
            stale.unlink()
        for path, content in files.items():
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert set(RECORD.glob("**/*.json")) == set(files), "make fix rewrites the records"
    for path, content in files.items():
        kept = path.read_text(encoding="utf-8")
        assert kept == json.dumps(content, indent=2, ensure_ascii=False) + "\n", f"{path.name}: make fix rewrites it"


CAPABILITIES: dict[str, Any] = {
    "none": {},
    "Claude Code": {"roots": {}, "elicitation": {"form": {}, "url": {}}},
    "VS Code": {
        "roots": {"listChanged": True},
        "sampling": {"tools": {}, "context": {}},
        "elicitation": {"form": {}, "url": {}},
        "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}}},
        "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}},
    },
    "older": {"experimental": {"x": {"y": [1, None]}}, "sampling": {}},
    "of a time to come": {"dreaming": {"lucid": 3}, "memory": None},
}
CLIENTS: list[Any] = [
    CLIENT,
    {"name": "klient ✓", "version": "", "title": "T", "description": "d", "websiteUrl": "https://client.test"},
]


@pytest.mark.parametrize("keys", RECORDED, ids=lambda keys: "+".join(KEYS[key] for key in keys))
@pytest.mark.parametrize(
    "version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "2099-01-01"]
)
async def test_a_handshake_and_the_tools_byte_for_byte(keys: list[str], version: str) -> None:
    """In every revision with a handshake, and in unknown ones."""
    messages = [
        handshake(version),
        INITIALIZED,
        request("tools/list", id_="two"),
        request("tools/list", {}, 3),
        request("tools/list", {"_meta": {"progressToken": 7}}, 4),
    ]
    said = await asked(settings_with(keys), messages)
    assert [line for line in answered(keys, messages) if line] == said


@pytest.mark.parametrize("keys", RECORDED, ids=lambda keys: "+".join(KEYS[key] for key in keys))
async def test_a_modern_connection_byte_for_byte(keys: list[str]) -> None:
    """In revision 2026-07-28."""
    messages = [modern("server/discover"), modern("tools/list", 2, progressToken="p"), modern("server/discover", 3)]
    assert answered(keys, messages) == await asked(settings_with(keys), messages)


@pytest.mark.parametrize("capabilities", CAPABILITIES.values(), ids=CAPABILITIES)
@pytest.mark.parametrize("client", CLIENTS, ids=["short", "whole"])
async def test_every_client_declaration_is_accepted(client: Any, capabilities: Any) -> None:
    """In both eras the record responds like the server."""
    settings, keys = settings_with(["JOURNEYAPI_API_KEY"]), ["JOURNEYAPI_API_KEY"]
    begun = [handshake(client=client, capabilities=capabilities)]
    assert answered(keys, begun) == await asked(settings, begun)
    meta = {
        "io.modelcontextprotocol/clientInfo": client,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    asked_for = [modern("server/discover", **meta), modern("tools/list", 2, **meta)]
    assert answered(keys, asked_for) == await asked(settings, asked_for)


UNKNOWN: dict[str, Any] = {
    "no version": request("initialize", {"capabilities": {}, "clientInfo": CLIENT}),
    "no parameters": request("initialize"),
    "a version that is none": handshake(version=7),
    "a client without a name": handshake(client={"version": "1"}),
    "a client with icons": handshake(client={**CLIENT, "icons": [{"src": "data:,"}]}),
    "roots that are none": handshake(capabilities={"roots": True}),
    "a word for a switch": handshake(capabilities={"roots": {"listChanged": "yes"}}),
    "an experiment that is none": handshake(capabilities={"experimental": {"x": 1}}),
    "sampling with a word": handshake(capabilities={"sampling": {"tools": "yes"}}),
    "a fraction for an id": handshake(id_=1.5),
    "truth for an id": handshake(id_=True),
    "a very long id": handshake(id_="x" * 500),
    "an id with a line feed": handshake(id_="a\nb"),
    "tools before the handshake": request("tools/list"),
    "a page of tools": modern("tools/list") | {"params": {"cursor": "2", "_meta": ENVELOPE}},
    "a discovery of another revision": modern(
        "server/discover", **{"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    ),
    "a discovery without an envelope": request("server/discover"),
    "a log level": modern("tools/list", **{"io.modelcontextprotocol/logLevel": "debug"}),
    "a call": modern("tools/call"),
    "a list of parameters": request("tools/list", []),
    "another protocol": {**handshake(), "jsonrpc": "1.0"},
    "more than a request": {**handshake(), "more": 1},
    "an answer": {"jsonrpc": "2.0", "id": 1, "result": {}},
}


@pytest.mark.parametrize("message", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_message_is_left_to_the_server(message: Any) -> None:
    """So is everything after it, unless every client may send the message first."""
    is_question = message.get("method") == "server/discover"
    for next_one in (handshake(id_=8), modern("server/discover", 9)):
        first, later = answered(["JOURNEYAPI_API_KEY"], [message, next_one])
        assert first is None
        assert (later is not None) is is_question


@pytest.mark.parametrize("value", [r'"\ud800"', '"\ud800"', "NaN", "-Infinity", "[" * 200 + "]" * 200])
def test_json_that_parsers_read_differently_is_left_to_the_server(value: str) -> None:
    """So is everything after it: the server refuses the message, and so has had no handshake."""
    line = json.dumps(handshake(capabilities={"x": 7})).replace("7", value).encode(errors="surrogatepass")
    assert Answers({}).answer(line) is None
    assert jsonrpc.parse_line(line).response is not None


def test_only_utf_8_is_read() -> None:
    """Like in the server."""
    assert Answers({}).answer(json.dumps(handshake()).encode("utf-16-le")) is None


@pytest.mark.parametrize("line", [b"", b"{", b"[" * 100_000, b"\xff", b"[]", b"7", b'"x"', b"null", b'{"id":1}'])
def test_a_line_that_is_not_a_request_is_left_to_the_server(line: bytes) -> None:
    """The server reports the error."""
    assert Answers({}).answer(line) is None


def test_a_connection_keeps_its_era() -> None:
    """Requests that the server would refuse get no recorded response."""
    keys = ["JOURNEYAPI_API_KEY"]
    assert answered(keys, [handshake(), modern("tools/list", 2)])[1] is None
    assert answered(keys, [handshake(), modern("server/discover", 2)])[1] is None
    assert answered(keys, [handshake(), handshake(id_=2)])[1] is None
    assert answered(keys, [modern("tools/list"), handshake(id_=2)])[1] is None
    assert answered(keys, [modern("tools/list"), request("tools/list", id_=2)])[1] is None


def session(seed: int) -> list[Any]:
    """Return messages of a client, in any order."""
    choice = random.Random(seed)
    makers: list[Callable[[int], Any]] = [
        lambda id_: modern("server/discover", id_),
        lambda id_: modern("server/discover", id_, **{"io.modelcontextprotocol/protocolVersion": "2099-01-01"}),
        lambda id_: request("server/discover", id_=id_),
        lambda id_: handshake(id_=id_),
        lambda id_: handshake(client={"version": "1"}, id_=id_),
        lambda _: INITIALIZED,
        lambda id_: modern("tools/list", id_),
        lambda id_: request("tools/list", id_=id_),
        lambda id_: request("tools/list", {"cursor": "x"}, id_),
        lambda id_: request("ping", id_=id_),
        lambda id_: modern("ping", id_),
    ]
    return [choice.choice(makers)(id_) for id_ in range(choice.randint(2, 6))]


@pytest.mark.parametrize("seed", range(40))
async def test_a_session_gets_the_responses_of_the_server(seed: int) -> None:
    """At every moment of the server's start: one response per request, and the era of the first one."""
    settings, messages = settings_with(["JOURNEYAPI_API_KEY"]), session(seed)
    alone = sorted(await asked(settings, messages))
    for handed_over in range(1, len(messages) + 1):
        record, said, left = Answers({"JOURNEYAPI_API_KEY": "k"}), list[bytes](), list[Any]()
        surplus: Any = None
        for message in messages[:handed_over]:
            answer = record.answer(json.dumps(message).encode())
            if answer:
                said.append(answer.line)
            if answer is None or (answer.decides and surplus is None):
                surplus = answer.request_id if answer else surplus
                left.append(message)
        by_server = await asked(settings, [*left, *messages[handed_over:]])
        said += [line for line in by_server if surplus is None or json.loads(line)["id"] != surplus]
        assert sorted(said) == alone


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    capabilities=st.dictionaries(
        st.sampled_from(["roots", "sampling", "elicitation", "experimental", "extensions", "tasks", "other"]), JSON
    ),
    client=st.dictionaries(st.sampled_from(["name", "version", "title", "icons", "other"]), JSON | st.just("x")),
)
def test_what_the_record_accepts_the_server_accepts(capabilities: Any, client: Any) -> None:
    """For every form of client declarations."""
    message = handshake(client=client, capabilities=capabilities)
    if answered([], [message])[0] is not None:
        types.InitializeRequest.model_validate({"method": "initialize", "params": message["params"]}, by_name=False)


SAMPLES: Mapping[str, str] = {
    "JOURNEY_MCP_PROVIDERS": "vtrix",
    "JOURNEY_MCP_DEFAULT_MODEL": "z-image",
    "JOURNEY_MCP_DEFAULT_EDIT_MODEL": "seededit",
    "JOURNEY_MCP_WAIT_S": "7",
    "JOURNEY_MCP_KEEP_DAYS": "7",
    "JOURNEY_MCP_TOOLS": "imagine,fetch_task",
    "JOURNEY_MCP_REGISTRY": "(a file)",
    "JOURNEY_MCP_DATA_DIR": "(a folder)",
    "JOURNEY_MCP_ALLOWED_HOSTS": "host.docker.internal",
    "JOURNEY_MCP_SERVER_URL": "https://mcp.test",
    "JOURNEY_MCP_ALLOWED_ORIGINS": "https://app.test",
    "JOURNEY_MCP_TRUST_PROXY": "on",
    "JOURNEY_MCP_CALLS_PER_MINUTE": "60",
    "JOURNEY_MCP_RUNNING_TASKS": "9",
    "JOURNEY_MCP_LOG_FORMAT": "json",
    "JOURNEY_MCP_TOKENS_FILE": "(a file)",
    "JOURNEY_MCP_OAUTH_ISSUER": "https://login.test",
    "JOURNEY_MCP_OAUTH_AUDIENCE": "https://mcp.test/mcp",
    "JOURNEY_MCP_CALLER_KEYS": "off",
    "JOURNEY_MCP_SECRET": "a secret that all servers of a fleet share",
    "JOURNEY_MCP_DATABASE_LISTEN_URL": "postgresql://nowhere/tasks",
    "JOURNEY_MCP_DATABASE_URL": "sqlite:////nowhere/tasks.db",
    "JOURNEY_MCP_IMAGE_DIRS": "(a folder)",
    "JOURNEY_MCP_TRUSTED_HOSTS": "images.test",
    "JOURNEY_MCP_COPY_MAX_MB": "1",
    "JOURNEY_MCP_KEEP_IMAGES": "off",
    "JOURNEY_MCP_KEEP_GB": "0.5",
    "JOURNEY_MCP_SAVE_DIR": "(a folder)",
    "JOURNEY_MCP_STORE": "s3://bucket/journey",
    "JOURNEY_MCP_BUDGET": "8credits/day",
    "JOURNEY_MCP_UNKNOWN_COST": "1credits",
    "JOURNEY_MCP_CONFIRM_ABOVE": "1credits",
    "JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi",
    "JOURNEY_MCP_PUBLIC_URL": "https://hooks.test",
    "JOURNEY_MCP_MAX_CONCURRENT": "2",
    "JOURNEY_MCP_RESOURCE_LINKS": "on",
    "JOURNEY_MCP_PREVIEW": "off",
    "JOURNEY_MCP_WEBHOOK_ORIGINS": "https://hooks.test",
    "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": "https://hooks.test",
    "JOURNEY_MCP_WEBHOOK_SECRET": "some-long-secret",
    "JOURNEY_MCP_SANDBOX": "off",
    "JOURNEY_MCP_LOG_LEVEL": "error",
}
"""A value that differs from the default, for every setting that is not of a provider."""
OWN = """
[models.doodle]
purpose = "doodles"
"""


@pytest.mark.parametrize("variable", sorted(set(variables()) - set(KEYS)))
def test_settings_that_change_the_tools_are_known(variable: str, tmp_path: Path) -> None:
    """With every other setting the record still matches the server."""
    value = SAMPLES.get(variable, "http://127.0.0.1:9" if variable.endswith("_BASE_URL") else "")
    assert value, f"SAMPLES needs a value that changes {variable}"
    environment = {"JOURNEYAPI_API_KEY": "k", "VTRIX_API_KEY": "k" * (variable == "JOURNEY_MCP_PROVIDERS")}
    if variable in CHANGE_TOOLS:
        assert recorded_tools({**environment, variable: value}) is None
        return
    value = str(tmp_path) if value == "(a folder)" else value
    listed = read_tool_set(read_settings({**environment, variable: value})).tools
    assert recorded_tools({**environment, variable: value}) == listed, f"{variable} belongs into CHANGE_TOOLS"
