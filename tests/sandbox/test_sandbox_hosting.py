"""Running a sandbox: start, shutdown and request log."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import os
import signal
import socket
from contextlib import suppress

import pytest
from httpx2 import ASGITransport, AsyncClient, ConnectError, HTTPError
from manual_clock import ManualClock, until

import journey_mcp.sandbox
from journey_mcp.sandbox import Fault, Running, Settings, create_app, running, serve
from journey_mcp.sandbox.hosted import HostedImages
from journey_mcp.sandbox.request_log import KEPT_SUBMISSIONS, RequestLog
from journey_mcp.sandbox.services import PATHS

from .upstream import PLAIN, listening, upstream

_WITH_IPV6 = pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")


async def test_a_sandbox_listens_on_a_free_port_and_closes_it() -> None:
    async with running() as one, running(Settings()) as other:
        assert one.origin != other.origin
        assert one.base_url == f"{one.origin}/api/v1"
        async with AsyncClient(**PLAIN) as client:
            assert (await client.get(f"{one.origin}/sandbox/faults")).json() == []
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", int(one.origin.rpartition(":")[2]))


async def test_a_sandbox_hosts_an_image_under_a_name_that_cannot_be_guessed() -> None:
    async with running() as one, AsyncClient(**PLAIN) as client:
        url, other = one.host(b"image"), one.host(b"image")
        assert url != other
        assert (await client.get(url)).content == b"image"
        assert (await client.get(f"{url}0")).status_code == 404


def test_hosted_images_are_dropped_when_they_are_too_many() -> None:
    hosted = HostedImages(kept_bytes=10)
    names = [hosted.add(bytes(4)) for _ in range(4)]
    assert [hosted.find(name) is None for name in names] == [True, True, False, False]
    large = hosted.add(bytes(50))
    assert hosted.find(large) == bytes(50)


async def test_a_port_in_use_is_reported_at_once() -> None:
    async with running() as one:
        with pytest.raises(OSError, match="address already in use"):
            async with running(port=int(one.origin.rpartition(":")[2])):
                pass


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=_WITH_IPV6)])
async def test_a_sandbox_can_be_away_for_a_time_and_keeps_its_state(host: str) -> None:
    async with running(Settings(speed=0), host=host) as sandbox, AsyncClient(**PLAIN) as client:
        url, headers = f"{sandbox.base_url}/imagine", {"Authorization": "k"}
        held = asyncio.create_task(client.post(url, json={"prompt": "a", "model": "recraft"}, headers=headers))
        sandbox.sandbox.faults.replace([Fault(on="submit", kind="delay", delay_s=60)])
        await until(lambda: len(sandbox.sandbox.request_log.submissions) == 1)
        for _ in range(2):
            async with sandbox.away():
                with pytest.raises(ConnectError):
                    await client.get(f"{sandbox.origin}/sandbox/faults")
            assert (await client.get(f"{sandbox.origin}/sandbox/requests")).json()["submissions"][0][
                "model"
            ] == "recraft"
        with pytest.raises(HTTPError):
            await held


@_WITH_IPV6
async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with running(Settings(speed=0), host="::1") as sandbox, AsyncClient(**PLAIN) as client:
        assert sandbox.origin.startswith("http://[::1]:")
        headers = {"Authorization": "k"}
        response = await client.post(
            f"{sandbox.base_url}/imagine", json={"prompt": "a", "model": "recraft"}, headers=headers
        )
        assert (await client.get(response.json()["image_url"])).status_code == 200


@pytest.mark.parametrize("fault", [None, Fault(on="submit", kind="drip", delay_s=60), Fault(on="submit", kind="hang")])
async def test_shutdown_does_not_wait_for_requests(fault: Fault | None) -> None:
    loop = asyncio.get_running_loop()
    async with upstream(Settings(speed=1, faults=(fault,) if fault else ())) as up:
        model = "midjourney" if fault and fault.kind == "drip" else "recraft"
        request = asyncio.create_task(up.imagine(model=model))
        request_log = up.running.sandbox.request_log
        await until(lambda: bool(request_log.submissions) and request_log.submissions[0].outcome == "created")
        idle = AsyncClient(**PLAIN)
        await idle.get(f"{up.running.origin}/sandbox/faults")
        began = loop.time()
    assert loop.time() - began < 1
    with pytest.raises(HTTPError):
        await request
    await idle.aclose()


async def test_shutdown_does_not_wait_for_input_images() -> None:
    async with listening(None) as source:
        async with upstream(Settings(speed=0)) as up:
            request = asyncio.create_task(up.imagine(model="seededit", image_url=source.url))
            await until(lambda: bool(source.received))
        with pytest.raises(HTTPError):
            await request


async def test_a_client_that_disconnects_during_a_request_creates_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(Settings(speed=0)) as up:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(up.running.origin.rpartition(":")[2]))
        writer.write(b"POST /api/v1/imagine HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{")
        await until(lambda: up.running.sandbox.request_log.requests["imagine"] == 1)
        writer.close()
        assert await reader.read() == b""
        assert (await up.account())["credits"] == 500
        assert up.running.sandbox.request_log.submissions == ()
    assert caplog.records == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_until_a_signal(number: signal.Signals) -> None:
    seen: list[str] = []

    def ready(sandbox: Running) -> None:
        seen.append(sandbox.origin)
        os.kill(os.getpid(), number)

    await asyncio.wait_for(serve(Settings(speed=0), on_ready=ready), 5)
    assert seen[0].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("iterations", range(5))
async def test_a_connection_that_was_just_accepted_is_closed_with_the_sandbox(iterations: int) -> None:
    """However far the loop has come with it."""
    async with running() as one:
        client = socket.create_connection(("127.0.0.1", int(one.origin.rpartition(":")[2])), 5)
        for _ in range(iterations):
            await asyncio.sleep(0)
    with client, suppress(ConnectionResetError):
        assert client.recv(1) == b""


async def test_the_command_can_be_cancelled() -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(serve(on_ready=lambda _: ready.set()))
    await asyncio.wait_for(ready.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_app_alone_cannot_close_connections() -> None:
    app = create_app(Settings(faults=(Fault(on="submit", kind="reset"),)))
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://sandbox.test") as client:
        with pytest.raises(RuntimeError, match=r"Only a sandbox started by running\(\) can close a connection"):
            await client.post("/api/v1/imagine", json={})


def test_the_app_can_be_created_without_an_event_loop() -> None:
    assert create_app().routes


async def test_the_app_alone_serves_images_of_its_host() -> None:
    async with AsyncClient(
        transport=ASGITransport(app=create_app()), base_url="http://sandbox.test", headers={"Authorization": "k"}
    ) as client:
        response = await client.post("/api/v1/imagine", json={"prompt": "a"})
        assert (await client.get("/sandbox/requests")).json()["submissions"][0]["task_id"] == response.json()["task_id"]


async def test_the_request_log_contains_all_requests() -> None:
    clock = ManualClock()
    async with upstream(Settings(speed=0)) as up:
        began = clock()
        task_id = await up.made(model="flux-pro")
        clock.advance(1)
        await up.client.post("/imagine", content=b"{broken", headers={"Content-Type": "application/json"})
        await up.client.post("/imagine", json={"prompt": "a", "model": 5})
        fetched = await up.fetch(task_id)
        await up.client.post("/fetch", json={"task_id": "unknown"})
        await up.client.post("/fetch-many", json={"task_ids": [task_id, task_id]})
        await up.account()
        await up.image(fetched["image_url"])
        request_log = up.running.sandbox.request_log
        response = await up.client.get(f"{up.running.origin}/sandbox/requests")
        assert response.json() == (await up.client.get(f"{up.running.origin}/sandbox/ledger")).json()
        refused = {
            "service": "journeyapi",
            "endpoint": "imagine",
            "outcome": "refused 400",
            "task_id": None,
            "charged": 0,
            "fetched": 0,
        }
        payload = response.json()
        requests = {"imagine": 3, "fetch": 2, "fetch_many": 1, "account": 1}
        assert {name: times for name, times in payload.pop("requests").items() if times} == {**requests, "pictures": 1}
        assert payload == {
            "keyed": {**requests, "pictures": 0},
            "misplaced_keys": [],
            "strays": [],
            "submissions": [
                {
                    "number": 1,
                    "received_at": began,
                    "service": "journeyapi",
                    "endpoint": "imagine",
                    "request": {"prompt": "a paper boat", "model": "flux-pro"},
                    "outcome": "created",
                    "task_id": task_id,
                    "model": "flux-pro",
                    "charged": 4,
                    "fetched": 3,
                },
                {"number": 2, "received_at": began + 1, "request": "{broken", "model": None, **refused},
                {
                    "number": 3,
                    "received_at": began + 1,
                    "request": {"prompt": "a", "model": 5},
                    "model": None,
                    **refused,
                },
            ],
            "deliveries": [],
        }
        assert "japi_live_1" not in response.text
        assert (request_log.requests["fetch"], request_log.fetched(task_id)) == (2, 3)
        assert request_log.submissions[0].credits == 4


def test_the_request_log_drops_the_oldest_entries() -> None:
    request_log = RequestLog(())
    first = request_log.open("journeyapi", "imagine", b"{}", 0)
    for _ in range(KEPT_SUBMISSIONS):
        last = request_log.open("journeyapi", "imagine", b"\xff", 1)
    request_log.close(first, "created")
    request_log.close(last, "created", task_id="t")
    assert (len(request_log.submissions), request_log.submissions[-1].task_id) == (KEPT_SUBMISSIONS, "t")
    assert request_log.submissions[0].outcome == "received"


def test_the_request_log_drops_the_oldest_bodies_sooner() -> None:
    request_log = RequestLog((), kept_bytes=20)
    for _ in range(3):
        request_log.open("bfl", "submit", b'{"a": 12}', 0)
    assert [entry.request for entry in request_log.submissions] == [None, {"a": 12}, {"a": 12}]


def test_the_request_log_shortens_long_texts() -> None:
    request_log = RequestLog(())
    request_log.open("vtrix", "generation", b'{"input": [{"params": {"input_image": "%s"}}]}' % (b"A" * 30_000), 0)
    (payload,) = request_log.as_json()["submissions"]
    assert payload["request"] == {"input": [{"params": {"input_image": f"{'A' * 40}… (30000 characters)"}}]}


def test_the_package_exports_its_public_names() -> None:
    of_services = {type(getattr(Settings(), name)).__name__ for name in PATHS}
    assert "VtrixSettings" in of_services
    assert set(journey_mcp.sandbox.__all__) == {
        *of_services,
        "Clock",
        "Event",
        "Fault",
        "Observer",
        "Point",
        "Running",
        "Settings",
        "WebhookPolicy",
        "create_app",
        "running",
        "serve",
    }
