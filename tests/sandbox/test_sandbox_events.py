"""The events of requests that an observer receives."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio

import pytest
from httpx2 import AsyncClient, HTTPError

from journey_mcp.sandbox import Event, Fault, Running, Settings, running

from .upstream import PLAIN

KEY = {"authorization": "any-key"}
REQUEST = {"prompt": "a kite", "model": "flux-schnell"}


def summary(events: list[Event]) -> list[tuple[str, str | None, int | None]]:
    """Points, paths and statuses."""
    return [(event.point, event.path and event.path.rpartition("/")[2], event.status) for event in events]


async def test_an_observer_receives_every_event_in_order() -> None:
    events: list[Event] = []
    async with running(Settings(speed=0, observer=events.append)) as upstream, AsyncClient(**PLAIN) as client:
        await client.post(f"{upstream.base_url}/imagine", json=REQUEST, headers=KEY)
        await client.get(f"{upstream.base_url}/account", headers=KEY)
    assert summary(events) == [
        ("connected", None, None),
        ("headers", "imagine", None),
        ("body", "imagine", None),
        ("answering", "imagine", 200),
        ("answered", "imagine", 200),
        # the second request came over the same connection
        ("headers", "account", None),
        ("body", "account", None),
        ("answering", "account", 200),
        ("answered", "account", 200),
    ]
    assert {event.method for event in events[1:5]} == {"POST"}


async def test_the_work_is_done_between_the_body_and_the_response() -> None:
    seen: dict[str, list[str]] = {}
    upstream: Running

    def observer(event: Event) -> None:
        if event.point != "connected":
            seen[event.point] = [entry.outcome for entry in upstream.sandbox.request_log.submissions]

    async with running(Settings(speed=0, observer=observer)) as upstream, AsyncClient(**PLAIN) as client:
        await client.post(f"{upstream.base_url}/imagine", json=REQUEST, headers=KEY)
    assert seen == {"headers": [], "body": [], "answering": ["created"], "answered": ["created"]}


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("reset", ["connected", "headers", "body"]),
        ("cut_body", ["connected", "headers", "body", "answering"]),
        ("drip=0", ["connected", "headers", "body", "answering", "answered"]),
    ],
)
async def test_an_aborted_response_has_no_answered_event(kind: str, points: list[str]) -> None:
    events: list[Event] = []
    fault = Fault.parse(f"submit:{kind}")
    settings = Settings(speed=0, faults=(fault,), observer=events.append)
    async with running(settings) as upstream, AsyncClient(**PLAIN) as client:
        try:
            await client.post(f"{upstream.base_url}/imagine", json=REQUEST, headers=KEY)
        except HTTPError:
            assert kind != "drip=0"
    assert [event.point for event in events] == points


async def test_an_incomplete_request_has_no_body_event() -> None:
    events: list[Event] = []
    async with running(Settings(speed=0, observer=events.append)) as upstream:
        _, _, address = upstream.origin.rpartition("/")
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /api/v1/imagine HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert upstream.sandbox.request_log.submissions == ()
    assert [event.point for event in events][:2] == ["connected", "headers"]
    assert "body" not in {event.point for event in events}
