"""The common parts of all fake services: paths, misplaced keys, input images."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient
from manual_clock import until
from support import SERVICES, Authority

from journey_mcp.sandbox import BflSettings, Fault, Settings, VtrixSettings, running
from journey_mcp.sandbox.services import PATHS, service_at
from journey_mcp.sandbox.sources import SourceError, decode, load_source

from .upstream import PLAIN, Listener, base64_of, bfl, http, opened, photo, public, upstream, vtrix

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"
"""It has the path of each service, and the setting for its address."""
INSTANT = Settings(speed=0, seed=1)


async def test_every_service_has_its_base_url_and_its_account() -> None:
    async with running(INSTANT) as sandbox:
        paths = dict(
            re.findall(r"^\| .+ \| `(/[^`]+)` \| `(\w+)`, ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
        )
        addresses = {variable: f"{sandbox.origin}{path}" for path, variable in paths.items()}
        assert {SERVICES[name][1]: url for name, url in sandbox.base_urls.items()} == addresses
        assert sandbox.base_url == sandbox.base_urls["journeyapi"]
        assert sandbox.services.keys() == PATHS.keys()
        assert sandbox.services["journeyapi"] is sandbox.journeyapi


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/bfl/v1", "bfl"),
        ("/bfl/v1/credits", "bfl"),
        ("/bfl/v11", None),
        ("/kkiai/replicate/v1/x", "kkiai"),
        ("/", None),
    ],
)
def test_a_path_belongs_to_a_service(path: str, service: str | None) -> None:
    assert service_at(path) == service


async def test_every_account_can_be_emptied() -> None:
    async with running(INSTANT) as sandbox:
        for service in sandbox.services.values():
            service.balance = 0
        assert sandbox.journeyapi.credits == 0
        assert {service.balance for service in sandbox.services.values()} == {0}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/nowhere", {"errors": [{"msg": "Not Found"}]}),
        ("/vtrix/nowhere", {"message": "Not Found"}),
        ("/bfl/v1/no/where", {"detail": "Not Found"}),
    ],
)
async def test_an_unknown_path_gets_the_service_s_error_and_keys_there_are_logged(path: str, body: Any) -> None:
    async with running(INSTANT) as sandbox, AsyncClient(base_url=sandbox.origin, **PLAIN) as client:
        responses = [
            await client.get(path),
            await client.get(path, headers={"Authorization": "Bearer k", "x-key": "k"}),
        ]
        assert [(response.status_code, response.json()) for response in responses] == [(404, body)] * 2
        request_log = sandbox.sandbox.request_log
        assert (request_log.requests["unknown"], request_log.keyed["unknown"]) == (2, 1)
        assert [
            (misplaced_key.path, misplaced_key.header, misplaced_key.reason)
            for misplaced_key in request_log.misplaced_keys
        ] == [
            (path, "authorization", "unknown path"),
            (path, "x-key", "unknown path"),
        ]


async def test_a_key_sent_for_an_image_is_logged_but_not_stored() -> None:
    async with bfl(INSTANT) as up:
        url = (await up.task(await up.made()))["result"]["sample"]
        assert (await public(url)).status_code == 200
        assert not up.running.sandbox.request_log.misplaced_keys
        assert (await up.client.get(url)).status_code == 200
        (misplaced_key,) = up.running.sandbox.request_log.misplaced_keys
        assert (misplaced_key.header, misplaced_key.reason) == ("x-key", "image")
        assert misplaced_key.path.startswith("/pictures/")
        assert f"http://{misplaced_key.host}" == up.running.origin
        assert up.running.sandbox.request_log.keyed["pictures"] == 1
        assert "bfl_1" not in (await public(f"{up.running.origin}/sandbox/requests")).text


async def test_keys_of_another_service_are_logged() -> None:
    settings = Settings(speed=0, vtrix=VtrixSettings(keys=("vt_1",)), bfl=BflSettings(keys=("bfl_1",)))
    async with vtrix(settings) as up:
        await up.made()
        assert not up.running.sandbox.request_log.misplaced_keys
        wrong = {"Authorization": "Bearer bfl_1"}
        assert (await up.client.get("/model/v1/generation/task/x", headers=wrong)).status_code == 401
        await up.client.get("/model/v1/generation/task/x", headers={"x-key": "anything"})
        request_log = up.running.sandbox.request_log
        assert [misplaced_key.reason for misplaced_key in request_log.misplaced_keys] == [
            "foreign key",
            "foreign header",
        ]
        assert request_log.keyed["vtrix/task"] == 2


async def test_a_fault_of_one_service_does_not_affect_the_others() -> None:
    faults = (Fault.parse("bfl/submit:status=503,times=always"), Fault.parse("vtrix/image:dead_image,times=always"))
    async with vtrix(Settings(speed=0, faults=faults)) as up:
        (gone,) = await up.finished()
        assert gone.status_code == 404
        async with AsyncClient(base_url=up.running.base_urls["bfl"], headers={"x-key": "k"}, **PLAIN) as client:
            assert (await client.post("/flux-kontext-pro", json={"prompt": "a"})).status_code == 503
        services = [(entry.service, entry.outcome) for entry in up.running.sandbox.request_log.submissions]
        assert services == [("vtrix", "created"), ("bfl", "refused 503")]


async def test_a_service_does_not_know_tasks_of_another() -> None:
    async with upstream(INSTANT) as up, AsyncClient(headers={"x-key": "k"}, **PLAIN) as client:
        task_id = await up.made()
        response = await client.get(f"{up.running.base_urls['bfl']}/get_result", params={"id": task_id})
        assert response.json()["status"] == "Task not found"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("///", "this is not base64"),
        ("", "the image is empty"),
        ("é", "this is not base64"),
        ("data:text/plain;base64,AAAA", "a data URI reads data:image/...;base64,..."),
        ("data:image/png;base64,AAA", "this is not base64"),
    ],
)
def test_invalid_base64_is_rejected(payload: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        decode(payload)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:image/svg+xml;BASE64,"])
async def test_an_image_in_base64_is_loaded(prefix: str) -> None:
    source = await load_source(prefix + base64_of(photo()), limit_bytes=1_000_000, timeout_s=5)
    assert (source.content, source.size, source.megapixels) == (photo(), (300, 200), 0.06)


async def test_an_image_in_base64_must_be_valid_and_not_too_large() -> None:
    with pytest.raises(SourceError, match="more than 100 bytes"):
        await load_source(base64_of(photo()), limit_bytes=100, timeout_s=5)
    with pytest.raises(SourceError, match="this is not an image"):
        await load_source(base64_of(b"hello"), limit_bytes=100, timeout_s=5)


@asynccontextmanager
async def listening_safely(authority: Authority, response: bytes) -> AsyncIterator[Listener]:
    listener = Listener(responses=[response])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=authority.server("127.0.0.1"))
    listener.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/image.png"
    async with server:
        yield listener


@pytest.mark.parametrize("way", ["setting", "environment"])
async def test_an_input_image_is_loaded_over_https_from_a_trusted_server(
    way: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "setting":
        monkeypatch.delenv("SSL_CERT_FILE")
    settings = Settings(speed=0, ca_file=str(authority.file) if way == "setting" else None)
    async with listening_safely(authority, http(200, photo())) as server, vtrix(settings) as up:
        (image,) = await up.finished(input_image=server.url)
        assert opened(image.content).size == (300, 200)
        assert "authorization" not in server.received[0].headers


async def test_no_input_image_is_loaded_from_an_untrusted_server(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with listening_safely(authority, http(200, photo())) as server, vtrix(INSTANT) as up:
        payload = await up.task(await up.made(input_image=server.url))
        assert payload["status"] == "failed"
        assert "CERTIFICATE_VERIFY_FAILED" in payload["error"]["message"]


async def test_a_webhook_goes_to_a_trusted_server(authority: Authority) -> None:
    settings = Settings(speed=0, ca_file=str(authority.file))
    async with listening_safely(authority, http(200)) as server, bfl(settings) as up:
        await up.made(webhook_url=server.url)
        await until(lambda: bool(up.running.sandbox.request_log.deliveries))
        assert [attempt.outcome for attempt in up.running.sandbox.request_log.deliveries] == ["200"]


@pytest.mark.parametrize("service", ["vtrix", "bfl"])
async def test_a_body_beyond_the_limit_is_rejected(service: str) -> None:
    settings = Settings(vtrix=VtrixSettings(body_limit_bytes=1000), bfl=BflSettings(body_limit_bytes=1000))
    async with vtrix(settings) as one:
        urls = {"vtrix": "/vtrix/model/v1/generation", "bfl": "/bfl/v1/flux-kontext-pro"}
        headers = {"Authorization": "Bearer k", "x-key": "k"}
        async with AsyncClient(base_url=one.running.origin, headers=headers, **PLAIN) as client:
            response = await client.post(urls[service], json={"prompt": "a" * 1000})
        assert response.status_code == 413
