"""Authentication over HTTP: challenges, metadata, scopes, and where a token may be."""

import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from auth.issuer import running_issuer
from mcp.shared.inbound import encode_header_value
from support import running_studio, serving

from journey_mcp.auth.access import access_of
from journey_mcp.auth.identity import Identity, Scope
from journey_mcp.core.errors import SetupError
from journey_mcp.core.principals import LOCAL
from journey_mcp.server.auth.identity import LOCAL_IDENTITY
from journey_mcp.server.auth.middleware import Unauthenticated
from journey_mcp.server.auth.scopes import missing_scope
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import read_settings
from journey_mcp.tools.tool_set import read_tool_set
from server.auth.served import ERAS, NEW, OLD, SERVER, add_token, serving_with

METADATA = f"{SERVER}/.well-known/oauth-protected-resource/mcp"
CHALLENGE = f'Bearer scope="images:generate images:read", resource_metadata="{METADATA}"'
MODEL = {"prompt": "a red kite", "model": "z-image"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_needs_a_token(tmp_path: Path, era: str) -> None:
    """Without one, the challenge has no error (RFC 6750); with a wrong one, it has."""
    file = tmp_path / "tokens"
    token = add_token(file, "ada")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        for method in ("tools/list", "tools/call", "nonsense"):
            answer = await served.send(None, method, {}, era)
            assert (answer.status, answer.headers["www-authenticate"]) == (
                401,
                'Bearer scope="images:generate images:read"',
            )
            assert answer.message["error"]["message"].startswith("This server needs a token, in the header Auth")
        answer = await served.send(f"{token}x", "tools/list", {}, era)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            'Bearer error="invalid_token", error_description="The token is unknown or revoked.", '
            'scope="images:generate images:read"'
        )
        assert (await served.call(token, "imagine", era, **MODEL)).structured["status"] == "succeeded"


async def test_tokens_of_a_file_and_of_an_issuer_are_told_apart_by_their_prefix(tmp_path: Path) -> None:
    """Both may be configured at once."""
    file = tmp_path / "tokens"
    token = add_token(file, "ada")
    async with running_issuer() as issuer:
        more = {"JOURNEY_MCP_SERVER_URL": SERVER, "JOURNEY_MCP_OAUTH_ISSUER": issuer.url}
        async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file), **more) as served:
            for accepted in (token, issuer.token()):
                assert (await served.call(accepted, "fetch_task")).status == 200
            assert issuer.asked
            answer = await served.send(None, "tools/list")
            assert (answer.status, answer.headers["www-authenticate"]) == (401, CHALLENGE)
            answer = await served.send(issuer.token(exp=1_000_000_000), "tools/list")
            assert answer.headers["www-authenticate"] == CHALLENGE.replace(
                "scope=", 'error="invalid_token", error_description="The token has expired.", scope='
            )


async def test_the_metadata_are_at_both_places(tmp_path: Path) -> None:
    """Without a token; clients compare their members to the letter."""
    async with running_issuer("/tenant/") as issuer:
        more = {"JOURNEY_MCP_SERVER_URL": f"{SERVER}/journey/", "JOURNEY_MCP_OAUTH_ISSUER": issuer.url}
        async with (
            serving_with(tmp_path, **more) as served,
            httpx2.AsyncClient(base_url=served.address, trust_env=False, verify=False) as http,
        ):
            for path in ("", "/mcp", "/journey/mcp"):
                answer = await http.get(f"/.well-known/oauth-protected-resource{path}")
                assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
                assert answer.json() == {
                    "resource": f"{SERVER}/journey/mcp",
                    "authorization_servers": [issuer.url],
                    "scopes_supported": ["images:generate", "images:read"],
                    "bearer_methods_supported": ["header"],
                    "resource_name": "journey-mcp",
                }
            answer = await http.get("/.well-known/oauth-protected-resource/other")
            assert answer.status_code == 401
            place = f"{SERVER}/.well-known/oauth-protected-resource/journey/mcp"
            assert f'resource_metadata="{place}"' in answer.headers["www-authenticate"]
            assert (await http.post("/.well-known/oauth-protected-resource")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer one two"},
        {"authorization": "Bearer töken".encode()},
        {"authorization": f"Bearer {'x' * 20_000}"},
        [("authorization", "Bearer TOKEN"), ("authorization", "Bearer TOKEN")],
    ],
)
async def test_another_header_is_no_token(tmp_path: Path, headers: Any) -> None:
    """Also two headers with the same good token: programs would read different ones."""
    file = tmp_path / "tokens"
    token = add_token(file, "ada")
    given = [(name, value.replace("TOKEN", token)) for name, value in headers] if isinstance(headers, list) else headers
    async with (
        serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served,
        httpx2.AsyncClient(base_url=served.address, trust_env=False, verify=False) as http,
    ):
        answer = await http.post("/mcp", json={}, headers=given)
        assert answer.status_code == 401
        assert "The header Authorization must be Bearer and one token." in answer.headers["www-authenticate"]
        spelled = await http.post("/mcp", json={}, headers={"authorization": f"bEaReR   {token}"})
        assert spelled.status_code not in {401, 403}


async def test_a_token_in_the_address_is_refused_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Even with the same token in the header: addresses are in logs and histories."""
    file = tmp_path / "tokens"
    token = add_token(file, "ada")
    with caplog.at_level(logging.DEBUG, logger="journey_mcp"):
        async with (
            serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served,
            httpx2.AsyncClient(base_url=served.address, trust_env=False, verify=False) as http,
        ):
            for query in (f"access_token={token}", "Access_Token=x", f"a=b&key={token}", "t=eyJhbGciOiJub25lIn0.e30."):
                answer = await http.post(f"/mcp?{query}", json={}, headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == 400
                assert 'error="invalid_request"' in answer.headers["www-authenticate"]
                assert "A token in the address is not accepted" in answer.json()["error"]["message"]
            answer = await http.post("/mcp?a=b", json={}, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code not in {400, 401} or "address" not in answer.text
    assert not [record for record in caplog.records if token in record.getMessage()]


async def test_a_token_that_cannot_be_verified_now_is_no_rejected_one(tmp_path: Path) -> None:
    """The client keeps it and tries again, instead of asking the person to connect again."""
    async with running_issuer() as issuer:
        more = {"JOURNEY_MCP_SERVER_URL": SERVER, "JOURNEY_MCP_OAUTH_ISSUER": issuer.url}
        async with serving_with(tmp_path, **more) as served:
            issuer.is_away = True
            answer = await served.send(issuer.token(), "tools/list")
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert "www-authenticate" not in answer.headers
            assert answer.message["error"]["message"] == "The authorization server does not answer now."


NEEDS: dict[tuple[str, str | None], Scope | None] = {
    ("initialize", None): None,
    ("ping", None): None,
    ("server/discover", None): None,
    ("tools/list", None): None,
    ("prompts/list", None): None,
    ("prompts/get", "product_photo"): None,
    ("resources/templates/list", None): None,
    ("notifications/initialized", None): None,
    ("resources/list", None): "images:read",
    ("resources/read", "journey://spend"): "images:read",
    ("resources/read", "journey://tasks/tsk_1"): "images:read",
    ("completion/complete", None): "images:read",
    ("subscriptions/listen", None): "images:read",
    ("tasks/get", "tsk_1"): "images:read",
    ("tasks/update", "tsk_1"): "images:generate",
    ("tasks/cancel", "tsk_1"): "images:generate",
    ("tools/call", None): "images:generate",
    ("tools/call", "a_new_tool"): "images:generate",
    ("a/new/method", None): "images:read",
}


def identity(*scopes: Scope) -> Identity:
    """Return an identity with these scopes."""
    return Identity(LOCAL, "ada", frozenset(scopes))


def test_each_request_needs_the_least_scope() -> None:
    """What is not known needs one as well; the tools that only read need the narrower one."""
    assert {request: missing_scope(identity(), *request) for request in NEEDS} == NEEDS
    for tool in read_tool_set(read_settings({})).tools:
        reads = tool["annotations"]["readOnlyHint"]
        assert missing_scope(identity(), "tools/call", tool["name"]) == ("images:read" if reads else "images:generate")


def test_the_broader_scope_implies_the_narrower() -> None:
    """The scope for administrators implies none: it sees what was spent, and no prompts."""
    assert [missing_scope(identity("images:generate"), *request) for request in NEEDS] == [None] * len(NEEDS)
    reader = {request: missing_scope(identity("images:read"), *request) for request in NEEDS}
    assert reader == {request: needed if needed == "images:generate" else None for request, needed in NEEDS.items()}
    admin = {request: missing_scope(identity("admin"), *request) for request in NEEDS}
    assert admin == NEEDS | {("resources/read", "journey://spend"): None}
    assert [missing_scope(LOCAL_IDENTITY, *request) for request in NEEDS] == [None] * len(NEEDS)


async def test_a_scope_that_is_missing_is_answered_before_the_body_is_read(tmp_path: Path) -> None:
    """By the headers of the new revision, in every form in which they may be written."""
    file = tmp_path / "tokens"
    token = add_token(file, "reader", "scopes=images:read")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        encoded = "=?base64?aW1hZ2luZQ==?="
        assert encode_header_value("imagine") == "imagine"
        for name in ("imagine", encoded, "=?base64?broken?="):
            answer = await served.send(token, "tools/call", {"name": "imagine", "arguments": MODEL}, mcp_name=name)
            assert answer.status == 403
            assert answer.headers["www-authenticate"] == (
                'Bearer error="insufficient_scope", error_description="The token lacks the scope images:generate.", '
                'scope="images:generate"'
            )
        assert not served.upstream.sandbox.request_log.submissions
        assert (await served.call(token, "fetch_task")).status == 200
        endless = f"POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 99\r\n"
        url = httpx2.URL(served.address)
        import anyio  # noqa: PLC0415  # for this test only

        async with await anyio.connect_tcp(str(url.host), url.port or 80) as stream:
            await stream.send(f"{endless}mcp-method: tools/call\r\nmcp-name: imagine\r\n\r\n".encode())
            assert (await stream.receive()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("era", ERAS)
async def test_the_handler_checks_the_scope_again(tmp_path: Path, era: str) -> None:
    """Older revisions have no such headers, and a header may say something else than the body."""
    file = tmp_path / "tokens"
    token = add_token(file, "reader", "scopes=images:read")
    nobody = add_token(file, "nobody", "scopes=admin")
    lie: dict[str, str] = {"mcp_name": "fetch_task"} if era == NEW else {}
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        answer = await served.send(token, "tools/call", {"name": "imagine", "arguments": MODEL}, era, **lie)
        if era == NEW:
            assert answer.message["error"]["code"] == -32020
        else:
            assert answer.message["result"]["isError"]
            error = answer.structured["error"]
            assert error["code"] == "insufficient_scope"
            assert error["message"] == (
                "This needs the scope images:generate, which the access token of this client lacks."
            )
            listed = await served.send(nobody, "resources/list", {}, era)
            assert "This needs the scope images:read" in listed.message["error"]["message"]
            spent = await served.send(nobody, "resources/read", {"uri": "journey://spend"}, era)
            assert "result" in spent.message
        assert (await served.call(token, "fetch_task", era)).status == 200
        assert not served.upstream.sandbox.request_log.submissions


async def test_a_request_that_was_not_authenticated_has_no_identity(tmp_path: Path) -> None:
    """If the middleware were left out, every call would fail, and none would be of somebody else."""
    app = make_app(Lifespan(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}), running_studio, is_local=False))
    without: Any = [one for one in app.user_middleware if str(one.cls) != str(Unauthenticated)]
    assert len(without) == len(app.user_middleware) - 1
    app.user_middleware = without
    async with app.router.lifespan_context(app), serving(app) as origin:
        async with httpx2.AsyncClient(base_url=origin, trust_env=False, verify=False) as http:
            headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": OLD}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            answer = await http.post("/mcp", json=body, headers=headers)
        assert answer.is_error
        assert "inputSchema" not in answer.text


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"JOURNEY_MCP_TOKENS_FILE": "/nowhere/tokens"}, "JOURNEY_MCP_TOKENS_FILE: /nowhere/tokens cannot be read"),
        ({"JOURNEY_MCP_OAUTH_ISSUER": "https://login.test"}, "JOURNEY_MCP_OAUTH_ISSUER needs the address"),
    ],
)
def test_a_server_without_what_it_needs_does_not_start(variables: dict[str, str], words: str) -> None:
    """The error names the setting."""
    with pytest.raises(SetupError, match=words):
        access_of(read_settings(variables))
    assert access_of(read_settings({})) is None


async def test_a_token_may_be_for_some_providers_only(tmp_path: Path) -> None:
    """For it, no other one is configured: models, actions, pinned providers and failover."""
    file = tmp_path / "tokens"
    token, other = add_token(file, "ada", "providers=bfl,vtrix"), add_token(file, "bob")
    async with serving_with(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        log = served.upstream.sandbox.request_log

        async def error_of(tool: str, **arguments: str) -> str:
            return str((await served.call(token, tool, **arguments)).structured["error"]["message"])

        assert "'midjourney' is not known" in await error_of("imagine", prompt="a kite", model="midjourney")
        pinned = await error_of("imagine", prompt="a kite", model="flux-2-pro", provider="replicate")
        assert "provider='replicate'" in pinned
        grid = (await served.call(other, "imagine", prompt="a kite", model="midjourney", wait_s=300)).structured
        refined = await served.call(token, "refine_image", image=grid["task_id"], action="vary")
        assert "Unknown tool: refine_image" in refined.message["error"]["message"]
        before = len(log.submissions)
        made = (await served.call(token, "imagine", prompt="a kite", model="flux-2-pro", wait_s=300)).structured
        assert made["provider"] in {"bfl", "vtrix"}
        assert {entry.service for entry in log.submissions[before:]} <= {"bfl", "vtrix"}
